package blockfilter

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"lode/consensus"
)

// TestVectors runs BIP158's vectors, of blocks of Bitcoin's testnet.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/blockfilters.json")
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]json.RawMessage
	if err := json.Unmarshal(raw, &lines); err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, line := range lines[1:] { // the first names the columns
		var text [6]string // of block hash, block, -, previous header, filter, header
		for to, from := range map[int]int{0: 1, 1: 2, 3: 4, 4: 5, 5: 6} {
			if err := json.Unmarshal(line[from], &text[to]); err != nil {
				t.Fatal(err)
			}
		}
		var spentText []string
		if err := json.Unmarshal(line[3], &spentText); err != nil {
			t.Fatal(err)
		}
		hash, before := mustHash(t, text[0]), mustHash(t, text[3])
		block, err := consensus.DecodeBlock(mustHex(t, text[1]))
		if err != nil {
			t.Fatalf("block %s: %v", hash, err)
		}
		var spent [][]byte
		for _, s := range spentText {
			spent = append(spent, mustHex(t, s))
		}
		scripts := Scripts(block, spent)
		filter, err := Build(hash, scripts)
		if err != nil || !bytes.Equal(filter, mustHex(t, text[4])) {
			t.Errorf("block %s: filter %x, want %s: %v", hash, filter, text[4], err)
		}
		if got := HeaderOf(HashOf(filter), before); got != mustHash(t, text[5]) {
			t.Errorf("block %s: header %s, want %s", hash, got, text[5])
		}
		for _, script := range scripts {
			if ok, err := Match(filter, hash, [][]byte{[]byte("not there"), script}); !ok || err != nil {
				t.Errorf("block %s: %x does not match: %v", hash, script, err)
			}
		}
		if ok, err := Match(filter, hash, [][]byte{[]byte("not there"), {opReturn, 1, 2}}); ok || err != nil {
			t.Errorf("block %s: what is not there matches: %v", hash, err)
		}
		tested++
	}
	if tested < 10 {
		t.Errorf("%d vectors", tested)
	}
}

func mustHex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustHash(t *testing.T, s string) consensus.Hash {
	h, err := consensus.ParseHash(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
