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
