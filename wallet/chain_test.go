package wallet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// simNode is a node in memory. Its chain is made of real blocks, and each has
// passed every rule.
type simNode struct {
	t      *testing.T
	spec   *consensus.Spec
	chain  []simBlock                         // by height
	bodies map[consensus.Hash][]byte          // all blocks ever, as a node keeps them
	pool   []*consensus.Tx                    // the mempool
	most   int                                // blocks sent at once, if not 0
	before func(call string)                  // runs before every call, to change things meanwhile
	asked  map[string]int                     // calls by name
	extra  uint32                             // makes coinbases different
	coins  map[consensus.Hash]consensus.Coins // after each block

	index   bool             // it has an index of addresses
	loading bool             // it still reads its mempool
	deaf    error            // answer to everything that is sent to it
	least   consensus.Amount // fee that it takes
}

type simBlock struct {
	hash  consensus.Hash
	state consensus.State
}

func spec(t *testing.T, name string) *consensus.Spec {
	t.Helper()
	s, err := consensus.EmbeddedSpec(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSimNode(t *testing.T) *simNode {
	s := spec(t, "regtest")
	first := simBlock{s.Rules.GenesisHash(), s.Rules.GenesisState()}
	return &simNode{
		t: t, spec: s, chain: []simBlock{first},
		bodies: map[consensus.Hash][]byte{first.hash: s.Rules.Genesis().Bytes()},
		coins:  map[consensus.Hash]consensus.Coins{first.hash: {}},
		asked:  make(map[string]int),
	}
}

func (n *simNode) tip() simBlock { return n.chain[len(n.chain)-1] }

// mine adds a block that pays its reward to a key and holds some transactions.
func (n *simNode) mine(to [32]byte, txs ...*consensus.Tx) {
	n.t.Helper()
	rules, s := &n.spec.Rules, n.tip().state
	coins := n.coins[s.Hash]
	view := consensus.NewView(coins)
	var fees consensus.Amount
	for _, tx := range txs {
		spent, missing, ok := view.Inputs(tx)
		if !ok {
			n.t.Fatalf("the block would spend %s, which is not there", missing)
		}
		fee, err := rules.CheckInputs(tx, spent, s.Height+1)
		if err != nil {
			n.t.Fatal(err)
		}
		fees += fee
		view.ApplyTx(tx, tx.TxID(), s.Height+1)
	}
	n.extra++
	script := consensus.CoinbaseScript(s.Height+1, binary.BigEndian.AppendUint64(nil, uint64(n.extra)))
	reward := consensus.TxOut{Value: rules.Subsidy(s.Height+1) + fees, Script: consensus.TaprootScript(to)}
	block := &consensus.Block{
		Header: consensus.Header{Version: 0x20000000, Prev: s.Hash, Time: s.Time + 600, Bits: rules.NextBits(&s)},
		Txs:    append([]*consensus.Tx{consensus.NewCoinbase(script, []consensus.TxOut{reward})}, txs...),
	}
	block.Seal()
	for rules.CheckWork(&block.Header) != nil {
		block.Nonce++
	}
	n.connect(block)
	n.pool = slices.DeleteFunc(n.pool, func(tx *consensus.Tx) bool {
		return slices.ContainsFunc(txs, func(m *consensus.Tx) bool { return m.TxID() == tx.TxID() })
	})
}

func (n *simNode) connect(block *consensus.Block) {
	n.t.Helper()
	s := n.tip().state
	median := func(height uint32) uint32 { return n.chain[height].state.MedianTime() }
	u, err := n.spec.Rules.ApplyBlock(s, block, n.coins[s.Hash], median, consensus.NoTimeLimit)
	if err != nil {
		n.t.Fatalf("block %d: %v", s.Height+1, err)
	}
	for i := range u.Sigs {
		sig, err := u.Sigs[i].Signature()
		if err != nil || !sig.Verify() {
			n.t.Fatalf("block %d: signature %d is not valid (%v)", s.Height+1, i, err)
		}
	}
	after := make(consensus.Coins)
	for o, c := range n.coins[s.Hash] {
		after[o] = c
	}
	removed, added := u.View.Changes()
	for o := range removed {
		delete(after, o)
	}
	for o, c := range added {
		after[o] = c
	}
	hash := block.Header.Hash()
	n.chain = append(n.chain, simBlock{hash, u.State})
	n.bodies[hash] = block.Bytes()
	n.coins[hash] = after
}

// mineMany adds n blocks that pay a key.
func (n *simNode) mineMany(count int, to [32]byte) {
	n.t.Helper()
	for range count {
		n.mine(to)
	}
}

// cut takes blocks off the chain.
func (n *simNode) cut(count int) { n.chain = n.chain[:len(n.chain)-count] }

func (n *simNode) call(name string) {
	n.asked[name]++
	if n.before != nil {
		n.before(name)
	}
}

func (n *simNode) Tip(context.Context) (Point, error) {
	n.call("tip")
	return Point{n.tip().state.Height, n.tip().hash}, nil
}

func (n *simNode) BlockHashes(_ context.Context, heights []uint32) ([]consensus.Hash, error) {
	n.call("hashes")
	hashes := make([]consensus.Hash, len(heights))
	for i, h := range heights {
		if int(h) < len(n.chain) {
			hashes[i] = n.chain[h].hash
		}
	}
	return hashes, nil
}

func (n *simNode) Blocks(_ context.Context, hashes []consensus.Hash) ([][]byte, error) {
	n.call("blocks")
	if n.most > 0 {
		hashes = hashes[:min(len(hashes), n.most)]
	}
	blocks := make([][]byte, len(hashes))
	for i, h := range hashes {
		blocks[i] = n.bodies[h]
	}
	return blocks, nil
}

// HeightsOf is the index of addresses, if the node has one.
func (n *simNode) HeightsOf(_ context.Context, keys [][32]byte, from, to uint32) (heights []uint32, ok bool, err error) {
	n.call("heights")
	if !n.index {
		return nil, false, nil
	}
	wanted := make(map[[32]byte]bool)
	for _, key := range keys {
		wanted[key] = true
	}
	for h := from; h <= to && int(h) < len(n.chain); h++ {
		before := n.coins[n.chain[h-1].hash]
		block, err := consensus.DecodeBlock(n.bodies[n.chain[h].hash])
		if err != nil {
			return nil, false, err
		}
		view, hit := consensus.NewView(before), false
		for _, tx := range block.Txs {
			if spent, _, ok := view.Inputs(tx); ok {
				for _, c := range spent {
					hit = hit || wanted[c.Key]
				}
			}
			for i := range tx.Out {
				key, _ := consensus.TaprootKey(tx.Out[i].Script)
				hit = hit || wanted[key]
			}
			view.ApplyTx(tx, tx.TxID(), h)
		}
		if hit {
			heights = append(heights, h)
		}
	}
	return heights, true, nil
}

// Pending answers as a node does: what pays to the keys, what spends the coins,
// and what spends what the former pay to the keys.
func (n *simNode) Pending(_ context.Context, q PoolQuery) (PoolAnswer, error) {
	n.call("mempool")
	keys, coins := make(map[[32]byte]bool), make(map[consensus.OutPoint]bool)
	for _, key := range q.Keys {
		keys[key] = true
	}
	for _, o := range q.Coins {
		coins[o] = true
	}
	a := PoolAnswer{Loaded: !n.loading}
	given := make(map[*consensus.Tx]bool)
	for again := true; again; {
		again = false
		for _, tx := range n.pool {
			hit := false
			for i := range tx.In {
				hit = hit || coins[tx.In[i].PrevOut]
			}
			for i := range tx.Out {
				if key, _ := consensus.TaprootKey(tx.Out[i].Script); keys[key] {
					hit = true
					coins[consensus.OutPoint{TxID: tx.TxID(), Index: uint32(i)}] = true
				}
			}
			if hit && !given[tx] {
				given[tx], again = true, true
				a.Txs = append(a.Txs, tx)
			}
		}
	}
	return a, nil
}

// Send takes a transaction if it is valid after the pool, or replaces with a
// higher fee what spends the same coins.
func (n *simNode) Send(_ context.Context, tx *consensus.Tx) error {
	n.call("send")
	if n.deaf != nil {
		return n.deaf
	}
	id := tx.TxID()
	for _, have := range n.pool {
		if have.TxID() == id {
			return nil
		}
	}
	for i := range tx.Out {
		if _, ok := n.coins[n.tip().hash].Coin(consensus.OutPoint{TxID: id, Index: uint32(i)}); ok {
			return nil // in a block
		}
	}
	kept := n.without(tx)
	fee, err := n.fee(kept, tx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if fee < n.least {
		return fmt.Errorf("%w: min relay fee not met", ErrRefused)
	}
	if len(kept) < len(n.pool) {
		var before consensus.Amount
		for i, old := range n.pool {
			if !slices.Contains(kept, old) {
				f, err := n.fee(n.pool[:i], old)
				if err != nil {
					n.t.Fatal(err)
				}
				before += f
			}
		}
		if fee <= before {
			return fmt.Errorf("%w: insufficient fee", ErrRefused)
		}
	}
	n.pool = append(kept, tx)
	return nil
}

// without gives the pool without what conflicts with tx, and what builds on it.
func (n *simNode) without(tx *consensus.Tx) (kept []*consensus.Tx) {
	spent, gone := make(map[consensus.OutPoint]bool), make(map[consensus.Hash]bool)
	for i := range tx.In {
		spent[tx.In[i].PrevOut] = true
	}
	for _, have := range n.pool {
		out := false
		for i := range have.In {
			out = out || spent[have.In[i].PrevOut] || gone[have.In[i].PrevOut.TxID]
		}
		if out {
			gone[have.TxID()] = true
		} else {
			kept = append(kept, have)
		}
	}
	return kept
}

// fee is what tx pays after the chain and some transactions of the pool.
func (n *simNode) fee(pool []*consensus.Tx, tx *consensus.Tx) (consensus.Amount, error) {
	next := n.tip().state.Height + 1
	if tx.LockTime >= next { // all locks here are heights, and no input is final
		return 0, errors.New("non-final")
	}
	view := consensus.NewView(n.coins[n.tip().hash])
	for _, before := range pool {
		if _, _, ok := view.Inputs(before); ok {
			view.ApplyTx(before, before.TxID(), next)
		}
	}
	spent, missing, ok := view.Inputs(tx)
	if !ok {
		return 0, fmt.Errorf("missing inputs: %s", missing)
	}
	return n.spec.Rules.CheckInputs(tx, spent, next)
}

// settle drops from the pool what does not fit the chain any more, as a node
// does after a reorg.
func (n *simNode) settle() {
	pool := n.pool
	n.pool = nil
	for _, tx := range pool {
		if _, err := n.fee(n.pool, tx); err == nil && len(n.without(tx)) == len(n.pool) {
			n.pool = append(n.pool, tx)
		}
	}
}

// Few keys are derived ahead, so that the tests go through looking back often.
func init() { lookAheadLeast, lookAheadMost = 1, 1 }

// testWorkFactor makes scrypt cheap: nothing here is secret.
const testWorkFactor = 2

const testPassphrase = "correct horse"

// newTestWallet makes a wallet on regtest in a directory of its own.
func newTestWallet(t *testing.T, words string) *Wallet {
	t.Helper()
	files := FilesOf(filepath.Join(t.TempDir(), "sub", "w.age"))
	w, err := Create(t.Context(), files, spec(t, "regtest"), CreateOptions{Mnemonic: words, Passphrase: testPassphrase, WorkFactor: testWorkFactor})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func words(t *testing.T) string {
	t.Helper()
	m, err := NewMnemonic(12)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *Wallet) testKey(t *testing.T, p KeyPath) [32]byte {
	t.Helper()
	key, err := w.account.OutputKey(p)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (w *Wallet) testSync(t *testing.T, n *simNode) {
	t.Helper()
	if err := w.Sync(t.Context(), n, nil); err != nil {
		t.Fatal(err)
	}
}

func (w *Wallet) testSecret(t *testing.T) *Secret {
	t.Helper()
	s, err := w.files.OpenSecret(w.spec, testPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testPay makes, signs and commits a payment and puts it into the mempool.
func (w *Wallet) testPay(t *testing.T, n *simNode, p Payment) (*Draft, *consensus.Tx) {
	t.Helper()
	if p.Rate == 0 {
		p.Rate = DefaultFeeRate
	}
	d, err := w.Draft(p)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := w.Sign(d, w.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(d, tx); err != nil {
		t.Fatal(err)
	}
	if err := n.Send(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := w.Sent(tx.TxID()); err != nil {
		t.Fatal(err)
	}
	return d, tx
}

// descriptorOfWords is the private descriptor of the receive keys of account 0, on
// regtest.
func descriptorOfWords(words string, coinType uint32) (*descriptor.Descriptor, error) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		return nil, err
	}
	net := descriptor.NetworkOf(spec)
	text, err := (&Secret{CoinType: coinType, Mnemonic: words}).accountDescriptor(net, 0)
	if err != nil {
		return nil, err
	}
	d, err := descriptor.Parse(text, net)
	if err != nil {
		return nil, err
	}
	return d.Expand()[0], nil
}

// stranger is a key on the curve that no wallet here has.
var stranger = func() [32]byte {
	d, err := descriptorOfWords(testWords, 0)
	if err != nil {
		panic(err)
	}
	key, err := d.OutputKey(0)
	if err != nil {
		panic(err)
	}
	return key
}()

func wantBalance(t *testing.T, w *Wallet, want Balance) {
	t.Helper()
	got := w.Balance()
	if got.Trusted+got.Others != got.Unconfirmed {
		t.Errorf("trusted and others' do not add up: %+v", got)
	}
	got.Trusted, got.Others, got.Locked = want.Trusted, want.Others, want.Locked
	if got != want {
		t.Errorf("balance\n got %+v\nwant %+v", got, want)
	}
}
