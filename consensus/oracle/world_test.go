package oracle

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/database"
	_ "github.com/btcsuite/btcd/database/ffldb" // the one driver
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// world is one regtest chain, in the hands of both.
type world struct {
	lode *testchain.Chain
	btcd *blockchain.BlockChain
	keys map[[32]byte]testchain.Key // all that may own a coin
	own  []consensus.OutPoint       // coins that may be spent in the next block, in a fixed order
	left []consensus.OutPoint       // and coinbases that may not
}

// owners is how many keys get paid, besides those of the coinbases, whose
// numbers are heights.
const owners = 40

func newWorld(t *testing.T) *world {
	params := chaincfg.RegressionNetParams
	db, err := database.Create("ffldb", t.TempDir(), params.Net)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	chain, err := blockchain.New(&blockchain.Config{
		DB: db, ChainParams: &params, TimeSource: blockchain.NewMedianTime(), UtxoCacheMaxSize: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	const drift = blockchain.MaxTimeOffsetSeconds
	w := &world{lode: testchain.Regtest(0), btcd: chain, keys: make(map[[32]byte]testchain.Key)}
	w.lode.Latest = uint32(time.Now().Unix() + drift) // btcd looks at the clock
	for range 110 {
		w.mustAdd(t)
	}
	for height := range uint32(10) { // many small coins of many ages
		var outs []consensus.TxOut
		for n := range 20 {
			outs = append(outs, w.key(1000+n).Pay(consensus.Amount(1+n)*consensus.SatPerCoin/8))
		}
		w.mustAdd(t, w.lode.Spend(height+1, outs...))
		w.mustAdd(t)
	}
	return w
}

// key is a key by its number, known to the world from then on.
func (w *world) key(n int) testchain.Key {
	k := testchain.Key(n)
	w.keys[k.Public()] = k
	return k
}

func (w *world) mustAdd(t *testing.T, txs ...*consensus.Tx) {
	w.key(int(w.lode.State.Height + 1)) // the coinbase's
	b := w.lode.Next(txs...)
	if err := w.add(b, b.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// add makes b the tip of both.
func (w *world) add(b *consensus.Block, raw []byte) error {
	w.key(int(w.lode.State.Height + 1))
	if err := w.lode.Add(b); err != nil {
		return err
	}
	block, err := decodeBtcd(raw)
	if err != nil {
		return err
	}
	main, orphan, err := w.btcd.ProcessBlock(block, blockchain.BFNone)
	if err == nil && (!main || orphan) {
		err = fmt.Errorf("on the main chain %v, an orphan %v", main, orphan)
	}
	w.own, w.left = w.own[:0], w.left[:0]
	for o, c := range w.lode.Coins {
		if _, ok := w.keys[c.Key]; !ok {
			continue // nobody can sign for it
		}
		if c.Coinbase && w.lode.State.Height+1-c.Height < w.lode.Rules.Maturity {
			w.left = append(w.left, o)
		} else {
			w.own = append(w.own, o)
		}
	}
	for _, list := range [][]consensus.OutPoint{w.own, w.left} {
		slices.SortFunc(list, func(a, b consensus.OutPoint) int {
			return cmp.Or(bytes.Compare(a.TxID[:], b.TxID[:]), cmp.Compare(a.Index, b.Index))
		})
	}
	return err
}

func decodeBtcd(raw []byte) (*btcutil.Block, error) {
	r := bytes.NewReader(raw)
	block := new(wire.MsgBlock)
	if err := block.Deserialize(r); err != nil {
		return nil, err
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%d bytes too many", r.Len())
	}
	return btcutil.NewBlock(block), nil
}

// btcdBlock is btcd's verdict on the next block, without its proof of work.
func (w *world) btcdBlock(raw []byte) error {
	block, err := decodeBtcd(raw)
	if err != nil {
		return err
	}
	if consensus.Hash(block.MsgBlock().Header.PrevBlock) != w.lode.State.Hash {
		return fmt.Errorf("another parent")
	}
	return w.btcd.CheckConnectBlockTemplate(block)
}

// btcdTx is btcd's verdict on a transaction by itself.
func (w *world) btcdTx(raw []byte, coins consensus.Coins) error {
	r := bytes.NewReader(raw)
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(r); err != nil {
		return err
	}
	if r.Len() > 0 {
		return fmt.Errorf("%d bytes too many", r.Len())
	}
	if err := blockchain.CheckTransactionSanity(btcutil.NewTx(tx)); err != nil {
		return err
	}
	spent := make(map[wire.OutPoint]*wire.TxOut)
	for _, in := range tx.TxIn {
		o := in.PreviousOutPoint
		coin, ok := coins[consensus.OutPoint{TxID: consensus.Hash(o.Hash), Index: o.Index}]
		if !ok {
			return fmt.Errorf("no coin %s", o)
		}
		out := coin.Output()
		spent[wire.OutPoint{Hash: chainhash.Hash(o.Hash), Index: o.Index}] = wire.NewTxOut(int64(out.Value), out.Script)
	}
	fetcher := txscript.NewMultiPrevOutFetcher(spent)
	hashes := txscript.NewTxSigHashes(tx, fetcher)
	for i, in := range tx.TxIn {
		out := spent[in.PreviousOutPoint]
		vm, err := txscript.NewEngine(out.PkScript, tx, i, txscript.StandardVerifyFlags, nil, hashes, out.Value, fetcher)
		if err != nil {
			return err
		}
		if err := vm.Execute(); err != nil {
			return err
		}
	}
	return nil
}
