// Package scripthash answers by the hash of an output script what Electrum's protocol
// and Esplora ask for: history, balance, unspent outputs, confirmed ones from the
// ledger's index of addresses and unconfirmed ones from the mempool; and it says which
// scripts a block or a change of the mempool concerns.
package scripthash

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"sync"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// ID is the SHA-256 of an output script. As text it is written backwards, as
// Electrum's protocol has it; Esplora writes it forwards.
type ID = consensus.Hash

// Of is the hash of a script.
func Of(script []byte) ID { return sha256.Sum256(script) }

// OfKey is the hash of the script that pays to a key.
func OfKey(key [32]byte) ID { return Of(consensus.TaprootScript(key)) }

var (
	// ErrTooLarge is the kind of error for a history that is longer than asked for.
	ErrTooLarge = errors.New("history too large")
	// ErrBuilding is the kind of error while the ledger's index is being built.
	ErrBuilding = errors.New("the index of addresses is being built")
)

// Ledger is what the index needs of the chain.
type Ledger interface {
	Tip() consensus.State
	Header(consensus.Hash) (chain.HeaderInfo, bool)
	Coin(consensus.OutPoint) (consensus.Coin, bool, error)
	Spent(consensus.Hash) ([]consensus.Coin, error)
	FindTx(consensus.Hash) (*consensus.Tx, consensus.Hash, error)
	ScriptTotals([32]byte) ([32]byte, chain.AddressTotals, error)
	AddressTxs(keys [][32]byte, from, to uint32, visit func(chain.AddressTx) (more bool)) error
	AddressTxsBack(key [32]byte, from uint32, visit func(chain.AddressTx) (more bool)) error
	IndexReady(ctx context.Context, name string) (ready bool, err error)
	Read(func(*chain.Reader) error) error
	Subscribe(poke func()) (cancel func())
}

// Pool is what the index needs of the mempool.
type Pool interface {
	Sync() error
	Follow() *mempool.Follower
}

// Index answers questions about scripts. It may be used from several goroutines.
type Index struct {
	ledger Ledger
	pool   Pool

	pulling sync.Mutex // held while changes of the pool are taken in
	from    *mempool.Follower

	mu   sync.RWMutex // guards what follows
	view view
}

// New gives an index. Close releases it.
func New(ledger Ledger, pool Pool) *Index {
	return &Index{ledger: ledger, pool: pool, from: pool.Follow(), view: newView()}
}

// Close ends it.
func (x *Index) Close() { x.from.Close() }

// Tx is a confirmed transaction of a script.
type Tx struct {
	TxID   consensus.Hash
	Height uint32
}

// Output is an unspent output of a script.
type Output struct {
	consensus.OutPoint
	Value  consensus.Amount // sat
	Height uint32           // 0 while it is unconfirmed
}

// settled calls f when index and mempool are both at the ledger's tip, and again if
// that has moved meanwhile. After a few times what f has found then stays: another
// block has come, and whoever follows the script is told of it.
func (x *Index) settled(ctx context.Context, f func(tip *consensus.State) error) error {
	const times = 4
	for range times {
		tip := x.ledger.Tip()
		ready, err := x.ledger.IndexReady(ctx, chain.AddrIndex)
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !ready:
			return ErrBuilding
		}
		if err := x.pull(); err != nil {
			return err
		}
		if err := f(&tip); err != nil {
			return err
		}
		if x.ledger.Tip().Hash == tip.Hash {
			break
		}
	}
	return nil
}

// History gives the confirmed transactions of a script in the order of the chain, and
// the unconfirmed ones. The error is of kind ErrTooLarge if there are more than limit
// confirmed ones.
func (x *Index) History(ctx context.Context, id ID, limit int) (txs []Tx, pool []PoolTx, err error) {
	err = x.settled(ctx, func(*consensus.State) error {
		key, total, err := x.ledger.ScriptTotals(id)
		if err != nil {
			return err
		}
		pool = x.poolTxs(id)
		if total.Txs+uint64(len(pool)) > uint64(limit) {
			return fmt.Errorf("%w: it has %d transactions, more than %d", ErrTooLarge, total.Txs+uint64(len(pool)), limit)
		}
		if txs = nil; total.Txs == 0 {
			return nil
		}
		txs = make([]Tx, 0, total.Txs)
		return x.ledger.AddressTxs([][32]byte{key}, 0, math.MaxUint32, func(e chain.AddressTx) bool {
			txs = append(txs, Tx{e.TxID, e.Height})
			return ctx.Err() == nil && len(txs) < limit
		})
	})
	return txs, pool, err
}

// Totals are sums over the transactions of a script.
type Totals struct {
	Confirmed   chain.AddressTotals
	Unconfirmed chain.AddressTotals
}

// Totals sums up what happened to a script.
func (x *Index) Totals(ctx context.Context, id ID) (sum Totals, err error) {
	err = x.settled(ctx, func(*consensus.State) error {
		_, sum.Confirmed, err = x.ledger.ScriptTotals(id)
		sum.Unconfirmed = x.poolTotals(id)
		return err
	})
	return sum, err
}

// Mempool gives the unconfirmed transactions of a script, in the order of Electrum's
// protocol 1.6: those whose coins are all confirmed first, then by their ids.
func (x *Index) Mempool(id ID) ([]PoolTx, error) {
	if err := x.pull(); err != nil {
		return nil, err
	}
	return x.poolTxs(id), nil
}

// walkFactor is how many transactions are looked at for an output that is listed.
const walkFactor = 5

// Unspent lists the unspent outputs of a script, confirmed ones in the order of the
// chain and then unconfirmed ones, without those that an unconfirmed transaction
// spends. The error is of kind ErrTooLarge if there are more than limit, or if those
// that are confirmed lie behind too many other transactions.
func (x *Index) Unspent(ctx context.Context, id ID, limit int) (outs []Output, err error) {
	err = x.settled(ctx, func(tip *consensus.State) error {
		key, total, err := x.ledger.ScriptTotals(id)
		if err != nil {
			return err
		}
		left := total.Outputs - total.Inputs
		if left > uint64(limit) {
			return fmt.Errorf("%w: it has %d unspent outputs, more than %d", ErrTooLarge, left, limit)
		}
		if outs, err = x.confirmed(ctx, key, tip.Height, int(left), limit*walkFactor); err != nil {
			return err
		}
		outs = x.withPool(id, outs)
		if len(outs) > limit {
			return fmt.Errorf("%w: it has %d unspent outputs, more than %d", ErrTooLarge, len(outs), limit)
		}
		return nil
	})
	return outs, err
}

// confirmed lists so many unspent outputs, all that there are, from the newest
// backwards, so that old ones that are spent long since cost nothing.
func (x *Index) confirmed(ctx context.Context, key [32]byte, from uint32, left, walk int) (outs []Output, err error) {
	const page = 500 // transactions at a time: coins cannot be looked up while visiting
	for left > 0 {
		var entries []chain.AddressTx
		err := x.ledger.AddressTxsBack(key, from, func(e chain.AddressTx) bool {
			if len(entries) >= page && e.Height != entries[len(entries)-1].Height {
				return false
			}
			walk--
			entries = append(entries, e)
			return walk >= 0 && ctx.Err() == nil
		})
		switch {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case walk < 0:
			return nil, fmt.Errorf("%w: its unspent outputs lie behind too many transactions", ErrTooLarge)
		case len(entries) == 0:
			left = 0 // the tip has moved
		}
		for i := range entries {
			found, err := x.unspentOf(&entries[i])
			if err != nil {
				return nil, err
			}
			outs, left = append(outs, found...), left-len(found)
		}
		if len(entries) > 0 {
			if from = entries[len(entries)-1].Height; from == 0 {
				break
			}
			from--
		}
	}
	for i, j := 0, len(outs)-1; i < j; i, j = i+1, j-1 {
		outs[i], outs[j] = outs[j], outs[i]
	}
	return outs, nil
}

// unspentOf lists those of the outputs of a transaction that are unspent, the last
// first.
func (x *Index) unspentOf(e *chain.AddressTx) (outs []Output, err error) {
	for i := len(e.Outs) - 1; i >= 0; i-- {
		o := consensus.OutPoint{TxID: e.TxID, Index: e.Outs[i]}
		coin, ok, err := x.ledger.Coin(o)
		if err != nil {
			return nil, err
		}
		if ok {
			outs = append(outs, Output{o, coin.Value, coin.Height})
		}
	}
	return outs, nil
}

// Page gives confirmed transactions of a script, the newest first: those behind the
// one with the id after, or from the newest if that is zero, at most limit. The error
// is of kind chain.ErrNoTx if after is none of the script's.
func (x *Index) Page(ctx context.Context, id ID, after consensus.Hash, limit int) (txs []Tx, err error) {
	err = x.settled(ctx, func(tip *consensus.State) error {
		key, total, err := x.ledger.ScriptTotals(id)
		if txs = nil; err != nil || total.Txs == 0 {
			return err
		}
		from, found := tip.Height, after == consensus.Hash{}
		if !found {
			_, block, err := x.Find(ctx, after)
			if err != nil {
				return err
			}
			info, _ := x.ledger.Header(block)
			from = info.Height
		}
		return x.ledger.AddressTxsBack(key, from, func(e chain.AddressTx) bool {
			switch {
			case found:
				txs = append(txs, Tx{e.TxID, e.Height})
			case e.TxID == after:
				found = true
			}
			return len(txs) < limit && ctx.Err() == nil && (found || e.Height == from)
		})
	})
	return txs, err
}

// Spend is an input that spends a coin.
type Spend struct {
	TxID      consensus.Hash
	Input     int
	Block     consensus.Hash // zero while it is unconfirmed
	Confirmed bool
}

// Spender finds what spends an output of a transaction, which pays to key and is in a
// block at a height, or unconfirmed if that is 0.
func (x *Index) Spender(ctx context.Context, o consensus.OutPoint, key [32]byte, height uint32) (s Spend, ok bool, err error) {
	if err := x.pull(); err != nil {
		return s, false, err
	}
	if s, ok = x.poolSpender(o); ok || height == 0 {
		return s, ok, nil
	}
	if _, unspent, err := x.ledger.Coin(o); unspent || err != nil {
		return s, false, err
	}
	err = x.settled(ctx, func(tip *consensus.State) error {
		const most = 100 // whose entries look alike: see chain.AddressTx.MaySpend
		var candidates []consensus.Hash
		err := x.ledger.AddressTxs([][32]byte{key}, height, tip.Height, func(e chain.AddressTx) bool {
			if e.MaySpend(o) {
				candidates = append(candidates, e.TxID)
			}
			return len(candidates) < most && ctx.Err() == nil
		})
		for _, id := range candidates {
			tx, block, failure := x.Find(ctx, id)
			if failure != nil {
				return failure
			}
			for i := range tx.In {
				if tx.In[i].PrevOut == o {
					s, ok = Spend{id, i, block, true}, true
					return nil
				}
			}
		}
		return err
	})
	return s, ok, err
}
