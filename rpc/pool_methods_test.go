package rpc_test

import (
	"testing"
	"time"

	"lode/consensus"
	"lode/miner/stratum"
	"lode/rpc"
)

type fakePool struct{}

func (fakePool) Info() stratum.Info {
	return stratum.Info{
		Connections: 2, HashRate: 1e6 + 0.4, Shares: stratum.Shares{Accepted: 5, Stale: 4, Duplicate: 3, Low: 2, Invalid: 1}, Nobody: 6,
		Workers: []stratum.WorkerInfo{
			{Name: "a.rig", Connections: 1, HashRate: 12.6, Shares: stratum.Shares{Accepted: 5}, LastShare: time.Unix(1_700_000_000, 0)},
			{Name: "b"},
		},
		Window: 1.5, WindowSize: 2, Payees: 1, Blocks: 7, Orphans: 1, Carry: map[string]consensus.Amount{"a": -300, "b": 300},
		Payouts: []stratum.Payout{{Address: "a", Amount: 50e8}},
	}
}

func TestGetPoolInfo(t *testing.T) {
	none := newNode(t, "regtest", 0)
	none.refused(-1, "This node serves no pool: start it with --stratum HOST:PORT", "getpoolinfo")
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Miners = fakePool{} })
	same(t, ok[any](n, "getpoolinfo"), object{
		"connections": 2, "hashrate": 1_000_000, "refused": 6, "blocks": 7, "orphans": 1,
		"shares":  object{"accepted": 5, "stale": 4, "duplicate": 3, "low": 2, "invalid": 1},
		"window":  object{"filled": 1.5, "size": 2, "payees": 1},
		"payouts": []any{object{"address": "a", "amount": btc("50.00000000")}},
		"carry":   object{"a": btc("-0.00000300"), "b": btc("0.00000300")},
		"workers": []any{
			object{"name": "a.rig", "connections": 1, "hashrate": 13, "lastshare": 1_700_000_000, "shares": object{"accepted": 5, "stale": 0, "duplicate": 0, "low": 0, "invalid": 0}},
			object{"name": "b", "connections": 0, "hashrate": 0, "lastshare": 0, "shares": object{"accepted": 0, "stale": 0, "duplicate": 0, "low": 0, "invalid": 0}},
		},
	})
}
