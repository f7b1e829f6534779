package sigcheck

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"pgregory.net/rapid"

	"lode/consensus"
)

// spend makes a signed transaction with the given number of inputs, no two of
// which are alike for different seeds, and what there is to check.
func spend(seed, inputs int) (*consensus.Tx, []consensus.Coin, []consensus.SpendCheck) {
	tx := &consensus.Tx{Version: 2, LockTime: uint32(seed), Out: []consensus.TxOut{{Value: 1000}}}
	coins := make([]consensus.Coin, inputs)
	spent := make([]consensus.TxOut, inputs)
	keys := make([]*btcec.PrivateKey, inputs)
	for i := range inputs {
		keys[i], _ = btcec.PrivKeyFromBytes([]byte{1, byte(seed >> 8), byte(seed), byte(i >> 8), byte(i)})
		coins[i] = consensus.Coin{Value: 5000, Key: [32]byte(schnorr.SerializePubKey(keys[i].PubKey()))}
		spent[i] = coins[i].Output()
		tx.In = append(tx.In, consensus.TxIn{PrevOut: consensus.OutPoint{Index: uint32(i)}})
	}
	hasher := consensus.NewSigHasher(tx, spent)
	for i := range inputs {
		hash, _ := hasher.SigHash(i, consensus.SigHashDefault, nil)
		sig, err := schnorr.Sign(keys[i], hash[:], schnorr.FastSign())
		if err != nil {
			panic(err)
		}
		tx.In[i].Witness = [][]byte{sig.Serialize()}
	}
	return tx, coins, consensus.SpendChecks(tx, tx.TxID(), coins)
}

// expected is what a checker must say: each check by itself, in order.
func expected(checks []consensus.SpendCheck) error {
	for i := range checks {
		sig, err := checks[i].Signature()
		if err != nil {
			return err
		}
		if !sig.Verify() {
			return checks[i].Invalid()
		}
	}
	return nil
}

func sameError(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestBatchVerify corrupts witnesses and coins, in form and in content, and
// compares the error with that of one check after the other.
func TestBatchVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 9, 40, 150}).Draw(t, "inputs")
		tx, coins, checks := spend(rapid.IntRange(0, 5).Draw(t, "seed"), n)
		c := New(1000)
		c.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		if rapid.Bool().Draw(t, "seen before") {
			if err := c.Verify(checks[:n/2]); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "corruptions") {
			i := rapid.IntRange(0, n-1).Draw(t, "i")
			in := &tx.In[i]
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				in.Witness = nil
			case 1:
				in.Witness = [][]byte{make([]byte, 63)}
			case 2:
				other := &tx.In[n-1-i]
				in.Witness, other.Witness = other.Witness, in.Witness
			case 3:
				coins[i].Key[3] ^= 4
			case 4:
				in.Witness = [][]byte{append(make([]byte, 64), 1)}
			}
		}
		checks = consensus.SpendChecks(tx, tx.TxID(), coins)
		want := expected(checks)
		for range 2 { // the second time valid ones come from the cache
			if got := c.Verify(checks); !sameError(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
		if c.Disagreements() != 0 {
			t.Fatal("the batch and btcec disagree")
		}
	})
}

// TestBatchBlocks verifies several blocks together, more than fit into one
// batch for each core.
func TestBatchBlocks(t *testing.T) {
	_, _, checks := spend(1, 900)
	blocks := [][]consensus.SpendCheck{checks[:3], nil, checks[3:800], checks[800:], checks, checks, checks, checks}
	c := New(10_000)
	c.workers = 1
	if block, err := c.VerifyBlocks(blocks); block != len(blocks) || err != nil {
		t.Fatalf("block %d, %v", block, err)
	}
	if n := len(c.cache.young) + len(c.cache.old); n != 0 {
		t.Errorf("%d signatures of blocks are remembered", n)
	}
	for _, bad := range []int{0, 2, 3, 7} {
		blocks := slices.Clone(blocks)
		blocks[bad] = slices.Clone(blocks[bad])
		last := len(blocks[bad]) - 1
		blocks[bad][last].Key[0] ^= 1
		block, err := c.VerifyBlocks(blocks)
		if want := blocks[bad][last].Invalid(); block != bad || !sameError(err, want) || !errors.Is(err, consensus.ErrSig) {
			t.Errorf("block %d with %v, want %d with %v", block, err, bad, want)
		}
	}
}

// TestBatchForgets makes sure that the cache knows what was valid, nothing
// else, and not more than it may.
func TestBatchForgets(t *testing.T) {
	_, _, checks := spend(2, 100)
	c := New(1000)
	checks[70].Key[0] ^= 1
	if err := c.Verify(checks); err == nil {
		t.Fatal("an invalid signature is valid")
	}
	sig, err := checks[70].Signature()
	if err != nil {
		t.Fatal(err)
	}
	items := []item{{id: c.id(&sig)}}
	if c.cache.look(items); items[0].known {
		t.Error("an invalid signature is remembered")
	}
	checks[70].Key[0] ^= 1
	if err := c.Verify(checks); err != nil {
		t.Fatal(err)
	}
	if n := len(c.cache.young) + len(c.cache.old); n != len(checks) {
		t.Errorf("%d signatures are remembered, want %d", n, len(checks))
	}
	if New(0).salt == c.salt {
		t.Error("two checkers have the same salt")
	}
	small := New(10)
	if err := small.Verify(checks); err != nil {
		t.Fatal(err)
	}
	if n := len(small.cache.young) + len(small.cache.old); n > 10 {
		t.Errorf("%d signatures are remembered, want at most 10", n)
	}
}

// TestBatchConcurrently uses one checker from several goroutines.
func TestBatchConcurrently(t *testing.T) {
	c := New(300)
	var wg sync.WaitGroup
	for g := range 8 {
		_, _, checks := spend(g/2, 120)
		wg.Go(func() {
			for i := range 6 {
				mine := slices.Clone(checks)
				if i%2 == 1 {
					mine[g*10+20].Key[1] ^= 1
					mine[g*10+30].Key[1] ^= 1
				}
				if got, want := c.Verify(mine), expected(mine[g*10+20:g*10+21]); !sameError(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
	wg.Wait()
	if c.Disagreements() != 0 {
		t.Error("the batch and btcec disagree")
	}
}

// BenchmarkVerify is a whole verification on all cores, hashes included, of
// transactions with two inputs.
func BenchmarkVerify(b *testing.B) {
	var all []consensus.SpendCheck
	for i := range 2048 {
		_, _, checks := spend(i, 2)
		all = append(all, checks...)
	}
	for _, n := range []int{1, 2, 16, 64, 256, 1024, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := New(0)
			perSignature(b, n, c.workers, func() bool {
				_, err := c.VerifyBlocks([][]consensus.SpendCheck{all[:n]})
				return err == nil
			})
		})
	}
}
