// Package mistype finds the places where a bech32m text (BIP350) is wrong, so that
// its user can look there. It never says what would make it right: nobody is to pay
// to a guess (BIP173).
package mistype

import (
	"fmt"
	"slices"
	"strings"
)

const (
	charset        = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	constant       = 0x2bc830a3 // of bech32m
	checksumLength = 6
	// lengthOfTwo bounds the texts in which two wrong letters have one explanation.
	lengthOfTwo = 89
	// maxLength bounds the texts in which one has.
	maxLength = 1023
)

// generator is that of the code, by the bits of the symbol that is shifted out.
var generator = [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}

// step shifts one symbol into a residue.
func step(residue uint32, symbol byte) uint32 {
	top := residue >> 25
	residue = (residue&0x1ffffff)<<5 ^ uint32(symbol)
	for i, g := range generator {
		if top>>i&1 == 1 {
			residue ^= g
		}
	}
	return residue
}

// Locate says what is wrong in a text that is to begin with a prefix and 1, in half
// a sentence, and at which characters, from 0. It is empty if nothing is: the
// checksum is right.
func Locate(prefix, text string) (why string, at []int) {
	if why, at := characters(text); why != "" {
		return why, at
	}
	text = strings.ToLower(text)
	switch found := strings.LastIndexByte(text, '1'); {
	case found < 0:
		return "there is no 1 in it, which ends the name of the network", nil
	case found == 0 || found+checksumLength >= len(text):
		return fmt.Sprintf("the 1 at character %d has too little before or behind it: it is cut", found+1), []int{found}
	case strings.HasPrefix(text, prefix+"1") && found != len(prefix):
		return foreign(found)
	default:
		return checksum(text, found)
	}
}

// characters looks for those that no such text has.
func characters(text string) (why string, at []int) {
	lower, upper := -1, -1
	for i := range len(text) {
		switch c := text[i]; {
		case c < 33 || c > 126:
			return foreign(i)
		case c >= 'a' && c <= 'z':
			lower = i
		case c >= 'A' && c <= 'Z':
			upper = i
		}
	}
	if lower >= 0 && upper >= 0 {
		first := strings.IndexFunc(text, func(r rune) bool { return r >= 'A' && r <= 'Z' })
		if small := strings.IndexFunc(text, func(r rune) bool { return r >= 'a' && r <= 'z' }); small > first {
			first = small
		}
		return fmt.Sprintf("capitals and small letters are mixed from character %d on", first+1), []int{first}
	}
	return "", nil
}

func foreign(at int) (string, []int) {
	return fmt.Sprintf("character %d is none that may stand there", at+1), []int{at}
}

// checksum looks for the letters that, if they were others, would make it right.
func checksum(text string, separator int) (why string, at []int) {
	residue := uint32(1)
	for _, c := range []byte(text[:separator]) {
		residue = step(residue, c>>5)
	}
	residue = step(residue, 0)
	for _, c := range []byte(text[:separator]) {
		residue = step(residue, c&31)
	}
	for i := separator + 1; i < len(text); i++ {
		symbol := strings.IndexByte(charset, text[i])
		if symbol < 0 {
			return foreign(i)
		}
		residue = step(residue, byte(symbol))
	}
	if residue ^= constant; residue == 0 {
		return "", nil
	}
	switch at := wrongLetters(residue, len(text)-separator-1); len(at) {
	case 0:
		return "its checksum is wrong, so it is mistyped or cut", nil
	case 1:
		return fmt.Sprintf("its checksum is wrong; look at character %d", len(text)-at[0]), []int{len(text) - 1 - at[0]}
	default:
		first, second := len(text)-1-at[1], len(text)-1-at[0]
		return fmt.Sprintf("its checksum is wrong; look at characters %d and %d", first+1, second+1), []int{first, second}
	}
}

// wrongLetters explains a residue by one wrong symbol, or by two, among the last n.
// Their places are counted from the end.
func wrongLetters(residue uint32, n int) []int {
	if n > maxLength {
		return nil
	}
	// What a wrong symbol adds to the residue is linear: it follows from its bits.
	place := make(map[uint32]int, 31*n)
	var bits [5]uint32
	for i := range bits {
		bits[i] = 1 << i
	}
	for at := range n {
		for wrong := range uint32(32) {
			sum := uint32(0)
			for i, b := range bits {
				sum ^= -(wrong >> i & 1) & b
			}
			if wrong > 0 {
				place[sum] = at
			}
		}
		for i := range bits {
			bits[i] = step(bits[i], 0)
		}
	}
	if at, ok := place[residue]; ok {
		return []int{at}
	}
	if n > lengthOfTwo {
		return nil
	}
	for sum, first := range place {
		if second, ok := place[residue^sum]; ok && first != second {
			both := []int{first, second}
			slices.Sort(both)
			return both
		}
	}
	return nil
}
