package main

import (
	"fmt"

	"lode/rpc/stream"
)

// openEvents goes on with the stream of events, before anything comes into the
// mempool.
func (n *nodeConfig) openEvents(p *nodeParts) (err error) {
	src := stream.Sources{Chain: p.ledger, Peers: p.peers.Peers, Warnings: p.peers.Warnings}
	if p.mining != nil {
		src.Miner = p.mining.Stats
	}
	if p.miners != nil {
		src.Pool = p.miners.Info
	}
	if p.events, err = stream.Open(n.dir, src, n.log); err != nil {
		return fmt.Errorf("the events that are kept: %w", err)
	}
	p.onMove()
	return nil
}
