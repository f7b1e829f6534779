package descriptor

import "strings"

// The alphabets of BIP380: of descriptors, ordered so that mistakes of case
// change few symbols, and of the checksum (that of bech32).
const (
	alphabet         = "0123456789()[],'/*abcdefgh@:$%{}" + "IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~" + "ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
	checksumAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	checksumLength   = 8
)

var generator = [5]uint64{0xf5dee51989, 0xa9fdca3312, 0x1bab10e32d, 0x3706b1677a, 0x644d626ffd}

// What Checksum would work out for every character: sums of generator by the five bits
// that they are for, and the symbols of characters; -1 for what is none.
var (
	sums = func() (table [32]uint64) {
		for top := range table {
			for i, g := range generator {
				if top>>i&1 == 1 {
					table[top] ^= g
				}
			}
		}
		return table
	}()
	symbols = func() (table [256]int8) {
		for c := range table {
			table[c] = int8(strings.IndexByte(alphabet, byte(c)))
		}
		return table
	}()
)

// Checksum is the one of BIP380 for a descriptor without it. ok is false if the
// text has a character that no descriptor has; at is its place.
func Checksum(text string) (sum string, at int, ok bool) {
	c := uint64(1)
	step := func(symbol int) {
		c = (c&0x7ffffffff)<<5 ^ uint64(symbol) ^ sums[c>>35]
	}
	group, n := 0, 0 // the high bits of three characters make one more symbol
	for i := range len(text) {
		symbol := int(symbols[text[i]])
		if symbol < 0 {
			return "", i, false
		}
		step(symbol & 31)
		group, n = group*3+symbol>>5, n+1
		if n == 3 {
			step(group)
			group, n = 0, 0
		}
	}
	if n > 0 {
		step(group)
	}
	for range checksumLength {
		step(0)
	}
	c ^= 1
	var b [checksumLength]byte
	for i := range b {
		b[i] = checksumAlphabet[c>>(5*(checksumLength-1-i))&31]
	}
	return string(b[:]), 0, true
}

// AddChecksum appends '#' and the checksum to what is made of the alphabet.
func AddChecksum(text string) string {
	sum, _, _ := Checksum(text)
	return text + "#" + sum
}

// cutChecksum checks the checksum, which may be missing, and takes it off.
func cutChecksum(text string) (string, error) {
	body, given, found := strings.Cut(text, "#")
	sum, at, ok := Checksum(body)
	switch {
	case !ok:
		return "", fail(at, "Invalid characters in payload")
	case !found:
		return body, nil
	case strings.Contains(given, "#"):
		return "", fail(len(body)+1+strings.Index(given, "#"), "Multiple '#' symbols")
	case len(given) != checksumLength:
		return "", fail(len(body)+1, "Expected 8 character checksum, not %d characters", len(given))
	case given != sum:
		return "", fail(len(body)+1, "Provided checksum '%s' does not match computed checksum '%s'", given, sum)
	}
	return body, nil
}
