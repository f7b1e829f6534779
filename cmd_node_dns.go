package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"lode/p2p"
	"lode/p2p/dnsseed"
)

// readDNSSeeds takes those of the seeds that are asked by DNS.
func (n *nodeConfig) readDNSSeeds(c *cli.Context) error {
	given := n.seeds
	n.seeds = nil
	for i, text := range slices.Concat(given, n.spec.Defaults.Seeds) {
		name, isDNS, err := dnsseed.ParseName(text)
		switch {
		case err != nil:
			return usageError(c.Command.HelpName, "--seed %v", err)
		case isDNS:
			n.dnsSeeds = append(n.dnsSeeds, name)
		case i < len(given):
			n.seeds = append(n.seeds, text)
		}
	}
	n.resolver = net.DefaultResolver
	if server := c.String("dns-server"); server != "" {
		if _, err := netip.ParseAddrPort(server); err != nil {
			return usageError(c.Command.HelpName, "--dns-server %q: want IP:PORT", server)
		}
		n.resolver = dnsseed.ServerResolver(server)
	}
	return nil
}

// askSeeds asks the DNS seeds while there are too few peers, until ctx ends.
func (n *nodeConfig) askSeeds(ctx context.Context, peers *p2p.Node) {
	if len(n.dnsSeeds) == 0 || len(n.connect) > 0 || n.outbound < 0 {
		return
	}
	const lookEvery, patience = 5 * time.Second, 20 * time.Second
	var schedule dnsseed.Schedule
	for {
		_, out := peers.ConnectionCount()
		if schedule.Step(time.Now(), out) {
			for _, seed := range n.dnsSeeds {
				asking, cancel := context.WithTimeout(ctx, patience)
				urls, err := dnsseed.Resolve(asking, n.resolver, seed, n.spec.Defaults.Ports.WebSocket)
				cancel()
				if err != nil && ctx.Err() == nil {
					n.log.Warn("a DNS seed names no peers; it is asked again while there are too few", "seed", seed.Host, "error", err)
				}
				if kept := peers.LearnSeeds(seed.Host, urls); kept > 0 {
					n.log.Info("a DNS seed named peers", "seed", seed.Host, "new", kept)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}
