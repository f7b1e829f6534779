package stratum

import (
	"cmp"
	"slices"
	"time"

	"lode/consensus"
)

// Info is how a pool does.
type Info struct {
	Connections int
	HashRate    float64 // hashes a second, estimated from the shares of the last minutes
	Shares      Shares  // since the server was started
	Nobody      uint64  // refused names of workers, and shares under names that were not authorized
	Workers     []WorkerInfo
	Window      float64                     // what the shares in the window score together, in blocks
	WindowSize  int                         // what they should
	Payees      int                         // who has shares in the window
	Waiting     int                         // who has too few for a place there
	Blocks      int                         // of the pool, in the chain
	Orphans     int                         // of the pool, not in the chain, of the last 100 heights
	Carry       map[string]consensus.Amount // what is carried over to later blocks, by address; the sum is zero
	Payouts     []Payout                    // of the jobs that were handed out last, the largest first
}

// WorkerInfo is how one worker does.
type WorkerInfo struct {
	Name        string // address or address.rig
	Connections int
	HashRate    float64
	Shares      Shares
	LastShare   time.Time // zero if there was none
}

// Payout is what a block would pay to an address.
type Payout struct {
	Address string
	Amount  consensus.Amount
}

// Info is how the pool does.
func (s *Server) Info() Info {
	now := time.Now()
	s.mu.Lock()
	info := Info{Connections: len(s.conns), WindowSize: s.cfg.Window}
	s.mu.Unlock()
	info.HashRate, info.Shares = s.workers.total(now)
	info.Workers, info.Nobody = s.workers.list(now)
	s.accounts.describe(&info)
	if w := s.current.Load(); w != nil {
		for _, p := range w.pay.Pay {
			info.Payouts = append(info.Payouts, Payout{p.Payee, p.Amount})
		}
	}
	return info
}

func (ws *workers) list(now time.Time) (list []WorkerInfo, nobody uint64) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.byName {
		w.mu.Lock()
		list = append(list, WorkerInfo{w.name, w.conns, w.rate.perSecond(now), w.shares, w.last})
		w.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b WorkerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list, ws.nobody
}

func (a *accounts) describe(info *Info) {
	info.Carry = a.carry()
	active := a.active()
	a.mu.Lock()
	defer a.mu.Unlock()
	info.Window = float64(a.payees.window.total) / scoreOne
	info.Payees, info.Waiting = len(a.payees.window.scores), len(a.payees.waiting.of)
	info.Blocks = a.found
	for _, b := range a.blocks {
		if active[b.Hash] {
			info.Blocks++
		} else {
			info.Orphans++
		}
	}
}
