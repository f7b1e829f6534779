package stream

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/poke"
	"lode/mempool"
	"lode/miner"
	"lode/miner/stratum"
	"lode/p2p"
)

// Chain is what the stream needs of the ledger.
type Chain interface {
	Tip() consensus.State
	Header(hash consensus.Hash) (chain.HeaderInfo, bool)
	HashAt(height uint32) (consensus.Hash, bool)
	Subscribe(poke func()) (cancel func())
}

// Sources is where events come from. Those that are nil tell nothing.
type Sources struct {
	Chain    Chain
	Peers    func() []p2p.PeerInfo
	Miner    func() miner.Stats
	Pool     func() stratum.Info
	Warnings func() []string
}

// Feed makes events of what happens in a node.
type Feed struct {
	src   Sources
	dir   string
	log   *slog.Logger
	Log   *Log
	poked chan struct{}
	most  int // moves that wait to be told

	mu    sync.Mutex // guards what follows
	moves []mempool.Move
	lost  bool // there were too many

	// Of the goroutine of Run.
	tip   consensus.Hash // that the events have told of
	known known
}

const (
	maxMoves   = 1 << 17                // of the mempool, that wait to be told
	frameEvery = 20 * time.Millisecond  // how long events are gathered
	stateEvery = 500 * time.Millisecond // how often peers, miner, pool and warnings are looked at
	maxSteps   = 2000                   // blocks that are told of together
)

// Open goes on with the stream of the events in dir; Run makes them.
func Open(dir string, src Sources, log *slog.Logger) (*Feed, error) {
	l, tip, whole, err := open(dir)
	if err != nil {
		return nil, err
	}
	f := &Feed{src: src, dir: dir, log: log, Log: l, poked: make(chan struct{}, 1), most: maxMoves, tip: tip}
	l.reserve = func(id string, last uint64) uint64 {
		reserved, err := writePromise(filepath.Join(dir, FileName), id, last)
		if err != nil {
			log.Error("numbers of events may come twice after a kill", "error", err)
		}
		return reserved
	}
	if _, ok := src.Chain.Header(tip); !whole || !ok {
		f.tip = src.Chain.Tip().Hash
		l.forget()
	}
	// What was there before is not there any more; what the node still knows, or
	// finds again, comes anew.
	l.add([]pending{newPending(Mempool, "cleared", struct{}{}), newPending(Peers, "cleared", struct{}{})})
	return f, nil
}

// Move tells of a move of the mempool, see mempool.Pool.OnMove.
func (f *Feed) Move(m mempool.Move) {
	f.mu.Lock()
	if len(f.moves) < f.most {
		f.moves = append(f.moves, m)
	} else {
		f.moves, f.lost = f.moves[:0], true
	}
	f.mu.Unlock()
	f.poke()
}

func (f *Feed) poke() { poke.Send(f.poked) }

// Run makes events until ctx ends, and keeps them for the next start.
func (f *Feed) Run(ctx context.Context) error {
	defer f.src.Chain.Subscribe(f.poke)()
	states := time.NewTicker(stateEvery)
	defer states.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		f.step()
		select {
		case <-ctx.Done():
			f.step()
			if err := f.Log.save(f.dir, f.tip); err != nil {
				f.log.Error("the events are not kept: subscribers will start over", "error", err)
			}
			return nil
		case <-states.C:
			f.Log.add(f.known.changes(&f.src))
		case <-f.poked:
			pause.Reset(frameEvery)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
	}
}

// step tells of what has happened. A block comes before what it does to the mempool,
// whose moves are taken first.
func (f *Feed) step() {
	f.mu.Lock()
	moves, lost := f.moves, f.lost
	f.moves, f.lost = nil, false
	f.mu.Unlock()
	for more := true; more; {
		var list []pending
		list, more = f.blocks()
		f.Log.add(list)
	}
	if lost {
		f.log.Warn("events came faster than they could be told: subscribers start over")
		f.Log.forget()
	}
	list := make([]pending, len(moves))
	for i := range moves {
		list[i] = moveEvent(&moves[i])
	}
	f.Log.add(list)
}

// blocks tells how the tip that was told of becomes the one there is. Each step is true
// when it is made; if the ledger moves meanwhile, the next ones follow.
func (f *Feed) blocks() (list []pending, more bool) {
	for len(list) < maxSteps {
		at, ok := f.src.Chain.Header(f.tip)
		if !ok { // a ledger forgets only headers that never were active; but it is its own master
			f.tip = f.src.Chain.Tip().Hash
			f.Log.forget()
			return nil, false
		}
		if !at.Active {
			list = append(list, blockEvent("disconnected", &at))
			f.tip = at.Header.Prev
			continue
		}
		hash, ok := f.src.Chain.HashAt(at.Height + 1)
		if !ok {
			return list, false
		}
		next, ok := f.src.Chain.Header(hash)
		if !ok || next.Header.Prev != f.tip {
			continue // a reorganization came in between
		}
		list = append(list, blockEvent("connected", &next))
		f.tip = hash
	}
	return list, true
}

func blockEvent(kind string, at *chain.HeaderInfo) pending {
	return newPending(Blocks, kind, struct {
		Hash   consensus.Hash `json:"hash"`
		Height uint32         `json:"height"`
		Prev   consensus.Hash `json:"prev"`
		Time   uint32         `json:"time"`
		Txs    uint32         `json:"txs"`
	}{at.Hash, at.Height, at.Header.Prev, at.Header.Time, at.Txs})
}

func moveEvent(m *mempool.Move) pending {
	if e := m.Entry; m.Left == "" {
		return newPending(Mempool, "in", struct {
			TxID   consensus.Hash   `json:"txid"`
			WTxID  consensus.Hash   `json:"wtxid"`
			Fee    consensus.Amount `json:"fee"` // sat
			VSize  int              `json:"vsize"`
			Weight int              `json:"weight"`
		}{e.TxID, e.WTxID, e.Fee, e.Size, e.Weight})
	}
	var by *consensus.Hash
	if m.By != (consensus.Hash{}) {
		by = &m.By
	}
	return newPending(Mempool, "out", struct {
		TxID   consensus.Hash  `json:"txid"`
		Reason mempool.Leaving `json:"reason"`
		By     *consensus.Hash `json:"by,omitempty"`
	}{m.Entry.TxID, m.Left, by})
}
