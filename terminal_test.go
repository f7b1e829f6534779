package main

import (
	"bytes"
	"testing"
)

// TestScreen keeps the last line at the end, whatever is written.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	if s.terminal {
		t.Error("a buffer is no terminal")
	}
	write := func(text string) {
		t.Helper()
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d bytes of %d: %v", n, len(text), err)
		}
	}
	write("a\n")
	s.status("one")
	write("b\n")
	s.status("two")
	s.close()
	s.close()
	const clear = "\r\x1b[K"
	if got, want := out.String(), "a\n"+clear+"one"+clear+"b\none"+clear+"two\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBarFitsItsTerminal: a bar that fills the last column begins a new line each
// time.
func TestBarFitsItsTerminal(t *testing.T) {
	for width, want := range map[int]string{
		200: "importing [####################....................]  50 %",
		80:  "importing [####################....................]  50 %",
		40:  "importing [##########...........]  50 %",
		29:  "importing [#####.....]  50 %",
		28:  "importing  50 %",
		10:  "ing  50 %",
		1:   "",
	} {
		if got := bar("importing", 50, width); got != want || len(got) >= width {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}

// TestScreenFitsItsTerminal cuts a last line that would wrap.
func TestScreenFitsItsTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.width = func() int { return 5 }
	s.status("123456789")
	if got, want := out.String(), clearLine+"1234"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
