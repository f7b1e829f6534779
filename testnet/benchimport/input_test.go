//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGenerated makes a short chain and verifies its signatures: all are there
// and valid, and one that was changed is found.
func TestGenerated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bench.dat")
	if err := generate(name, 1); err != nil {
		t.Fatal(err)
	}
	sigs, err := signatures(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(sigs); n < fanOuts+blockTxs || n > fanOuts+2*blockTxs {
		t.Errorf("%d signatures", n)
	}
	few := sigs[:50]
	if v, err := verifyAll(few); err != nil || v.Signatures != len(few) || v.Seconds <= 0 || v.CPU <= 0 {
		t.Errorf("%+v, %v", v, err)
	}
	few[20].Sig[40] ^= 1
	if _, err := verifyAll(few); err == nil {
		t.Error("a wrong signature was not found")
	}

	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{
		"a cut tail":       data[:len(data)-1],
		"a cut frame":      append(bytes.Clone(data), 0),
		"the tip missing":  append(data[:100:100], data[200:]...),
		"the length wrong": append([]byte{0xfa, 0xbf, 0xb5, 0xda, 1, 0, 0, 0}, data...),
	} {
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := signatures(name); err == nil {
			t.Errorf("%s was not found", what)
		}
	}
}

// TestMiddle is about medians and their ratios.
func TestMiddle(t *testing.T) {
	if got := middle([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median of three: %v", got)
	}
	if got := middle([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median of four: %v", got)
	}
	a, b := []cost{{seconds: 1}, {seconds: 6}, {seconds: 2}}, []cost{{seconds: 2}, {seconds: 2}, {seconds: 8}}
	if got := ratio(a, b); got != 0.5 {
		t.Errorf("ratio %v", got)
	}
}
