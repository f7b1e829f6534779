package consensus

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"
)

var genesisField = regexp.MustCompile(`\n *"genesis": "[0-9a-f]*",`)

// The genesis of main is what MineGenesis begins with, and a nonce.
func TestNewGenesisIsThatOfMain(t *testing.T) {
	spec, err := EmbeddedSpec("main")
	if err != nil {
		t.Fatal(err)
	}
	want := spec.Rules.Genesis()
	b := newGenesis(want.Time, "Lode main 2026-11-01: every coin a Taproot output")
	b.Bits, b.Nonce = want.Bits, want.Nonce
	b.MerkleRoot, _ = MerkleRoot(b.TxIDs())
	if !bytes.Equal(b.Bytes(), want.Bytes()) {
		t.Errorf("got %x, want %x", b.Bytes(), want.Bytes())
	}
}

func TestMineGenesis(t *testing.T) {
	draft := genesisField.ReplaceAllString(privateSpec(t), "")
	harder := strings.Replace(draft, "207fffff", "1f7fffff", 1) // 512 hashes
	for _, draft := range []string{draft, harder} {
		doc, err := MineGenesis(context.Background(), []byte(draft), 1_800_000_000, "a message", nil)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := ParseSpec(doc)
		if err != nil {
			t.Fatal(err)
		}
		b := spec.Rules.Genesis()
		if b.Time != 1_800_000_000 || !bytes.Contains(b.Txs[0].In[0].ScriptSig, []byte("a message")) {
			t.Errorf("time %d, script %q", b.Time, b.Txs[0].In[0].ScriptSig)
		}
		if !bytes.Equal(doc, spec.JSON()) {
			t.Error("the document is not as it is printed")
		}
		// Mining again changes nothing: there is a genesis, and its nonce is
		// the first.
		again, err := MineGenesis(context.Background(), doc, 1, "another", nil)
		if err != nil || !bytes.Equal(again, doc) {
			t.Errorf("mined again it is another document (%v)", err)
		}
	}
}

func TestMineGenesisOfADraftWithABlock(t *testing.T) {
	r := regtestRules(t)
	b := r.Genesis()
	unworked := &Block{Header: b.Header, Txs: b.Txs}
	unworked.Nonce, unworked.MerkleRoot, unworked.Bits = 7, Hash{}, 0
	draft := strings.Replace(privateSpec(t), hex.EncodeToString(b.Bytes()), hex.EncodeToString(unworked.Bytes()), 1)
	if _, err := ParseSpec([]byte(draft)); err == nil {
		t.Fatal("the draft is good already")
	}
	doc, err := MineGenesis(context.Background(), []byte(draft), 1, "not used", nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ParseSpec(doc)
	if err != nil || spec.Rules.Genesis().Txs[0].TxID() != b.Txs[0].TxID() || spec.Rules.Genesis().Time != b.Time {
		t.Errorf("the transaction or the time changed (%v)", err)
	}
}

func TestMineGenesisErrors(t *testing.T) {
	good := privateSpec(t)
	draft := genesisField.ReplaceAllString(good, "")
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tc := range []struct {
		name, draft, message, says string
		ctx                        context.Context
	}{
		{"not JSON", "{", "", "chainspec refused", context.Background()},
		{"another field missing", strings.Replace(draft, `"maturity": 100,`, "", 1), "", `"rules.maturity"`, context.Background()},
		{"no target", strings.Replace(draft, "207fffff", "20ffffff", 1), "", `"rules.pow_limit"`, context.Background()},
		{"an impossible value", strings.Replace(draft, `"maturity": 100,`, `"maturity": 0,`, 1), "", `"rules.maturity"`, context.Background()},
		{"no block", strings.Replace(good, `"genesis": "01`, `"genesis": "`, 1), "", `"rules.genesis"`, context.Background()},
		{"a name that is taken", strings.Replace(draft, "private", "main", 1), "", `"name"`, context.Background()},
		{"a long message", draft, strings.Repeat("x", 98), "1 too long", context.Background()},
		{"stopped", strings.Replace(draft, "207fffff", "1d00ffff", 1), "", "canceled", done},
	} {
		_, err := MineGenesis(tc.ctx, []byte(tc.draft), 1_800_000_000, tc.message, nil)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.says)
		}
	}
	if _, err := MineGenesis(context.Background(), []byte(draft), 1, strings.Repeat("x", 97), nil); err != nil {
		t.Errorf("a message of 97 bytes: %v", err)
	}
	if _, err := MineGenesis(done, []byte(draft), 1, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// When all nonces were tried, the next second has new ones.
func TestMineGoesToLaterTimes(t *testing.T) {
	h := &Header{Nonce: 0xfffffffe, Time: 5}
	if nextNonce(h); h.Nonce != 0xffffffff || h.Time != 5 {
		t.Errorf("nonce %x, time %d", h.Nonce, h.Time)
	}
	if nextNonce(h); h.Nonce != 0 || h.Time != 6 {
		t.Errorf("nonce %x, time %d", h.Nonce, h.Time)
	}
}
