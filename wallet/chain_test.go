package wallet

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"slices"
	"testing"

	"lode/consensus"
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

func (n *simNode) Mempool(context.Context) ([]*consensus.Tx, error) {
	n.call("mempool")
	return slices.Clone(n.pool), nil
}

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
	if err := w.Commit(d); err != nil {
		t.Fatal(err)
	}
	n.pool = append(n.pool, tx)
	return d, tx
}

// stranger is a key on the curve that no wallet here has.
var stranger = func() [32]byte {
	keys, err := newSigner(testWords, 0)
	if err != nil {
		panic(err)
	}
	key, err := keys.public.OutputKey(KeyPath{0, 0})
	if err != nil {
		panic(err)
	}
	return key
}()

func wantBalance(t *testing.T, w *Wallet, want Balance) {
	t.Helper()
	if got := w.Balance(); got != want {
		t.Errorf("balance\n got %+v\nwant %+v", got, want)
	}
}
