package oracle

import (
	"maps"
	"math/rand/v2"
	"slices"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// generator makes random transactions and blocks, most of them good or almost.
type generator struct {
	*rand.Rand
	world *world
}

// pick gives n coins that may be spent; now and then one that may not yet.
func (g *generator) pick(n int) []consensus.OutPoint {
	var from []consensus.OutPoint
	for range n {
		from = append(from, g.world.own[g.IntN(len(g.world.own))])
	}
	if g.IntN(60) == 0 {
		from[0] = g.world.left[g.IntN(len(g.world.left))]
	}
	if g.IntN(60) > 0 { // else it may be twice the same
		slices.SortFunc(from, func(a, b consensus.OutPoint) int { return slices.Compare(a.TxID[:], b.TxID[:]) })
		from = slices.Compact(from)
	}
	return from
}

var (
	versions  = []uint32{0, 1, 2, 2, 2, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff}
	hashTypes = []consensus.SigHashType{0, 0, 0, 0, 1, 2, 3, 0x81, 0x82, 0x83}
)

// tx is a signed transaction, and the coins that it spends.
func (g *generator) tx(from []consensus.OutPoint) (*consensus.Tx, consensus.Coins) {
	coins := make(consensus.Coins)
	for _, o := range from {
		coins[o] = g.world.lode.Coins[o]
	}
	return g.txOf(from, coins), coins
}

func (g *generator) txOf(from []consensus.OutPoint, coins consensus.Coins) *consensus.Tx {
	tx := testchain.Unsigned(from)
	tx.Version = versions[g.IntN(len(versions))]
	var spent []consensus.Coin
	var sum consensus.Amount
	for i, o := range from {
		spent = append(spent, coins[o])
		sum += coins[o].Value
		tx.In[i].Sequence = g.sequence(coins[o].Height)
	}
	if g.IntN(6) == 0 {
		tx.LockTime = g.lockTime()
	}
	for n := 1 + g.IntN(3); n > 0; n-- {
		value := sum / consensus.Amount(n)
		if g.IntN(3) == 0 {
			value -= consensus.Amount(g.IntN(1000))
		}
		value = max(value, 0)
		sum -= value
		tx.Out = append(tx.Out, testchain.Key(1000+g.IntN(owners)).Pay(value))
	}
	if g.IntN(6) == 0 {
		tx.Out = append(tx.Out, consensus.TxOut{Script: append([]byte{0x6a}, g.bytes(g.IntN(60))...)})
	}
	g.sign(tx, spent)
	return tx
}

func (g *generator) sequence(made uint32) uint32 {
	height := g.world.lode.State.Height + 1
	switch g.IntN(8) {
	case 0: // a relative lock by height, about to be met
		return (height - made) + uint32(g.IntN(3)) - 1
	case 1: // by time
		age := g.world.lode.State.MedianTime() - g.world.lode.Median(max(made, 1)-1)
		return 1<<22 | (age/512 + uint32(g.IntN(3)) - 1)
	case 2:
		return g.Uint32()
	case 3:
		return 0xfffffffe
	}
	return 0xffffffff
}

func (g *generator) lockTime() uint32 {
	if g.IntN(2) == 0 {
		return g.world.lode.State.Height + uint32(g.IntN(4))
	}
	return g.world.lode.State.MedianTime() + uint32(g.IntN(3)) - 1
}

// sign signs every input whose key is known and whose coin is there.
func (g *generator) sign(tx *consensus.Tx, spent []consensus.Coin) {
	for i := range tx.In {
		t := hashTypes[g.IntN(len(hashTypes))]
		if t&3 == 3 && i >= len(tx.Out) {
			t = consensus.SigHashAll
		}
		var annex []byte
		if g.IntN(8) == 0 {
			annex = append([]byte{0x50}, g.bytes(g.IntN(40))...)
		}
		if k, ok := g.world.keys[spent[i].Key]; ok {
			k.SignInput(tx, spent, i, t, annex)
		}
	}
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// block is the next block with up to three transactions, which may spend each
// other's outputs.
func (g *generator) block() *consensus.Block {
	coins := maps.Clone(g.world.lode.Coins)
	var txs []*consensus.Tx
	var fresh []consensus.OutPoint // made in this block
	used := make(map[consensus.OutPoint]bool)
	for range g.IntN(4) {
		from := g.pick(1 + g.IntN(2))
		if len(fresh) > 0 && g.IntN(2) == 0 {
			from = append(from, fresh[g.IntN(len(fresh))])
		}
		if g.IntN(60) > 0 {
			from = slices.DeleteFunc(from, func(o consensus.OutPoint) bool { return used[o] })
		}
		if len(from) == 0 {
			continue
		}
		tx := g.txOf(from, coins)
		if !g.fits(tx) && g.IntN(10) > 0 {
			continue // a lock that is not met yet
		}
		id := tx.TxID()
		for _, o := range from {
			used[o] = true
		}
		for i := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
				o := consensus.OutPoint{TxID: id, Index: uint32(i)}
				fresh = append(fresh, o)
				coins[o] = consensus.Coin{Value: tx.Out[i].Value, Key: key, Height: g.world.lode.State.Height + 1}
			}
		}
		txs = append(txs, tx)
	}
	return g.world.lode.Next(txs...)
}

// fits reports whether the lock times of tx allow it in the next block, as far
// as its coins are there.
func (g *generator) fits(tx *consensus.Tx) bool {
	s := &g.world.lode.State
	spent, _, ok := consensus.NewView(g.world.lode.Coins).Inputs(tx)
	return tx.IsFinal(s.Height+1, s.MedianTime()) &&
		(!ok || consensus.SequenceLocksMet(tx, spent, s.Height+1, s.MedianTime(), g.world.lode.Median))
}
