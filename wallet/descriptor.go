package wallet

import "strings"

// The alphabets of BIP380: of descriptors, ordered so that mistakes of case
// change few symbols, and of the checksum (that of bech32).
const (
	descriptorAlphabet = "0123456789()[],'/*abcdefgh@:$%{}" +
		"IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~" +
		"ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
	checksumAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
)

var descriptorGenerator = [5]uint64{0xf5dee51989, 0xa9fdca3312, 0x1bab10e32d, 0x3706b1677a, 0x644d626ffd}

// withChecksum appends '#' and the checksum of BIP380 to a descriptor of
// characters from its alphabet.
func withChecksum(descriptor string) string {
	c := uint64(1)
	step := func(symbol int) {
		top := c >> 35
		c = (c&0x7ffffffff)<<5 ^ uint64(symbol)
		for i, g := range descriptorGenerator {
			if top>>i&1 == 1 {
				c ^= g
			}
		}
	}
	group, n := 0, 0 // the high bits of three characters make one more symbol
	for _, r := range descriptor {
		at := strings.IndexRune(descriptorAlphabet, r)
		step(at & 31)
		group, n = group*3+at>>5, n+1
		if n == 3 {
			step(group)
			group, n = 0, 0
		}
	}
	if n > 0 {
		step(group)
	}
	for range 8 {
		step(0)
	}
	c ^= 1
	sum := make([]byte, 8)
	for i := range sum {
		sum[i] = checksumAlphabet[c>>(5*(7-i))&31]
	}
	return descriptor + "#" + string(sum)
}
