// Package testchain builds chains for tests: blocks are mined at once, keys are
// numbers, and every piece may be changed and sealed again.
package testchain

import (
	"encoding/binary"
	"maps"
	"slices"

	"lode/consensus"
)

// Start is the time of the first block after genesis, in Unix seconds. It is
// late enough for btcd, which applies BIP16 from April 2012 on.
const Start = 1_700_000_000

// Chain is a chain in memory.
type Chain struct {
	Rules   *consensus.Rules
	State   consensus.State
	Coins   consensus.Coins
	Medians []uint32 // by height
	Latest  uint32   // the latest time that a header may have
	Blocks  []*consensus.Block
	Undo    [][]consensus.Coin // of Blocks
}

// New is a chain of the rules' genesis alone.
func New(r *consensus.Rules) *Chain {
	s := r.GenesisState()
	return &Chain{
		Rules: r, State: s, Coins: consensus.Coins{},
		Medians: []uint32{s.MedianTime()}, Latest: consensus.NoTimeLimit,
		Blocks: []*consensus.Block{r.Genesis()}, Undo: [][]consensus.Coin{nil},
	}
}

// Regtest is a chain of n empty blocks on the embedded regtest.
func Regtest(n int) *Chain {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		panic(err)
	}
	return New(&spec.Rules).Extend(n)
}

// Extend adds n empty blocks.
func (c *Chain) Extend(n int) *Chain {
	for range n {
		if err := c.Add(c.Next()); err != nil {
			panic(err)
		}
	}
	return c
}

// Clone is a copy that may go its own way.
func (c *Chain) Clone() *Chain {
	d := *c
	d.Coins = maps.Clone(c.Coins)
	d.Medians = slices.Clone(c.Medians)
	d.Blocks = slices.Clone(c.Blocks)
	d.Undo = slices.Clone(c.Undo)
	return &d
}

// Median is the median time past of the block at a height.
func (c *Chain) Median(height uint32) uint32 { return c.Medians[height] }

// Coinbase is the coinbase of the block at a height.
func (c *Chain) Coinbase(height uint32) consensus.OutPoint {
	return consensus.OutPoint{TxID: c.Blocks[height].Txs[0].TxID()}
}

// Next is a good block on the tip, with these transactions. Its coinbase pays
// all it may to the key whose number is the height.
func (c *Chain) Next(txs ...*consensus.Tx) *consensus.Block {
	height := c.State.Height + 1
	time := c.State.Time + c.Rules.TargetSpacing
	if height == 1 {
		time = max(time, Start)
	}
	coinbase := &consensus.Tx{
		Version: 2,
		In: []consensus.TxIn{{
			PrevOut:   consensus.OutPoint{Index: 0xffffffff},
			ScriptSig: append(HeightPush(height), 8, 'l', 'o', 'd', 'e', 't', 'e', 's', 't'),
			Sequence:  0xffffffff,
			Witness:   [][]byte{make([]byte, 32)},
		}},
		Out: []consensus.TxOut{
			{Value: c.Rules.Subsidy(height) + c.Fees(txs), Script: Key(int(height)).Script()},
			{Script: make([]byte, 38)}, // the commitment, see Seal
		},
	}
	b := &consensus.Block{
		Header: consensus.Header{Version: 0x20000000, Prev: c.State.Hash, Time: time, Bits: c.Rules.NextBits(&c.State)},
		Txs:    append([]*consensus.Tx{coinbase}, txs...),
	}
	Commit(b)
	return Seal(b)
}

// Fees is the sum of the fees of txs, of those whose coins are there.
func (c *Chain) Fees(txs []*consensus.Tx) (sum consensus.Amount) {
	view := consensus.NewView(c.Coins)
	for _, tx := range txs {
		coins, _, ok := view.Inputs(tx)
		if !ok {
			continue
		}
		for i := range coins {
			sum += coins[i].Value
		}
		sum -= tx.OutputSum()
		view.ApplyTx(tx, tx.TxID(), c.State.Height+1)
	}
	return max(sum, 0)
}

// Commit writes the witness commitment into the last output of the coinbase.
func Commit(b *consensus.Block) {
	coinbase := b.Txs[0].Clone()
	b.Txs[0] = coinbase
	var reserved [32]byte
	if w := coinbase.In[0].Witness; len(w) == 1 && len(w[0]) == 32 {
		reserved = [32]byte(w[0])
	}
	coinbase.Out[len(coinbase.Out)-1].Script = consensus.WitnessCommitment(b.WitnessRoot(), reserved)
}

// Seal writes the merkle root and finds the nonce.
func Seal(b *consensus.Block) *consensus.Block {
	b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	return Mine(b)
}

// Mine finds the nonce, if the target is one that chains in tests have.
func Mine(b *consensus.Block) *consensus.Block {
	const patience = 1 << 16 // hashes
	target, _ := consensus.TargetFromBits(b.Bits)
	for b.Nonce = 0; b.Nonce < patience && !b.Header.Hash().MeetsTarget(&target); b.Nonce++ {
	}
	return b
}

// Check judges a block on the tip, signatures included, as on a node that sees
// it for the first time.
func (c *Chain) Check(b *consensus.Block) (*consensus.Update, error) {
	u, err := c.Rules.ApplyBlock(c.State, b, c.Coins, c.Median, c.Latest)
	if err != nil {
		return nil, err
	}
	for i := range u.Sigs {
		sig, err := u.Sigs[i].Signature()
		if err != nil {
			return nil, err
		}
		if !sig.Verify() {
			return nil, u.Sigs[i].Invalid()
		}
	}
	return u, nil
}

// Add checks a block and makes it the tip.
func (c *Chain) Add(b *consensus.Block) error {
	u, err := c.Check(b)
	if err != nil {
		return err
	}
	c.State = u.State
	c.Medians = append(c.Medians, u.State.MedianTime())
	c.Blocks = append(c.Blocks, b)
	c.Undo = append(c.Undo, u.Spent)
	c.change(u.View)
	return nil
}

// Revert takes the last block away from the coins, and only from them.
func (c *Chain) Revert() error {
	last := len(c.Blocks) - 1
	view := consensus.NewView(c.Coins)
	if err := consensus.RevertBlock(view, c.Blocks[last], c.Blocks[last].TxIDs(), c.Undo[last]); err != nil {
		return err
	}
	c.change(view)
	return nil
}

func (c *Chain) change(view *consensus.View) {
	removed, added := view.Changes()
	for o := range removed {
		delete(c.Coins, o)
	}
	maps.Copy(c.Coins, added)
}

// HeightPush is how the script of a coinbase begins (BIP34), written apart from
// the rules.
func HeightPush(height uint32) []byte {
	if height <= 16 {
		return []byte{0x50 + byte(height)}
	}
	n := 1
	for height >= 1<<(8*n-1) {
		n++
	}
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], uint64(height))
	return append([]byte{byte(n)}, le[:n]...)
}
