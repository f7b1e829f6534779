package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/mempool"
	"lode/rpc/client"
)

// TestTooLargeClusterIsExplained: the reason alone tells nobody what to do.
func TestTooLargeClusterIsExplained(t *testing.T) {
	n := &network{}
	refused := &client.Error{Code: -26, Message: "too-large-cluster"}
	err := n.explain(nil, fmt.Errorf("sending: %w", refused))
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), "wait until a block has confirmed some of them") {
		t.Errorf("%v", err)
	}
}

func TestLoadSpec(t *testing.T) {
	for _, name := range consensus.SpecNames {
		if s, err := loadSpec(name); err != nil || s.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := loadSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string) string {
		s.Name = name
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got, err := loadSpec(write("mine")); err != nil || got.Name != "mine" {
		t.Errorf("own network: %v", err)
	}
	if _, err := loadSpec(write("testnet")); err == nil || !strings.Contains(err.Error(), "embedded network") {
		t.Errorf("the name of an embedded network: %v", err)
	}
	if _, err := loadSpec(write("../x")); err == nil {
		t.Error("a name that leaves the data directory passed")
	}
}

// TestRatesOfThePolicy: fee rates of the node's flags are in sat/vB, however many
// zeros end them, and the pool counts in sat per 1,000 vB.
func TestRatesOfThePolicy(t *testing.T) {
	for text, want := range map[string]mempool.FeeRate{
		"0": 0, "0.0": 0, "0.00000000": 0, "0.001": 1, "0.10000000": 100, "1": 1000, "3.00000000": 3000, "100000": maxRate,
	} {
		if got, err := parseRate(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "0.", ".0", "00", "-1", "1e3", "0.0001", "0.00010000", "100000.001", "x"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

// TestPolicyFollowsOtherFlags: one flag moves another that is not given, as in Bitcoin
// Core.
func TestPolicyFollowsOtherFlags(t *testing.T) {
	standard := mempool.DefaultPolicy()
	for line, want := range map[string]struct {
		relay        mempool.FeeRate
		memory, data int
	}{
		"":                                            {standard.MinRelay, standard.MaxMemory, standard.MaxData},
		"--incrementalrelayfee 5":                     {5000, standard.MaxMemory, standard.MaxData},
		"--incrementalrelayfee 0.000":                 {standard.MinRelay, standard.MaxMemory, standard.MaxData},
		"--datacarriersize 83":                        {standard.MinRelay, standard.MaxMemory, 83},
		"--datacarrier 0 --datacarriersize 83":        {standard.MinRelay, standard.MaxMemory, 0},
		"--blocksonly":                                {standard.MinRelay, 5_000_000, standard.MaxData},
		"--blocksonly --maxmempool 300":               {standard.MinRelay, 300_000_000, standard.MaxData},
		"--blocksonly --maxmempool 7":                 {standard.MinRelay, 7_000_000, standard.MaxData},
		"--incrementalrelayfee 5 --minrelaytxfee 0.1": {100, standard.MaxMemory, standard.MaxData},
	} {
		var p mempool.Policy
		app := &cli.App{Writer: io.Discard, Flags: append(policyFlags(), &cli.BoolFlag{Name: "blocksonly"}), Action: func(c *cli.Context) (err error) {
			p, err = policyOf(c)
			return err
		}}
		if err := app.Run(append([]string{"lode"}, strings.Fields(line)...)); err != nil || p.MinRelay != want.relay || p.MaxMemory != want.memory || p.MaxData != want.data {
			t.Errorf("%s: least rate %d, memory %d, data %d, %v; want %+v", line, p.MinRelay, p.MaxMemory, p.MaxData, err, want)
		}
	}
}

// TestParsePrefix: a network or an address, which Bitcoin Core's users write in brackets.
func TestParsePrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::1": "::1/128", "[::1]": "::1/128", "::ffff:192.0.2.7": "192.0.2.7/32", "fc00::/7": "fc00::/7",
		"": "", "[": "", "[]": "", "[::1": "", "10.0.0": "", "[10.0.0.0/33]": "",
	} {
		got, err := parsePrefix(text)
		if err == nil != (want != "") || want != "" && got.String() != want {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
}
