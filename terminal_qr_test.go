package main

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestQRText: what is drawn is the code, module by module, with a light zone
// around it.
func TestQRText(t *testing.T) {
	for _, text := range []string{"BCRT1P8WPT9V4FRPF3TKN0SRD97PKSGSXC5HS52LAFXWRU9KGEEPHVS7RQJEPRHG", "bitcoin:x?amount=1&label=" + strings.Repeat("ü", 100)} {
		drawn, err := qrText(text)
		if err != nil {
			t.Fatal(err)
		}
		code, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
		width := code.Size + 2*quietZone
		if len(lines) != (width+1)/2 {
			t.Fatalf("%d lines for %d modules", len(lines), width)
		}
		for i, line := range lines {
			row := []rune(line)
			if len(row) != width {
				t.Fatalf("line %d has %d columns, want %d", i, len(row), width)
			}
			for x, c := range row {
				for half, light := range []bool{c == '█' || c == '▀', c == '█' || c == '▄'} {
					y := 2*i + half
					if y < width && light == code.Black(x-quietZone, y-quietZone) {
						t.Fatalf("module %d,%d of %q is drawn wrong", x, y, text)
					}
				}
			}
		}
	}
	if _, err := qrText(strings.Repeat("x", 5000)); err == nil {
		t.Error("a code for more than fits into one")
	}
}
