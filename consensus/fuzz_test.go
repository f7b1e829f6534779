package consensus_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"runtime/metrics"
	"strings"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// fuzzBlocks are a good block with some transactions and all bad ones of the
// tables that are not large.
func fuzzBlocks() [][]byte {
	var blocks [][]byte
	for _, table := range [][]ruleCase{headerRules, blockRules, txRules, spendRules} {
		for _, tc := range table {
			if raw := tc.block(baseChain().Clone()).Bytes(); len(raw) < 2000 {
				blocks = append(blocks, raw)
			}
		}
	}
	return blocks
}

// decoders give the encoding of what they read, or an error.
var decoders = map[string]func([]byte) ([]byte, error){
	"header": func(b []byte) ([]byte, error) {
		h, err := consensus.DecodeHeader(b)
		return h.Append(nil), err
	},
	"transaction": func(b []byte) ([]byte, error) {
		tx, err := consensus.DecodeTx(b)
		if err != nil {
			return nil, err
		}
		return tx.Bytes(), nil
	},
	"block": func(b []byte) ([]byte, error) {
		block, err := consensus.DecodeBlock(b)
		if err != nil {
			return nil, err
		}
		return block.Bytes(), nil
	},
	"compact size": func(b []byte) ([]byte, error) {
		d := consensus.NewDecoder(b)
		n := d.CompactSize()
		return consensus.AppendCompactSize(nil, n), d.Finish()
	},
	"byte string": func(b []byte) ([]byte, error) {
		d := consensus.NewDecoder(b)
		s := d.VarBytes()
		return consensus.AppendVarBytes(nil, s), d.Finish()
	},
	"chainspec": func(b []byte) ([]byte, error) { // any white space will do, so its own form is compared
		spec, err := consensus.ParseSpec(b)
		if err != nil {
			return nil, asDecode(err, consensus.ErrSpec)
		}
		again, err := consensus.ParseSpec(spec.JSON())
		if err != nil || !bytes.Equal(again.JSON(), spec.JSON()) || again.Rules.ID() != spec.Rules.ID() {
			return nil, errors.New("a chainspec changed by being printed")
		}
		return b, nil
	},
	"address": func(b []byte) ([]byte, error) { // upper case is as good
		key, err := consensus.ParseAddress("bcrt", string(b))
		if err != nil {
			return nil, asDecode(err, consensus.ErrAddress)
		}
		if a := consensus.Address("bcrt", key); a != strings.ToLower(string(b)) {
			return nil, errors.New("two addresses of one key")
		}
		return b, nil
	},
	"hash": func(b []byte) ([]byte, error) {
		h, err := consensus.ParseHash(string(b))
		if err != nil {
			return nil, consensus.ErrDecode
		}
		if h.String() != strings.ToLower(string(b)) {
			return nil, errors.New("two hashes of one text")
		}
		return b, nil
	},
}

func asDecode(err, kind error) error {
	if errors.Is(err, kind) {
		return consensus.ErrDecode
	}
	return err
}

// checkDecoder wants a decoder to accept only what it would write itself, and
// every error to be of the decoders' kind.
func checkDecoder(t *testing.T, name string, raw []byte) {
	t.Helper()
	again, err := decoders[name](raw)
	if err == nil && !bytes.Equal(again, raw) {
		t.Errorf("%s: %x is written as %x", name, raw, again)
	}
	if err != nil && !errors.Is(err, consensus.ErrDecode) {
		t.Errorf("%s: %x: %v", name, raw, err)
	}
}

func FuzzDecoders(f *testing.F) {
	for _, raw := range fuzzBlocks() {
		f.Add(raw)
		f.Add(raw[:80])
		f.Add(raw[81:])
	}
	doc, err := os.ReadFile("specs/regtest.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Replace(doc, []byte(`"regtest"`), []byte(`"private"`), 1))
	f.Add([]byte(consensus.Address("bcrt", testchain.Key(1).Public())))
	f.Add([]byte(baseChain().State.Hash.String()))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := allocated()
		for name := range decoders {
			checkDecoder(t, name, raw)
		}
		// The slack is for what the runtime and the fuzzer themselves take.
		if took := allocated() - before; took > uint64(len(raw))*1000+16<<20 {
			t.Errorf("%d bytes took %d bytes of memory", len(raw), took)
		}
	})
}

// allocated is how many bytes were ever taken from the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func FuzzHeader(f *testing.F) {
	for _, raw := range fuzzBlocks() {
		f.Add(raw[:80])
	}
	r := baseChain().Rules
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkDecoder(t, "header", raw)
		h, err := consensus.DecodeHeader(raw)
		if err != nil {
			return
		}
		s, err := r.ApplyHeader(baseChain().State, &h, consensus.NoTimeLimit)
		if err == nil && (s.Hash != h.Hash() || s.Height != baseHeight+1 || !s.Work.Gt(&baseChain().State.Work)) {
			t.Errorf("state %+v", s)
		}
	})
}

func FuzzTx(f *testing.F) {
	for _, raw := range fuzzBlocks() {
		b, err := consensus.DecodeBlock(raw)
		if err != nil {
			continue // the transaction without inputs has no encoding
		}
		for _, tx := range b.Txs {
			f.Add(tx.Bytes())
		}
	}
	r := baseChain().Rules
	var batch consensus.TxBatch
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkDecoder(t, "transaction", raw)
		tx, err := consensus.DecodeTx(raw)
		if same, id, batchErr := batch.Decode(raw); (err == nil) != (batchErr == nil) {
			t.Errorf("in a batch: %v, alone: %v", batchErr, err)
		} else if err == nil && (id != tx.TxID() || !bytes.Equal(same.Bytes(), raw)) {
			t.Error("decoded to another transaction in a batch, or with another id")
		}
		if err != nil {
			return
		}
		if tx.Size() != len(raw) || tx.Weight() < 4*tx.StrippedSize() {
			t.Errorf("size %d, stripped %d, %d bytes", tx.Size(), tx.StrippedSize(), len(raw))
		}
		if r.CheckTx(tx) != nil {
			return
		}
		coins := make([]consensus.Coin, len(tx.In))
		for i := range coins {
			coins[i] = consensus.Coin{Value: coin, Key: testchain.Key(1).Public()}
		}
		for _, check := range consensus.SpendChecks(tx, tx.TxID(), coins) {
			if _, err := check.Signature(); err != nil {
				if _, ok := consensus.TxReason(err); !ok {
					t.Errorf("no reason: %v", err)
				}
			}
		}
	})
}

func FuzzBlock(f *testing.F) {
	for _, raw := range fuzzBlocks() {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkDecoder(t, "block", raw) })
}

func FuzzSpec(f *testing.F) {
	for _, name := range consensus.SpecNames {
		doc, err := os.ReadFile("specs/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Replace(doc, []byte(`"name": "`), []byte(`"name": "my`), 1))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { checkDecoder(t, "chainspec", raw) })
}

func FuzzBits(f *testing.F) {
	for _, bits := range []uint32{0, 0x207fffff, 0x1d00ffff, 0x01010000, 0x20800000, 0x220000ff, 0xff7fffff} {
		f.Add(bits)
	}
	f.Fuzz(func(t *testing.T, bits uint32) {
		target, ok := consensus.TargetFromBits(bits)
		work := consensus.WorkFromBits(bits)
		if ok == target.IsZero() || ok == work.IsZero() {
			t.Fatalf("%08x: possible %v, target %s, work %s", bits, ok, target.Hex(), work.Hex())
		}
		if !ok {
			return
		}
		back, ok := consensus.TargetFromBits(consensus.BitsFromTarget(target))
		if !ok || back != target {
			t.Errorf("%08x: target %s became %s", bits, target.Hex(), back.Hex())
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add(consensus.Address("bcrt", testchain.Key(1).Public()))
	f.Add("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
	f.Add(strings.ToUpper(consensus.Address("bcrt", testchain.Key(2).Public())))
	f.Fuzz(func(t *testing.T, s string) { checkDecoder(t, "address", []byte(s)) })
}

// FuzzValidateBlock changes blocks and, if told so, seals them again, so that
// what is changed gets past the merkle root.
func FuzzValidateBlock(f *testing.F) {
	for _, raw := range fuzzBlocks() {
		for mode := range uint8(4) {
			f.Add(raw, mode)
		}
	}
	c := baseChain()
	var before consensus.Amount
	for _, coin := range c.Coins {
		before += coin.Value
	}
	f.Fuzz(func(t *testing.T, raw []byte, mode uint8) {
		b, err := consensus.DecodeBlock(raw)
		if err != nil {
			return
		}
		if mode&1 != 0 && len(b.Txs) > 0 && len(b.Txs[0].In) > 0 && len(b.Txs[0].Out) > 0 {
			testchain.Commit(b)
		}
		if mode&2 != 0 {
			b.Prev, b.Bits = c.State.Hash, c.Rules.NextBits(&c.State)
			testchain.Seal(b)
		}
		u, err := c.Check(b)
		if err != nil {
			if _, ok := consensus.BlockReason(err); !ok && b.Prev == c.State.Hash {
				t.Errorf("no reason: %v", err)
			}
			return
		}
		after := changed(c.Coins, u.View)
		var sum consensus.Amount
		for _, coin := range after {
			sum += coin.Value
		}
		if sum > before+c.Rules.Subsidy(baseHeight+1) {
			t.Errorf("money was made: %d before, %d after\n%s", before, sum, hex.EncodeToString(b.Bytes()))
		}
		view := consensus.NewView(after)
		if err := consensus.RevertBlock(view, b, u.IDs, u.Spent); err != nil || !maps.Equal(changed(after, view), c.Coins) {
			t.Errorf("the block does not revert: %v", err)
		}
	})
}
