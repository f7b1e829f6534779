package oracle

import (
	"slices"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// mutation changes one thing about a transaction or a block.
type mutation[T any] struct {
	name  string
	apply func(g *generator, v T)
}

// txMutations act on signed transactions; coins may be changed too.
type txUnderTest struct {
	*consensus.Tx
	coins consensus.Coins
}

func (g *generator) in(tx *consensus.Tx) *consensus.TxIn   { return &tx.In[g.IntN(len(tx.In))] }
func (g *generator) out(tx *consensus.Tx) *consensus.TxOut { return &tx.Out[g.IntN(len(tx.Out))] }
func (g *generator) flip(b []byte) []byte {
	b = slices.Clone(b)
	if len(b) > 0 {
		b[g.IntN(len(b))] ^= 1 << g.IntN(8)
	}
	return b
}

var witnessMutations = []mutation[txUnderTest]{
	{"flip in a witness", func(g *generator, tx txUnderTest) {
		if w := g.in(tx.Tx).Witness; len(w) > 0 {
			i := g.IntN(len(w))
			w[i] = g.flip(w[i])
		}
	}},
	{"hash type", func(g *generator, tx txUnderTest) {
		if w := g.in(tx.Tx).Witness; len(w) > 0 && len(w[0]) >= 64 {
			w[0] = append(w[0][:64:64], byte([]int{0, 1, 2, 3, 4, 0x80, 0x81, 0x82, 0x83, 0x84, 0xff}[g.IntN(11)]))
		}
	}},
	{"no hash type", func(g *generator, tx txUnderTest) {
		if w := g.in(tx.Tx).Witness; len(w) > 0 && len(w[0]) > 64 {
			w[0] = w[0][:64]
		}
	}},
	{"length of a signature", func(g *generator, tx txUnderTest) {
		if w := g.in(tx.Tx).Witness; len(w) > 0 {
			w[0] = g.bytes(g.IntN(70))
		}
	}},
	{"no witness", func(g *generator, tx txUnderTest) { g.in(tx.Tx).Witness = nil }},
	{"one more element", func(g *generator, tx txUnderTest) {
		in := g.in(tx.Tx)
		in.Witness = append(slices.Clone(in.Witness), g.bytes(g.IntN(70)))
	}},
	{"an annex more", func(g *generator, tx txUnderTest) {
		in := g.in(tx.Tx)
		in.Witness = append(slices.Clone(in.Witness), append([]byte{0x50}, g.bytes(g.IntN(5))...))
	}},
	{"an element less", func(g *generator, tx txUnderTest) {
		if in := g.in(tx.Tx); len(in.Witness) > 0 {
			in.Witness = in.Witness[:len(in.Witness)-1]
		}
	}},
	{"an annex alone", func(g *generator, tx txUnderTest) {
		g.in(tx.Tx).Witness = [][]byte{append([]byte{0x50}, g.bytes(63)...)}
	}},
	{"a control block", func(g *generator, tx txUnderTest) {
		g.in(tx.Tx).Witness = [][]byte{g.bytes(g.IntN(3)), g.bytes(33 + 32*g.IntN(3) + g.IntN(20)/19)}
	}},
	{"script in an input", func(g *generator, tx txUnderTest) { g.in(tx.Tx).ScriptSig = g.bytes(1 + g.IntN(3)) }},
}

var txMutations = append(witnessMutations[:len(witnessMutations):len(witnessMutations)], []mutation[txUnderTest]{
	{"value", func(g *generator, tx txUnderTest) {
		max := consensus.Amount(21_000_000) * consensus.SatPerCoin
		g.out(tx.Tx).Value = []consensus.Amount{-1, 0, 1, max, max + 1, 1<<63 - 1, -1 << 63}[g.IntN(7)]
	}},
	{"no inputs", func(_ *generator, tx txUnderTest) { tx.In = nil }},
	{"no outputs", func(_ *generator, tx txUnderTest) { tx.Out = nil }},
	{"an input twice", func(g *generator, tx txUnderTest) { tx.In = append(tx.In, *g.in(tx.Tx)) }},
	{"a null input", func(g *generator, tx txUnderTest) { g.in(tx.Tx).PrevOut = consensus.OutPoint{Index: 0xffffffff} }},
	{"another outpoint", func(g *generator, tx txUnderTest) { g.in(tx.Tx).PrevOut.Index ^= 1 << g.IntN(32) }},
	{"sequence", func(g *generator, tx txUnderTest) { g.in(tx.Tx).Sequence = g.Uint32() }},
	{"version", func(g *generator, tx txUnderTest) { tx.Version = g.Uint32() }},
	{"lock time", func(g *generator, tx txUnderTest) { tx.LockTime = g.lockTime() }},
	{"a key off the curve", func(g *generator, tx txUnderTest) { copy(g.out(tx.Tx).Script[1:], g.bytes(33)) }},
	{"data", func(g *generator, tx txUnderTest) {
		g.out(tx.Tx).Script = append([]byte{0x6a}, g.bytes(g.IntN(100))...)
	}},
	{"other outputs", func(g *generator, tx txUnderTest) { tx.Out = tx.Out[:g.IntN(len(tx.Out))] }},
}...)

// coinMutations change what is spent; a block's coins cannot be changed.
var coinMutations = []mutation[txUnderTest]{
	{"a coin's key", func(g *generator, tx txUnderTest) {
		keys := [][32]byte{{}, {31: 0x80}, {30: 0x80}, {31: 1}, [32]byte(g.bytes(32))}
		o := g.in(tx.Tx).PrevOut
		c := tx.coins[o]
		c.Key = keys[g.IntN(len(keys))]
		tx.coins[o] = c
	}},
	{"a coin's value", func(g *generator, tx txUnderTest) {
		o := g.in(tx.Tx).PrevOut
		c := tx.coins[o]
		c.Value ^= 1 << g.IntN(40)
		tx.coins[o] = c
	}},
}

// mutateTx leaves some transactions as they are.
func (g *generator) mutateTx(tx *consensus.Tx, coins consensus.Coins) string {
	if g.IntN(4) == 0 {
		return "as it was"
	}
	list := txMutations
	if coins != nil && g.IntN(5) == 0 {
		list = coinMutations
	}
	return apply(g, list, txUnderTest{tx, coins})
}

func apply[T any](g *generator, list []mutation[T], v T) string {
	m := list[g.IntN(len(list))]
	m.apply(g, v)
	return m.name
}

var coinbaseMutations = []mutation[*consensus.Tx]{
	{"a sat more", func(_ *generator, tx *consensus.Tx) { tx.Out[0].Value++ }},
	{"a sat less", func(_ *generator, tx *consensus.Tx) { tx.Out[0].Value-- }},
	{"another height", func(g *generator, tx *consensus.Tx) { tx.In[0].ScriptSig = g.flip(tx.In[0].ScriptSig) }},
	{"length of its script", func(g *generator, tx *consensus.Tx) {
		s := append(slices.Clone(tx.In[0].ScriptSig), make([]byte, 120)...)
		tx.In[0].ScriptSig = s[:[]int{0, 1, 2, 3, 4, 99, 100, 101, 110}[g.IntN(9)]]
	}},
	{"lock time", func(g *generator, tx *consensus.Tx) { tx.LockTime, tx.In[0].Sequence = g.lockTime(), g.Uint32() }},
	{"reserved value", func(g *generator, tx *consensus.Tx) {
		tx.In[0].Witness = [][][]byte{nil, {g.bytes(32)}, {g.bytes(31)}, {g.bytes(32), g.bytes(32)}}[g.IntN(4)]
	}},
	{"no commitment", func(_ *generator, tx *consensus.Tx) { tx.Out = tx.Out[:1] }},
	{"a broken commitment", func(g *generator, tx *consensus.Tx) { tx.Out[1].Script = g.flip(tx.Out[1].Script) }},
	{"a second commitment", func(g *generator, tx *consensus.Tx) {
		at := g.IntN(3)
		tx.Out = slices.Insert(tx.Out, at, consensus.TxOut{Script: consensus.WitnessCommitment(consensus.Hash(g.bytes(32)), [32]byte{})})
	}},
	{"another input", func(g *generator, tx *consensus.Tx) { tx.In[0].PrevOut.Index-- }},
	{"sigops", func(g *generator, tx *consensus.Tx) {
		ops := slices.Repeat([]byte{0xae}, 999+g.IntN(2))
		tx.Out[0].Script = slices.Concat([]byte{0x6a}, ops, slices.Repeat([]byte{0xac}, 19+g.IntN(3)))
	}},
	{"to nobody", func(g *generator, tx *consensus.Tx) { tx.Out[0].Script = []byte{0x6a} }},
}

var orderMutations = []mutation[*consensus.Block]{
	{"another order", func(g *generator, b *consensus.Block) {
		g.Shuffle(len(b.Txs)-1, func(i, j int) { b.Txs[i+1], b.Txs[j+1] = b.Txs[j+1], b.Txs[i+1] })
	}},
	{"one missing", func(g *generator, b *consensus.Block) {
		i := g.IntN(len(b.Txs))
		b.Txs = slices.Delete(b.Txs, i, i+1)
	}},
	{"one twice", func(g *generator, b *consensus.Block) { b.Txs = append(b.Txs, b.Txs[g.IntN(len(b.Txs))]) }},
	{"two coinbases", func(g *generator, b *consensus.Block) {
		second := b.Txs[0].Clone()
		second.LockTime = 1
		b.Txs = append(b.Txs, second)
	}},
	{"a confirmed transaction", func(g *generator, b *consensus.Block) {
		blocks := g.world.lode.Blocks
		old := blocks[1+g.IntN(len(blocks)-1)]
		b.Txs = append(b.Txs, old.Txs[len(old.Txs)-1])
	}},
}

var headerMutations = []mutation[*consensus.Block]{
	{"version", func(g *generator, b *consensus.Block) {
		b.Version = []int32{-1, 0, 1, 2, 3, 4, 5, 1<<31 - 1, -1 << 31}[g.IntN(9)]
	}},
	{"time", func(g *generator, b *consensus.Block) {
		b.Time = g.world.lode.State.MedianTime() + uint32(g.IntN(3)) - 1
	}},
	{"bits", func(g *generator, b *consensus.Block) {
		b.Bits = []uint32{0x207ffffe, 0x2100ffff, 0x20800000, 0x20000000, 0x207effff, 0x220000ff}[g.IntN(6)]
	}},
	{"merkle root", func(g *generator, b *consensus.Block) { b.MerkleRoot[g.IntN(32)] ^= 1 }},
}

// mutateBlock leaves some blocks as they are, and makes others whole again.
func (g *generator) mutateBlock(b *consensus.Block) string {
	b.Txs = slices.Clone(b.Txs)
	for i := range b.Txs {
		b.Txs[i] = b.Txs[i].Clone()
	}
	var what string
	recommit := true // a coinbase was changed for what it is
	switch k := g.IntN(10); {
	case k < 3:
		return "as it was"
	case k < 6 && len(b.Txs) > 1:
		tx := b.Txs[1+g.IntN(len(b.Txs)-1)]
		what = apply(g, txMutations, txUnderTest{tx, nil})
	case k < 8:
		what = "coinbase: " + apply(g, coinbaseMutations, b.Txs[0])
		recommit = false
	case k < 9:
		what = apply(g, orderMutations, b)
		recommit = len(b.Txs) > 0 && b.Txs[0].IsCoinbase()
	default:
		return "header: " + apply(g, headerMutations, b)
	}
	if g.IntN(10) == 0 {
		return what + ", root as it was"
	}
	if recommit && g.IntN(10) > 0 {
		testchain.Commit(b)
	}
	testchain.Seal(b)
	return what
}

// mutateBytes changes an encoding.
func (g *generator) mutateBytes(raw []byte) []byte {
	at := g.IntN(len(raw))
	switch g.IntN(5) {
	case 0:
		return slices.Insert(slices.Clone(raw), at, byte(g.Uint32()))
	case 1:
		return slices.Delete(slices.Clone(raw), at, at+1)
	case 2:
		return raw[:at]
	}
	return g.flip(raw)
}
