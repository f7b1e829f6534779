package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// statusEvery is how often the log says how the node is.
const statusEvery = time.Minute

// status is how a node is at one moment.
type status struct {
	height, headers uint32 // of the active chain, and of the best one that is known
	inbound, dialed int    // peers
	transactions    int    // of the mempool
	mining          bool
	hashRate        float64 // hashes a second
}

func (s *status) alone() bool { return s.mining && s.inbound+s.dialed == 0 }

// reporter chooses what the log says of a node each minute: one line with what a
// person wants to know, which warns once when the node begins to mine alone.
type reporter struct{ alone bool }

// step is the line about s.
func (r *reporter) step(s *status) (level slog.Level, text string, attrs []any) {
	level, text = slog.LevelInfo, "status"
	if s.alone() && !r.alone {
		level, text = slog.LevelWarn, "mining alone: no peer is connected"
	}
	r.alone = s.alone()
	attrs = []any{"height", s.height}
	if s.headers > s.height {
		attrs = append(attrs, "headers", s.headers)
	}
	attrs = append(attrs, "peers", s.inbound+s.dialed, "inbound", s.inbound, "mempool", s.transactions)
	if s.mining {
		attrs = append(attrs, "hash_rate", hashRate(s.hashRate))
	}
	return level, text, attrs
}

// hashRate is a number of hashes a second for a person.
func hashRate(rate float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		if rate < 1000 {
			return fmt.Sprintf("%.4g %sH/s", rate, unit)
		}
		rate /= 1000
	}
	return fmt.Sprintf("%.4g TH/s", rate)
}

// report logs the status until ctx ends.
func (n *nodeConfig) report(ctx context.Context, p *nodeParts) error {
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	r := reporter{alone: p.mining != nil && !n.knowsPeers(p)} // it was warned of
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s := p.status()
			level, text, attrs := r.step(&s)
			n.log.Log(ctx, level, text, attrs...)
		}
	}
}

func (p *nodeParts) status() status {
	s := status{height: p.ledger.Tip().Height, headers: p.ledger.BestHeader().Height, transactions: p.pool.Stats().Count, mining: p.mining != nil}
	s.inbound, s.dialed = p.peers.ConnectionCount()
	if s.mining {
		s.hashRate = p.mining.Stats().HashRate
	}
	return s
}

// knowsPeers reports whether there is anybody whom the node can dial.
func (n *nodeConfig) knowsPeers(p *nodeParts) bool {
	if len(n.connect) > 0 {
		return true
	}
	return n.outbound > 0 && (len(n.seeds) > 0 || len(n.spec.Defaults.Seeds) > 0 || len(p.peers.Addresses()) > 0)
}

// warnAlone says at the start that a node has nobody to dial, and what to do.
func (n *nodeConfig) warnAlone(p *nodeParts) {
	if n.knowsPeers(p) {
		return
	}
	why := "network " + n.spec.Name + " has no seeds, and the address book is empty"
	if n.outbound <= 0 {
		why = "--outbound is 0"
	}
	n.log.Warn("no peer is known: name one with --connect URL, --seed URL or `lode rpc addnode URL add`, or wait until one dials this node", "why", why)
	if p.mining != nil {
		n.log.Warn("mining alone: blocks that others do not see are lost when they have mined more work meanwhile")
	}
}
