// Package chaingen makes chains for tests and benchmarks: blocks full of signed
// transactions, their forks, and relatives that break one rule each. Everything
// follows from a seed, so that the same parameters always give the same bytes.
package chaingen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"

	"lode/consensus"
)

// Params say what a chain looks like. They may be changed while it grows.
type Params struct {
	Seed      uint64
	Txs       int              // in each block besides the coinbase, as far as there are coins for them
	Inputs    int              // of each transaction; 0 means 1
	MaxInputs int              // if more than Inputs, each transaction has a random number from Inputs to this
	Outputs   int              // of each transaction; 0 means 1
	Fee       consensus.Amount // of each transaction, sat
	Start     uint32           // no block is earlier, Unix seconds
}

// Spec is a network whose proof of work costs nothing: regtest as change makes
// it. Its name is not regtest, because that is taken.
func Spec(change func(*consensus.Spec)) *consensus.Spec {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		panic(err)
	}
	spec.Name = "generated"
	change(spec)
	if spec, err = consensus.ParseSpec(spec.JSON()); err != nil {
		panic(err)
	}
	return spec
}

// Chain is a chain in memory that can grow.
type Chain struct {
	Params Params
	Blocks []*consensus.Block // by height, genesis first
	Coins  consensus.Coins    // at the tip

	rules  *consensus.Rules
	random *rand.Rand
	wallet wallet
	states []consensus.State  // by height
	spent  [][]consensus.Coin // by height: what the block spent
	ready  []consensus.OutPoint
	young  []consensus.OutPoint // of coinbases that are not mature, oldest first
}

// New is a chain of the genesis block alone.
func New(rules *consensus.Rules, p Params) *Chain {
	return &Chain{
		Params: p, Blocks: []*consensus.Block{rules.Genesis()}, Coins: make(consensus.Coins),
		rules: rules, random: rand.New(rand.NewPCG(p.Seed, 0)), wallet: newWallet(p.Seed),
		states: []consensus.State{rules.GenesisState()}, spent: [][]consensus.Coin{nil},
	}
}

// Tip is the state after the last block.
func (c *Chain) Tip() consensus.State { return c.states[len(c.states)-1] }

// Fork is another chain that shares the blocks up to a height with c, has the
// same keys, and goes its own way by its own seed.
func (c *Chain) Fork(height uint32, seed uint64) *Chain {
	f := *c
	f.Params.Seed = seed
	f.random = rand.New(rand.NewPCG(c.Params.Seed, seed+1))
	f.Coins = maps.Clone(c.Coins)
	for h := len(c.Blocks) - 1; h > int(height); h-- {
		view := consensus.NewView(f.Coins)
		if err := consensus.RevertBlock(view, c.Blocks[h], c.Blocks[h].TxIDs(), c.spent[h]); err != nil {
			panic(err)
		}
		f.apply(view)
	}
	f.Blocks, f.states, f.spent = slices.Clone(c.Blocks[:height+1]), slices.Clone(c.states[:height+1]), slices.Clone(c.spent[:height+1])
	f.ready, f.young = nil, nil
	all := slices.Collect(maps.Keys(f.Coins))
	slices.SortFunc(all, func(a, b consensus.OutPoint) int {
		if h := int(f.Coins[a].Height) - int(f.Coins[b].Height); h != 0 {
			return h
		}
		if id := bytes.Compare(a.TxID[:], b.TxID[:]); id != 0 {
			return id
		}
		return int(a.Index) - int(b.Index)
	})
	for _, o := range all {
		f.found(o)
	}
	return &f
}

// Forget gives up the blocks up to a height, which saves the memory of a long
// chain: they are nil then, and no fork can go back that far.
func (c *Chain) Forget(height uint32) {
	clear(c.Blocks[:height+1])
	clear(c.spent[:height+1])
}

// Write writes blocks in the framing of a bootstrap.dat: the network's magic,
// the length of the block, the block.
func Write(w io.Writer, spec *consensus.Spec, blocks ...*consensus.Block) error {
	for _, b := range blocks {
		raw := b.Bytes()
		frame := binary.LittleEndian.AppendUint32(slices.Clone(spec.Defaults.Magic), uint32(len(raw)))
		if _, err := w.Write(append(frame, raw...)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) apply(view *consensus.View) {
	removed, added := view.Changes()
	for o := range removed {
		delete(c.Coins, o)
	}
	maps.Copy(c.Coins, added)
}

func (c *Chain) found(o consensus.OutPoint) {
	coin := c.Coins[o]
	if _, ours := c.wallet.private[coin.Key]; !ours {
		return
	}
	if coin.Coinbase {
		c.young = append(c.young, o)
	} else {
		c.ready = append(c.ready, o)
	}
}

// Extend adds n blocks and gives them.
func (c *Chain) Extend(n int) []*consensus.Block {
	from := len(c.Blocks)
	for range n {
		d := c.draft()
		if err := c.Add(d.seal()); err != nil {
			panic(fmt.Sprintf("generated block: %v", err))
		}
	}
	return c.Blocks[from:]
}

// Next is a good block for the tip. It is not added.
func (c *Chain) Next() *consensus.Block {
	defer c.keepCoins()()
	d := c.draft()
	return d.seal()
}

// With is a block for the tip with these transactions, which the caller made. It
// is not added.
func (c *Chain) With(txs ...*consensus.Tx) *consensus.Block {
	tip := c.Tip()
	d := &draft{Block: c.frame(tip), view: consensus.NewView(c.Coins)}
	for _, tx := range txs {
		coins, missing, ok := d.view.Inputs(tx)
		if !ok {
			panic("no coin " + missing.String())
		}
		for i := range coins {
			d.fees += coins[i].Value
		}
		d.fees -= tx.OutputSum()
		d.view.ApplyTx(tx, tx.TxID(), tip.Height+1)
		d.Txs = append(d.Txs, tx)
	}
	d.Txs[0].Out[0].Value += d.fees
	return d.seal()
}

// keepCoins remembers what can be spent; the function that it gives restores
// it.
func (c *Chain) keepCoins() (restore func()) {
	ready, young := slices.Clone(c.ready), c.young
	return func() { c.ready, c.young = ready, young }
}

// Add applies every rule to a block on the tip but those about signatures, and
// adds it.
func (c *Chain) Add(b *consensus.Block) error {
	median := func(height uint32) uint32 { return c.states[height].MedianTime() }
	u, err := c.rules.ApplyBlock(c.Tip(), b, c.Coins, median, consensus.NoTimeLimit)
	if err != nil {
		return err
	}
	c.apply(u.View)
	c.Blocks, c.states, c.spent = append(c.Blocks, b), append(c.states, u.State), append(c.spent, u.Spent)
	for i, tx := range b.Txs {
		for n := range tx.Out {
			o := consensus.OutPoint{TxID: u.IDs[i], Index: uint32(n)}
			if _, there := c.Coins[o]; there {
				c.found(o)
			}
		}
	}
	return nil
}

// draft is a block before it commits to its transactions.
type draft struct {
	*consensus.Block
	view *consensus.View // the coins after it
	fees consensus.Amount
}

func (c *Chain) draft() *draft {
	tip := c.Tip()
	height := tip.Height + 1
	d := &draft{Block: c.frame(tip), view: consensus.NewView(c.Coins)}
	c.grow(height)
	var made []*unsigned
	for range c.Params.Txs {
		coins := c.take(d.view, c.inputs())
		if coins == nil {
			break
		}
		tx := c.spend(d.view, coins, max(1, c.Params.Outputs))
		if tx == nil {
			break
		}
		d.view.ApplyTx(tx.tx, tx.tx.TxID(), height)
		d.Txs, made = append(d.Txs, tx.tx), append(made, tx)
		d.fees += c.Params.Fee
	}
	c.signAll(made)
	d.Txs[0].Out[0].Value = c.rules.Subsidy(height) + d.fees
	return d
}

// inputs is how many inputs the next transaction has.
func (c *Chain) inputs() int {
	least := max(1, c.Params.Inputs)
	if c.Params.MaxInputs <= least {
		return least
	}
	return least + c.random.IntN(c.Params.MaxInputs-least+1)
}

// Empty is a good block after any state, with nothing but a coinbase.
func (c *Chain) Empty(after consensus.State) *consensus.Block {
	d := draft{Block: c.frame(after)}
	return d.seal()
}

// frame is a block with an unfinished coinbase.
func (c *Chain) frame(after consensus.State) *consensus.Block {
	height := after.Height + 1
	extra := binary.BigEndian.AppendUint64(nil, c.random.Uint64())
	to := c.wallet.script(c.random)
	coinbase := consensus.NewCoinbase(consensus.CoinbaseScript(height, extra), []consensus.TxOut{{Value: c.rules.Subsidy(height), Script: to}})
	return &consensus.Block{
		Header: consensus.Header{
			Version: c.rules.BlockVersion(&after), Prev: after.Hash,
			Time: max(c.Params.Start, after.Time+c.rules.TargetSpacing), Bits: c.rules.NextBits(&after),
		},
		Txs: []*consensus.Tx{coinbase},
	}
}

func (d *draft) seal() *consensus.Block {
	d.Seal()
	Mine(d.Block)
	return d.Block
}

// Mine finds the nonce of a block, whose target must be an easy one.
func Mine(b *consensus.Block) {
	target, _ := consensus.TargetFromBits(b.Bits)
	for b.Nonce = 0; !b.Header.Hash().MeetsTarget(&target); b.Nonce++ {
	}
}

// grow moves the coins of coinbases that are mature at a height to the others.
func (c *Chain) grow(height uint32) {
	for len(c.young) > 0 && height-c.Coins[c.young[0]].Height >= c.rules.Maturity {
		c.ready, c.young = append(c.ready, c.young[0]), c.young[1:]
	}
}

// take chooses coins that can be spent in view, or nil if there are too few.
func (c *Chain) take(view *consensus.View, n int) []consensus.OutPoint {
	var taken []consensus.OutPoint
	for len(taken) < n && len(c.ready) > 0 {
		i, last := c.random.IntN(len(c.ready)), len(c.ready)-1
		o := c.ready[i]
		c.ready[i], c.ready = c.ready[last], c.ready[:last]
		if _, ok := view.Coin(o); ok { // else another chain's block has spent it
			taken = append(taken, o)
		}
	}
	if len(taken) < n {
		c.ready = append(c.ready, taken...)
		return nil
	}
	return taken
}
