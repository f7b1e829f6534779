package consensus

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

func TestHeightScript(t *testing.T) {
	for _, tc := range []struct {
		height uint32
		want   string
	}{
		{0, "00"}, {1, "51"}, {2, "52"}, {16, "60"}, {17, "0111"},
		{127, "017f"}, {128, "028000"}, {255, "02ff00"}, {256, "020001"},
		{32767, "02ff7f"}, {32768, "03008000"}, {65535, "03ffff00"}, {65536, "03000001"},
		{8388607, "03ffff7f"}, {8388608, "0400008000"}, {16777215, "04ffffff00"}, {16777216, "0400000001"},
		{1<<31 - 1, "04ffffff7f"}, {1 << 31, "050000008000"}, {1<<32 - 1, "05ffffffff00"},
	} {
		if got := hex.EncodeToString(heightScript(tc.height)); got != tc.want {
			t.Errorf("height %d: %s, want %s", tc.height, got, tc.want)
		}
	}
}

// BIP30 never has to be looked up for a good block because no height's script
// is the beginning of another's, see overwriteFirst.
func TestHeightScriptsAreNoPrefixes(t *testing.T) {
	seen := make(map[string]uint32)
	for _, from := range []uint32{0, 32700, 65500, 8388600, 16777200} {
		for h := from; h < from+300; h++ {
			s := string(heightScript(h))
			for n := 1; n <= len(s); n++ {
				if other, ok := seen[s[:n]]; ok {
					t.Fatalf("the script of %d begins with that of %d", h, other)
				}
			}
			seen[s] = h
		}
	}
}

func TestSigops(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		want         int
	}{
		{"empty", "", 0},
		{"CHECKSIG", "ac", 1},
		{"CHECKSIGVERIFY", "ad", 1},
		{"CHECKMULTISIG", "ae", 20},
		{"CHECKMULTISIGVERIFY", "af", 20},
		{"1 of 1 CHECKMULTISIG is 20 too", "5151ae", 20},
		{"all four", "acadaeaf", 42},
		{"CHECKSIGADD does not count", "ba", 0},
		{"behind OP_RETURN", "6aac", 1},
		{"behind an unknown opcode", "ffac", 1},
		{"in a push", "01ac", 0},
		{"behind a push", "01acac", 1},
		{"behind a push that is cut short", "ac02ac", 1},
		{"in PUSHDATA1", "4c02acac", 0},
		{"behind PUSHDATA1", "4c02acacac", 1},
		{"behind an empty PUSHDATA1", "4c00ac", 1},
		{"PUSHDATA1 without its length", "ac4c", 1},
		{"in PUSHDATA2", "4d0200acac", 0},
		{"behind PUSHDATA2", "4d0200acacac", 1},
		{"PUSHDATA2 with half its length", "ac4dac", 1},
		{"in PUSHDATA4", "4e02000000acac", 0},
		{"behind PUSHDATA4", "4e02000000acacac", 1},
		{"PUSHDATA4 of 4 GiB", "ac4effffffffacac", 1},
		{"PUSHDATA4 of 2 GiB", "ac4e00000080acac", 1},
		{"a push of 75 bytes", "4b" + hex.EncodeToString(bytes.Repeat([]byte{0xac}, 75)) + "ac", 1},
	} {
		if got := sigops(unhex(t, tc.script)); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
	tx := &Tx{In: []TxIn{{ScriptSig: []byte{0xac}}}, Out: []TxOut{{Script: []byte{0xae}}, {Script: []byte{0xac}}}}
	if got := tx.SigopsCost(); got != 4*22 {
		t.Errorf("cost %d, want 88", got)
	}
}

func TestDataScript(t *testing.T) {
	for _, tc := range []struct {
		size  int
		begin string
	}{
		{0, "6a00"}, {1, "6a01"}, {75, "6a4b"}, {76, "6a4c4c"}, {255, "6a4cff"}, {256, "6a4d0001"}, {65535, "6a4dffff"},
	} {
		data := bytes.Repeat([]byte{7}, tc.size)
		if got, want := DataScript(data), slices.Concat(unhex(t, tc.begin), data); !bytes.Equal(got, want) || !IsDataScript(got) {
			t.Errorf("%d bytes: begins with %x, want %s", tc.size, got[:min(len(got), 4)], tc.begin)
		}
	}
	if IsDataScript(nil) || IsDataScript([]byte{0x51, 0x6a}) {
		t.Error("only OP_RETURN at the beginning makes a data script")
	}
}

func TestPushOnly(t *testing.T) {
	for script, want := range map[string]bool{
		"": true, "\x00": true, "\x01": false, "\x01\xff": true, "\x4b": false, "\x4c\x01\xff": true, "\x4c": false,
		"\x4d\x01\x00\xff": true, "\x4e\x01\x00\x00\x00\xff": true, "\x4e\xff\xff\xff\xff": false, "\x4e\x00\x00\x00\x80": false,
		"\x60": true, "\x61": false, "\x51\xac": false,
	} {
		if got := IsPushOnly([]byte(script)); got != want {
			t.Errorf("%x: %v", script, got)
		}
	}
}
