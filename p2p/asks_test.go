package p2p

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"lode/chain"
	"lode/consensus"
)

// countingChain counts how often it is asked about a header.
type countingChain struct {
	Chain
	asked atomic.Int64
}

func (c *countingChain) Header(hash consensus.Hash) (chain.HeaderInfo, bool) {
	c.asked.Add(1)
	return c.Chain.Header(hash)
}

// TestSyncPollsTheLedger: a node that fetches blocks asks its ledger about single
// headers a few times a block, whatever the window is: which of the window are
// missing is one question. It used to be one a block of the window, each time that
// a block came.
func TestSyncPollsTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		blocks := longChain(t, 1200)
		full := w.add("full", nil)
		full.feed(blocks...)
		var counts *countingChain
		fresh := w.add("fresh", func(cfg *Config) {
			counts = &countingChain{Chain: cfg.Chain}
			cfg.Chain, cfg.Connect = counts, []string{full.url}
		})
		w.agree(blocks[len(blocks)-1].Header.Hash(), fresh)
		perBlock := float64(counts.asked.Load()) / float64(len(blocks))
		t.Logf("%.2f calls of Header a block", perBlock)
		const most = 1.7 // one a header, as it comes, and what follows from messages; it was 34.7
		if perBlock > most {
			t.Errorf("%.2f calls of Header a block, want %v at most", perBlock, most)
		}
	})
}
