package rpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

func TestParseCoins(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]consensus.Amount{
		"0": 0, "-0": 0, "0.00000000": 0, "0e99": 0, "1": 1e8, "0.1": 1e7, "0.10000000": 1e7, "0.00000001": 1, "1e-8": 1, "1e-08": 1, "1E+2": 1e10, "12.5e-1": 125e6,
		"0.000000010": 1, "0.0000000100000000000000000000": 1, "20999999.97690000": 2099999997690000, "-0.00000001": -1,
		"9999999999.99999999": 999999999999999999, "1000000000000000e-15": 1e8, "100e-9": 10,
	} {
		if got, ok := parseCoins(s); !ok || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", " ", " 1", "1 ", "+1", "-", ".", ".5", "5.", "01", "1.2.3", "1,5", "1e", "1e+", "e5", "0x10", "Infinity", "NaN", "1_000", "1e5.0", "--1", "1-1",
		"0.000000001", "1e-9", "10000000000", "1e10", "1e999", "1e99999999999999999999", "1e-99999999999999999999", "[]", "null",
	} {
		if got, ok := parseCoins(s); ok {
			t.Errorf("%q: %d, want none", s, got)
		}
	}
}

// TestAmountsRoundTrip: what is written as coins is read again exactly.
func TestAmountsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := consensus.Amount(rapid.Int64Range(-1e18+1, 1e18-1).Draw(t, "sat"))
		text, err := coins(want).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseCoins(string(text)); !ok || got != want {
			t.Fatalf("%s: %d, %v, want %d", text, got, ok, want)
		}
	})
	// A transaction that was never checked may say any amount.
	for a, want := range map[consensus.Amount]string{
		math.MinInt64: "-92233720368.54775808", math.MaxInt64: "92233720368.54775807", -1: "-0.00000001",
	} {
		if got, _ := coins(a).MarshalJSON(); string(got) != want {
			t.Errorf("%d: %s, want %s", a, got, want)
		}
	}
}

func TestDisassemble(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		script, asm string
		pushes      bool
	}{
		{"", "", true},
		{"5120" + strings.Repeat("ab", 32), "1 " + strings.Repeat("ab", 32), true},
		{"6a", "OP_RETURN", true},
		{"6a0568656c6c6f", "OP_RETURN 68656c6c6f", true},
		{"6a04ffffff7f", "OP_RETURN 2147483647", true}, // short pushes are numbers
		{"6a04ffffffff", "OP_RETURN -2147483647", true},
		{"6a0180", "OP_RETURN 0", true},
		{"6a0181", "OP_RETURN -1", true},
		{"6a00", "OP_RETURN 0", true},
		{"6a4f5160", "OP_RETURN -1 1 16", true},
		{"6a50", "OP_RETURN OP_RESERVED", true}, // Bitcoin Core counts it as a push
		{"6a4c00", "OP_RETURN 0", true},
		{"6a4c05" + "0102030405", "OP_RETURN 0102030405", true},
		{"6a4d0500" + "0102030405", "OP_RETURN 0102030405", true},
		{"6a4e05000000" + "0102030405", "OP_RETURN 0102030405", true},
		{"6a61", "OP_RETURN OP_NOP", false},
		{"6aacba", "OP_RETURN OP_CHECKSIG OP_CHECKSIGADD", false},
		{"6abbfeff", "OP_RETURN OP_UNKNOWN OP_UNKNOWN OP_INVALIDOPCODE", false},
		{"76a914" + strings.Repeat("00", 20) + "88ac", "OP_DUP OP_HASH160 " + strings.Repeat("00", 20) + " OP_EQUALVERIFY OP_CHECKSIG", false},
		{"b0b1b2b3", "OP_NOP1 OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY OP_NOP4", false},
		{"6a05010203", "OP_RETURN [error]", false},
		{"6a4c", "OP_RETURN [error]", false},
		{"6a4d01", "OP_RETURN [error]", false},
		{"6a4e010000", "OP_RETURN [error]", false},
		{"6a4effffffff00", "OP_RETURN [error]", false},
		{"4c", "[error]", false},
	} {
		script, err := hex.DecodeString(test.script)
		if err != nil {
			t.Fatal(err)
		}
		if asm, pushes := disassemble(script); asm != test.asm || pushes != test.pushes {
			t.Errorf("%s: %q, %v, want %q, %v", test.script, asm, pushes, test.asm, test.pushes)
		}
	}
}

// TestDisassembleLong makes sure that a script of a million opcodes, which a
// block may hold, takes a moment and not hours: what was written before is not
// copied again for each of them.
func TestDisassembleLong(t *testing.T) {
	// Not parallel: allocations are counted for the whole process.
	script := append([]byte{0x6a}, bytes.Repeat([]byte{0x61}, 10_000)...)
	if n := testing.AllocsPerRun(3, func() { disassemble(script) }); n > 100 {
		t.Errorf("%v allocations for %d opcodes", n, len(script))
	}
}

func TestEveryErrorHasACode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want Error
	}{
		{fmt.Errorf("wrapped: %w", fail(codeParameter, "x")), Error{-8, "x"}},
		{fmt.Errorf("block 5: %w", chain.ErrNotFound), Error{-5, "Block not found"}},
		{fmt.Errorf("reading: %w", context.Canceled), Error{-9, "Shutting down"}},
		{errors.New("something else"), Error{-1, "something else"}},
		{txError(nil, &consensus.RuleError{Kind: mempool.ErrConfirmed}), Error{-27, "Transaction outputs already in utxo set"}},
		{txError(nil, errors.New("disk")), Error{-1, "disk"}},
	} {
		if got := asError(test.err); *got != test.want {
			t.Errorf("%v: %+v, want %+v", test.err, got, test.want)
		}
	}
}

func TestNetworkName(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"8.8.8.8:1": "ipv4", "[2001:4860:4860::8888]:1": "ipv6", "[::ffff:8.8.8.8]:1": "ipv4",
		"127.0.0.1:1": "not_publicly_routable", "[::1]:1": "not_publicly_routable", "10.0.0.1:1": "not_publicly_routable",
		"[fe80::1%eth0]:1": "not_publicly_routable", "": "not_publicly_routable", "pipe": "not_publicly_routable",
	} {
		if got := networkName(addr); got != want {
			t.Errorf("%q: %s, want %s", addr, got, want)
		}
	}
}

func TestDifficulty(t *testing.T) {
	t.Parallel()
	for bits, want := range map[uint32]float64{
		0x1d00ffff: 1, 0x1b0404cb: 16307.420938523983, 0x207fffff: 4.6565423739069247e-10, 0x1e00ffff: 1.0 / 256, 0x1d7f0000: 65535.0 / 0x7f0000,
		0: 0, 0x00000001: math.Ldexp(0xffff, 8*29), 0xff000001: math.Ldexp(0xffff, -8*226),
	} {
		if got := difficulty(bits); math.Abs(got-want) > want*1e-9 {
			t.Errorf("%08x: %v, want %v", bits, got, want)
		}
	}
}
