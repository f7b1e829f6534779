// Package rpctest gives tests of the servers a ledger, a mempool and the calls of a
// node, on regtest and without a network.
package rpctest

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/clock"
	"lode/mempool"
	"lode/miner"
	"lode/rpc"
	"lode/rpc/scripthash"
)

// Node is what a server stands on.
type Node struct {
	TB     testing.TB
	Spec   *consensus.Spec
	Chain  *chain.Chain
	Pool   *mempool.Pool
	RPC    *rpc.Server
	Index  *scripthash.Index
	Script []byte // that its blocks pay to

	Version uint32 // of transactions that are made from here on

	priv *btcec.PrivateKey
	now  func() time.Time
}

type network struct {
	rpc.Network
	mu   sync.Mutex // guards what follows
	told []consensus.Hash
}

func (n *network) Broadcast(ids ...consensus.Hash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, ids...)
}

func (n *network) Syncing() bool              { return false }
func (n *network) InitialBlockDownload() bool { return false }
func (n *network) BlocksOnly() bool           { return false }
func (n *network) Unbroadcast() map[consensus.Hash]bool {
	return nil
}

// Key is one of those of a test; number 0 is the node's.
func Key(number byte) *btcec.PrivateKey {
	seed := sha256.Sum256([]byte{'k', 'e', 'y', number})
	priv, _ := btcec.PrivKeyFromBytes(seed[:])
	return priv
}

// ScriptOf pays to a key.
func ScriptOf(priv *btcec.PrivateKey) []byte {
	return consensus.TaprootScript([32]byte(schnorr.SerializePubKey(priv.PubKey())))
}

// New gives a node with both indexes that has mined some blocks to its own key.
func New(tb testing.TB, blocks int) *Node {
	return NewWith(tb, chain.Config{TxIndex: true, AddrIndex: true}, blocks)
}

// NewWith is New with another ledger.
func NewWith(tb testing.TB, ledger chain.Config, blocks int) *Node {
	tb.Helper()
	spec, err := consensus.EmbeddedSpec("regtest")
	Check(tb, err)
	times := clock.New(nil)
	n := &Node{TB: tb, Spec: spec, Version: 2, priv: Key(0), now: times.Wall.Now}
	n.Script = ScriptOf(n.priv)
	sigs := sigcheck.New(1000)
	ledger.Dir, ledger.Spec, ledger.Now, ledger.Sigs = tb.TempDir(), spec, n.now, sigs
	n.Chain, err = chain.Open(context.Background(), ledger)
	Check(tb, err)
	tb.Cleanup(func() { _ = n.Chain.Close() })
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.Chain.RunIndexes(ctx) })
	tb.Cleanup(wg.Wait)
	tb.Cleanup(stop)
	n.Pool = mempool.New(mempool.Config{Ledger: n.Chain, Sigs: sigs, Policy: mempool.DefaultPolicy(), Now: n.now})
	n.Pool.Load(ctx, filepath.Join(tb.TempDir(), "mempool.dat"))
	n.RPC = rpc.New(rpc.Config{
		Dir: tb.TempDir(), Spec: spec, Chain: n.Chain, Pool: n.Pool, Network: &network{},
		Templates: miner.NewTemplates(miner.TemplatesConfig{Ledger: n.Chain, Pool: n.Pool, Now: n.now}),
		Clock:     times, Version: "1.2.3", UserAgent: "/Lode:1.2.3/", User: rpc.CookieUser, Password: "password",
	})
	n.Index = scripthash.New(n.Chain, n.Pool)
	tb.Cleanup(n.Index.Close)
	n.Mine(blocks)
	if ledger.AddrIndex {
		n.Built()
	}
	return n
}

// Built waits until the indexes have been built.
func (n *Node) Built() {
	n.TB.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		all := true
		for _, info := range n.Chain.Indexes() {
			all = all && info.Synced
		}
		if all {
			return
		}
		if time.Now().After(end) {
			n.TB.Fatal("the indexes are not built")
		}
	}
}

// Check ends a test.
func Check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Mine mines blocks that pay to the node's key, with what is in the mempool.
func (n *Node) Mine(count int) []consensus.Hash { return n.MineTo(n.Script, count) }

// MineTo mines blocks that pay to a script.
func (n *Node) MineTo(script []byte, count int) []consensus.Hash {
	n.TB.Helper()
	if count == 0 {
		return nil
	}
	hashes, err := miner.Generate(context.Background(), n.Chain, n.Pool, script, count, 1<<40, n.now)
	Check(n.TB, err)
	return hashes
}

// Block is the block at a height.
func (n *Node) Block(height uint32) *consensus.Block {
	n.TB.Helper()
	hash, ok := n.Chain.HashAt(height)
	if !ok {
		n.TB.Fatalf("no block at height %d", height)
	}
	b, err := n.Chain.Block(hash)
	Check(n.TB, err)
	return b
}

// Reorg takes the last blocks back and mines one more than they were, without
// transactions but their own.
func (n *Node) Reorg(depth uint32) {
	n.TB.Helper()
	tip := n.Chain.Tip().Height
	hash, _ := n.Chain.HashAt(tip - depth + 1)
	Check(n.TB, n.Chain.InvalidateBlock(hash))
	for range depth + 1 {
		n.MineOnly()
	}
}

// MineOnly mines a block with these transactions of all.
func (n *Node) MineOnly(txs ...*consensus.Tx) {
	n.TB.Helper()
	pool := mempool.New(mempool.Config{Ledger: n.Chain, Sigs: sigcheck.New(0), Policy: mempool.DefaultPolicy(), Now: n.now})
	for _, tx := range txs {
		Check(n.TB, pool.Add(tx))
	}
	_, err := miner.Generate(context.Background(), n.Chain, pool, n.Script, 1, 1<<40, n.now)
	Check(n.TB, err)
}

// Coinbase is the coin of the coinbase at a height: 50 coins below 150.
func (n *Node) Coinbase(height uint32) consensus.OutPoint {
	return consensus.OutPoint{TxID: n.Block(height).Txs[0].TxID()}
}

// Subsidy is what a coinbase below height 150 pays.
const Subsidy = 50 * consensus.SatPerCoin

// Pay spends a coin of the node's key to outputs.
func (n *Node) Pay(value consensus.Amount, from consensus.OutPoint, to ...consensus.TxOut) *consensus.Tx {
	n.TB.Helper()
	return n.PayWith(n.priv, value, from, to...)
}

// PayWith spends a coin of another key.
func (n *Node) PayWith(priv *btcec.PrivateKey, value consensus.Amount, from consensus.OutPoint, to ...consensus.TxOut) *consensus.Tx {
	n.TB.Helper()
	tx := &consensus.Tx{Version: n.Version, In: []consensus.TxIn{{PrevOut: from, Sequence: 0xfffffffd}}, Out: to}
	hash, ok := consensus.NewSigHasher(tx, []consensus.TxOut{{Value: value, Script: ScriptOf(priv)}}).SigHash(0, consensus.SigHashDefault, nil)
	if !ok {
		n.TB.Fatal("no signature hash")
	}
	sig, err := schnorr.Sign(priv, hash[:])
	Check(n.TB, err)
	tx.In[0].Witness = [][]byte{sig.Serialize()}
	return tx
}

// Add puts a transaction into the mempool.
func (n *Node) Add(tx *consensus.Tx) *consensus.Tx {
	n.TB.Helper()
	Check(n.TB, n.Pool.Add(tx))
	return tx
}
