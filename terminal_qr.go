package main

import (
	"strings"

	"rsc.io/qr"
)

// quietZone is what has to be light around a QR code, in modules (ISO 18004).
const quietZone = 4

// qrText draws a QR code with characters that are two modules high. Light modules
// are drawn and dark ones left out, as most terminals are dark: readers take either.
func qrText(text string) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", err
	}
	light := func(x, y int) bool { return !code.Black(x, y) } // also around it
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch upper, lower := light(x, y), y+1 < code.Size+quietZone && light(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteRune(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
