package oracle

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

var (
	cases = flag.Int("oracle.n", 3000, "how many transactions and blocks to compare; a tenth with -short")
	seed  = flag.Uint64("oracle.seed", 1, "of the random transactions and blocks")
	only  = flag.Int("oracle.only", -1, "the case to say more about")
)

// TestMain reads the flags.
func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		*cases /= 10
	}
	os.Exit(m.Run())
}

// advanceEvery is how many cases share a tip, on average: a good block then
// becomes the next tip of both chains.
const advanceEvery = 150

// outside reports whether a verdict is about what Lode leaves out on purpose.
func outside(err error) bool {
	return errors.Is(err, consensus.ErrOutputType) || errors.Is(err, consensus.ErrScriptPath)
}

// knownFault reports whether the verdict on b is one that btcd gets wrong
// (v0.26.2, blockchain/utxoviewpoint.go): before it looks at any transaction it
// makes all outputs of one available that a later one spends from, also to
// transactions that come before both. Bitcoin Core adds them one transaction
// after the other (ConnectBlock, UpdateCoins).
func knownFault(b *consensus.Block, err error) bool {
	if !errors.Is(err, consensus.ErrMissingInputs) {
		return false
	}
	place := make(map[consensus.Hash]int)
	for i, tx := range b.Txs {
		place[tx.TxID()] = i
	}
	before, after := make(map[int]bool), make(map[int]bool) // of which something is spent before and after it
	for i, tx := range b.Txs {
		for n := range tx.In {
			if k, ok := place[tx.In[n].PrevOut.TxID]; ok {
				before[k], after[k] = before[k] || i < k, after[k] || i > k
			}
		}
	}
	for k := range b.Txs {
		if before[k] && after[k] {
			return true
		}
	}
	return false
}

// tally counts what was compared, and what was not.
type tally struct{ good, bad, outside, fault, added int }

func TestOracle(t *testing.T) {
	w := newWorld(t)
	var txs, blocks tally
	started := time.Now()
	for i := range *cases {
		rng := rand.New(rand.NewPCG(*seed, uint64(i)))
		g := &generator{world: w, Rand: rng}
		if rng.IntN(2) == 0 {
			compareTx(t, i, g, &txs)
		} else {
			compareBlock(t, i, g, &blocks)
		}
		if t.Failed() {
			t.Fatalf("case %d of seed %d", i, *seed)
		}
	}
	t.Logf("%d cases in %.1f s: transactions %+v, blocks %+v", *cases, time.Since(started).Seconds(), txs, blocks)
	if *cases >= 1000 && min(txs.good, txs.bad, blocks.good, blocks.bad)*10 < *cases/2 {
		t.Error("too few good or bad ones: the comparison is worth little")
	}
}

// compareTx compares verdicts on one transaction by itself: on its encoding, on
// what needs no context, and on its witnesses.
func compareTx(t *testing.T, i int, g *generator, n *tally) {
	tx, coins := g.tx(g.pick(1 + g.IntN(3)))
	what := g.mutateTx(tx, coins)
	raw := tx.Bytes()
	if g.IntN(8) == 0 {
		raw, what = g.mutateBytes(raw), what+", bytes"
	}
	ours := judgeTx(g.world.lode.Rules, raw, coins)
	theirs := g.world.btcdTx(raw, coins)
	n.compare(t, i, what, raw, ours, theirs)
}

func judgeTx(r *consensus.Rules, raw []byte, coins consensus.Coins) error {
	tx, err := consensus.DecodeTx(raw)
	if err != nil {
		return err
	}
	if err := r.CheckTx(tx); err != nil {
		return err
	}
	spent, missing, ok := consensus.NewView(coins).Inputs(tx)
	if !ok {
		return fmt.Errorf("no coin %s", missing)
	}
	for _, check := range consensus.SpendChecks(tx, tx.TxID(), spent) {
		sig, err := check.Signature()
		if err != nil {
			return err
		}
		if !sig.Verify() {
			return check.Invalid()
		}
	}
	return nil
}

// compareBlock compares verdicts on the next block of a chain that both have.
func compareBlock(t *testing.T, i int, g *generator, n *tally) {
	b := g.block()
	what := g.mutateBlock(b)
	raw := b.Bytes()
	if g.IntN(10) == 0 {
		raw, what = g.mutateBytes(raw), what+", bytes"
	}
	decoded, ours := consensus.DecodeBlock(raw)
	if ours == nil && decoded.Bits != g.world.lode.Rules.NextBits(&g.world.lode.State) {
		// No need to look for the work.
		ours = g.world.lode.Rules.CheckHeader(&g.world.lode.State, &decoded.Header, g.world.lode.Latest)
	} else if ours == nil {
		testchain.Mine(decoded) // btcd is asked without the work
		raw = decoded.Bytes()
		_, ours = g.world.lode.Check(decoded)
	}
	if ours != nil && decoded != nil && knownFault(decoded, ours) {
		n.fault++
		return
	}
	n.compare(t, i, what, raw, ours, g.world.btcdBlock(raw))
	if ours == nil && !t.Failed() && g.IntN(advanceEvery/10) == 0 {
		n.added++
		if err := g.world.add(decoded, raw); err != nil {
			t.Errorf("case %d (%s): btcd does not connect the block: %v", i, what, err)
		}
	}
}

func (n *tally) compare(t *testing.T, i int, what string, raw []byte, ours, theirs error) {
	if i == *only {
		t.Logf("%s\n%x\nLode: %v\nbtcd: %v", what, raw, ours, theirs)
	}
	switch {
	case ours != nil && outside(ours):
		n.outside++
	case (ours == nil) != (theirs == nil):
		t.Errorf("case %d (%s): Lode says %v, btcd says %v\n%x", i, what, ours, theirs, raw)
	case ours == nil:
		n.good++
	default:
		n.bad++
	}
}

// TestOracleDecodes wants the encoding of what was decoded to be the same on
// both sides.
func TestOracleDecodes(t *testing.T) {
	w := newWorld(t)
	for i := range min(*cases, 1000) {
		g := &generator{world: w, Rand: rand.New(rand.NewPCG(*seed, uint64(i)))}
		b := g.block()
		theirs, err := decodeBtcd(b.Bytes())
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		var buf bytes.Buffer
		if err := theirs.MsgBlock().Serialize(&buf); err != nil || !bytes.Equal(buf.Bytes(), b.Bytes()) {
			t.Fatalf("case %d: btcd encodes the block in another way (%v)", i, err)
		}
		for n, tx := range theirs.Transactions() {
			if consensus.Hash(*tx.Hash()) != b.Txs[n].TxID() || consensus.Hash(*tx.WitnessHash()) != b.Txs[n].WTxID() {
				t.Fatalf("case %d: transaction %d has other ids", i, n)
			}
		}
		if consensus.Hash(*theirs.Hash()) != b.Header.Hash() {
			t.Fatalf("case %d: the block has another hash", i)
		}
	}
}

// TestKnownFault has the one block on which btcd is known to be wrong. When it
// fails, btcd was mended, and knownFault can go.
func TestKnownFault(t *testing.T) {
	w := newWorld(t)
	made := w.lode.Spend(11, testchain.Key(1000).Pay(consensus.SatPerCoin), testchain.Key(1000).Pay(consensus.SatPerCoin))
	spends := func(index uint32) *consensus.Tx {
		tx := testchain.Unsigned([]consensus.OutPoint{{TxID: made.TxID(), Index: index}}, testchain.Key(1001).Pay(1000))
		c := consensus.Coin{Value: consensus.SatPerCoin, Key: testchain.Key(1000).Public()}
		testchain.Key(1000).SignInput(tx, []consensus.Coin{c}, 0, consensus.SigHashDefault, nil)
		return tx
	}
	early, late := spends(0), spends(1)
	for _, tc := range []struct {
		txs        []*consensus.Tx
		lode, btcd bool
		fault      bool
	}{
		{[]*consensus.Tx{made, early, late}, true, true, false},
		{[]*consensus.Tx{early, made}, false, false, false},
		{[]*consensus.Tx{early, made, late}, false, true, true},
	} {
		b := w.lode.Next(tc.txs...)
		_, ours := w.lode.Check(b)
		theirs := w.btcdBlock(b.Bytes())
		if (ours == nil) != tc.lode || (theirs == nil) != tc.btcd || knownFault(b, ours) != tc.fault {
			t.Errorf("Lode says %v, btcd says %v", ours, theirs)
		}
	}
}
