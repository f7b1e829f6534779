package consensus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Taproot addresses of BIP350 and their output keys.
var goodAddresses = []struct{ prefix, address, key string }{
	{"tb", "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
	{"bc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
	{"bc", "BC1P0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQZK5JJ0", "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
}

func TestGoodAddresses(t *testing.T) {
	for _, tc := range goodAddresses {
		key, err := ParseAddress(tc.prefix, tc.address)
		if want := [32]byte(unhex(t, tc.key)); err != nil || key != want {
			t.Errorf("%s: key %x (%v), want %x", tc.address, key, err, want)
		}
		if got := Address(tc.prefix, key); got != strings.ToLower(tc.address) {
			t.Errorf("%x: address %s, want %s", key, got, tc.address)
		}
	}
}

// TestMistypedAddressSaysNoChecksum: the error of an address with one wrong letter
// says where it is, and never what would make it valid: somebody would paste it.
func TestMistypedAddressSaysNoChecksum(t *testing.T) {
	text := Address("bcrt", [32]byte{7})
	for at := len("bcrt1"); at < len(text); at++ {
		letter := byte('q')
		if text[at] == letter {
			letter = 'p'
		}
		wrong := text[:at] + string(letter) + text[at+1:]
		_, err := ParseAddress("bcrt", wrong)
		if e, ok := errors.AsType[*AddressError](err); !ok || len(e.At) != 1 || e.At[0] != at {
			t.Fatalf("%v, want the place %d", err, at)
		}
		if want := fmt.Sprintf("not a usable address: %q is not bech32m: its checksum is wrong; look at character %d", wrong, at+1); err == nil || err.Error() != want {
			t.Fatalf("%v, want %s", err, want)
		}
	}
	_, err := ParseAddress("bcrt", text[:len(text)-3])
	if want := fmt.Sprintf("not a usable address: %q is not bech32m: it has 61 characters, and addresses here have 64", text[:len(text)-3]); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestMinerAddress writes the one of BIP350's bad examples that only has the old
// checksum.
func TestMinerAddress(t *testing.T) {
	key := [32]byte(unhex(t, goodAddresses[1].key))
	if got, want := MinerAddress("bc", key), "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What BIP173 and BIP350 list, with what is wrong about it. The valid ones
// among them are of kinds that Lode has no outputs for.
var badAddresses = []struct{ prefix, address, says string }{
	// Valid in BIP350, but not Taproot.
	{"bc", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "version 1"},
	{"tb", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", "version 1"},
	{"bc", "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y", "32 bytes"},
	{"bc", "BC1SW50QGDZ25J", "version 1"},
	{"bc", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "version 1"},
	{"tb", "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", "version 1"},

	// Invalid in BIP350.
	{"bc", "tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "another network"},
	{"bc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "old bech32 checksum"},
	{"tb", "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", "version 1"},
	{"bc", "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL", "version 1"},
	{"bc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", "version 1"},
	{"tb", "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47", "version 1"},
	{"bc", "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "not bech32m"},
	{"bc", "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "version 1"},
	{"bc", "bc1pw5dgrnzv", "32 bytes"},
	{"bc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav", "32 bytes"},
	{"bc", "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "version 1"},
	{"tb", "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", "not bech32m"},
	{"bc", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "32 bytes"},
	{"tb", "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", "32 bytes"},
	{"bc", "bc1gmk9yu", "version 1"},

	// Invalid in BIP173.
	{"tc", "tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty", "version 1"},
	{"bc", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "not bech32m"},
	{"bc", "BC13W508D6QEJXTDG4Y5R3ZARVARY0C5XW7KN40WF2", "version 1"},
	{"bc", "bc1rw5uspcuh", "version 1"},
	{"tb", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7", "not bech32m"},

	// Strings that are no bech32m in BIP350, whatever they are for.
	{"bc", "\x201xj0phk", "not bech32m"},
	{"bc", "\x7f1g6xzxy", "not bech32m"},
	{"bc", "\x801vctc34", "not bech32m"},
	{"bc", "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4", "not bech32m"},
	{"bc", "qyrz8wqd2c9m", "not bech32m"},
	{"bc", "1qyrz8wqd2c9m", "not bech32m"},
	{"bc", "y1b0jsk6g", "not bech32m"},
	{"bc", "lt1igcx5c0", "not bech32m"},
	{"bc", "in1muywd", "not bech32m"},
	{"bc", "mm1crxm3i", "not bech32m"},
	{"bc", "au1s5cgom", "not bech32m"},
	{"bc", "M1VUXWEZ", "not bech32m"},
	{"bc", "16plkw9", "not bech32m"},
	{"bc", "1p2gdwpf", "not bech32m"},
	{"bc", "", "not bech32m"},
}

func TestBadAddresses(t *testing.T) {
	for _, tc := range badAddresses {
		key, err := ParseAddress(tc.prefix, tc.address)
		if !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: key %x, error %v, which should say %q", tc.address, key, err, tc.says)
		}
	}
}

func TestAddressOfAnotherNetwork(t *testing.T) {
	a := Address("lode", [32]byte{1})
	if _, err := ParseAddress("lode", a); err != nil {
		t.Error(err)
	}
	if _, err := ParseAddress("tlode", a); err == nil || !strings.Contains(err.Error(), `"lode", want "tlode"`) {
		t.Errorf("got %v", err)
	}
}
