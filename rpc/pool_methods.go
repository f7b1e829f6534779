package rpc

import (
	"context"
	"math"

	"lode/miner/stratum"
)

// MiningPool is what the server tells of a pool in the same process.
type MiningPool interface {
	Info() stratum.Info
}

func (s *Server) poolCalls() calls {
	return calls{
		"getpoolinfo": s.getPoolInfo,
	}
}

// sharesJSON is what became of shares.
type sharesJSON struct {
	Accepted  uint64 `json:"accepted"`
	Stale     uint64 `json:"stale"`
	Duplicate uint64 `json:"duplicate"`
	Low       uint64 `json:"low"`
	Invalid   uint64 `json:"invalid"`
}

func (s *Server) getPoolInfo(context.Context, *params) (any, error) {
	if s.cfg.Miners == nil {
		return nil, fail(codeMisc, "This node serves no pool: start it with --stratum HOST:PORT")
	}
	info := s.cfg.Miners.Info()
	type workerJSON struct {
		Name        string     `json:"name"`
		Connections int        `json:"connections"`
		HashRate    float64    `json:"hashrate"` // hashes a second, estimated
		Shares      sharesJSON `json:"shares"`
		LastShare   int64      `json:"lastshare"` // Unix seconds; 0 if there was none
	}
	type windowJSON struct {
		Filled float64 `json:"filled"` // blocks that the shares in it are worth
		Size   int     `json:"size"`   // blocks
		Payees int     `json:"payees"`
	}
	type payoutJSON struct {
		Address string `json:"address"`
		Amount  coins  `json:"amount"`
	}
	workers := make([]workerJSON, len(info.Workers))
	for i, w := range info.Workers {
		workers[i] = workerJSON{Name: w.Name, Connections: w.Connections, HashRate: math.Round(w.HashRate), Shares: sharesJSON(w.Shares)}
		if !w.LastShare.IsZero() {
			workers[i].LastShare = w.LastShare.Unix()
		}
	}
	payouts := make([]payoutJSON, len(info.Payouts))
	for i, p := range info.Payouts {
		payouts[i] = payoutJSON{p.Address, coins(p.Amount)}
	}
	carry := make(map[string]coins, len(info.Carry))
	for address, amount := range info.Carry {
		carry[address] = coins(amount)
	}
	return struct {
		Connections int              `json:"connections"`
		HashRate    float64          `json:"hashrate"`
		Shares      sharesJSON       `json:"shares"`
		Refused     uint64           `json:"refused"` // names of workers, and shares under such
		Blocks      int              `json:"blocks"`  // of the pool, in the chain
		Orphans     int              `json:"orphans"` // not in it
		Window      windowJSON       `json:"window"`
		Payouts     []payoutJSON     `json:"payouts"` // of the next block, as it is worked on now
		Carry       map[string]coins `json:"carry"`   // what an address is owed; less than zero if it was paid in advance
		Workers     []workerJSON     `json:"workers"`
	}{
		info.Connections, math.Round(info.HashRate), sharesJSON(info.Shares), info.Nobody, info.Blocks, info.Orphans,
		windowJSON{info.Window, info.WindowSize, info.Payees}, payouts, carry, workers,
	}, nil
}
