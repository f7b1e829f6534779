package wallet

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"lode/consensus"
)

// benchWallet writes the files of a wallet that has made payments one after the
// other, each from the change of the one before, 5 in a block. Its change keys are
// made up, as deriving so many takes long.
func benchWallet(tb testing.TB, payments int) Files {
	tb.Helper()
	files := FilesOf(filepath.Join(tb.TempDir(), "w.age"))
	s, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		tb.Fatal(err)
	}
	mnemonic, err := NewMnemonic(12)
	if err != nil {
		tb.Fatal(err)
	}
	w, err := Create(tb.Context(), files, s, CreateOptions{Mnemonic: mnemonic, Passphrase: testPassphrase, WorkFactor: testWorkFactor})
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close()
	change := branchID{0, ChangeChain}
	b := w.branch(ChangeChain)
	for i := len(b.keys); i < payments+DefaultGap+1; i++ {
		key := consensus.DoubleSHA256(binary.BigEndian.AppendUint32([]byte("key"), uint32(i)))
		w.do(event{kind: evKey, branch: change, raw: key[:]})
	}
	w.do(event{kind: evLooked, branch: change, n: uint64(len(b.keys))})
	coin := consensus.OutPoint{TxID: consensus.Hash{1}}
	value := 1000 * consensus.SatPerCoin
	hash := func(height uint32) consensus.Hash {
		return consensus.DoubleSHA256(binary.BigEndian.AppendUint32([]byte("block"), height))
	}
	for i := range payments {
		height := uint32(i/5 + 1)
		if i%5 == 0 {
			w.do(event{kind: evPoint, block: blockRef{Point: Point{height, hash(height)}}})
		}
		value -= 2154
		tx := &consensus.Tx{Version: 2, LockTime: height, In: []consensus.TxIn{{PrevOut: coin, Sequence: sequenceReplaceable, Witness: [][]byte{make([]byte, 64)}}},
			Out: []consensus.TxOut{{Value: 2000, Script: consensus.TaprootScript(stranger)}, {Value: value, Script: consensus.TaprootScript(b.keys[i])}}}
		w.do(event{kind: evTx, n: uint64(1_700_000_000 + i), flags: flagOwn, raw: tx.Bytes()})
		id := tx.TxID()
		w.do(event{kind: evSent, ref: id, n: uint64(1_700_000_000 + i)})
		w.do(event{kind: evBlock, ref: id, block: blockRef{Point{height, hash(height)}, uint32(i%5 + 1), 1_700_000_000 + uint32(i)}})
		coin = consensus.OutPoint{TxID: id, Index: 1}
	}
	if err := w.file.replace(w.snapshot()); err != nil {
		tb.Fatal(err)
	}
	return files
}

// BenchmarkOpen opens a wallet of 100,000 payments, which is to take less than
// 200 ms.
func BenchmarkOpen(b *testing.B) {
	files := benchWallet(b, 100_000)
	s, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w, err := Open(b.Context(), files, s)
		if err != nil {
			b.Fatal(err)
		}
		if w.Balance().Confirmed == 0 {
			b.Fatal("there is nothing")
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSelect chooses among 10,000 coins, which is to take less than 50 ms.
func BenchmarkSelect(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	coins := testCoins(rng, 10_000)
	sum := total(coins)
	for name, q := range map[string]want{
		"a hundredth": {amount: sum / 100, rate: 5000, outs: payOne},
		"a tenth":     {amount: sum / 10, rate: 20_000, outs: payOne},
		"one coin":    {amount: coins[0].Value / 2, rate: 1000, outs: payOne},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := selectCoins(coins, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
