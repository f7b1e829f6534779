package main

import (
	"fmt"

	"lode/miner/stratum"
	"lode/p2p"
	"lode/rpc"
	"lode/rpc/electrum"
)

const (
	// ledgerFiles are the file descriptors that are kept free of sockets. The
	// databases of a ledger and of the history behind its snapshot take up to 80
	// each; the rest is for block files that are written and read, the files
	// beside the ledger, the standard streams and the log, and fewestCallers.
	ledgerFiles = 224
	// fewestCallers of RPC can always connect, so that a node can be stopped.
	fewestCallers = 4
	// fewestOutbound peers are what a node must have room for to be of use.
	fewestOutbound = p2p.DefaultOutbound
)

// places are how many connections of each kind a node may have at once. Each takes
// a file descriptor, and a ledger that gets none any more fails: so the sum of all
// has to fit, beside the ledger, into what the system allows the process.
type places struct {
	outbound int // peers that the node dials
	inbound  int // peers that dial it; 0 if it listens for none
	rpc      int // callers
	pool     int // miners by Stratum; 0 if it serves no pool
	electrum int // wallets by Electrum's protocol; 0 if it serves none
}

// descriptors is how many file descriptors a node with these places may need.
func (p places) descriptors() int {
	n := ledgerFiles + p.outbound + max(0, p.rpc-fewestCallers)
	if p.inbound > 0 {
		n += p2p.Sockets(p.inbound)
	}
	if p.pool > 0 {
		n += stratum.Sockets(p.pool)
	}
	if p.electrum > 0 {
		n += electrum.Sockets(p.electrum)
	}
	return n
}

// fit lowers the places until they fit into a limit: first those of the pool, then
// of wallets, then of inbound peers, then of callers, then of outbound peers beyond
// fewestOutbound. It fails where the ledger and those do not fit.
func (p places) fit(limit int) (places, error) {
	for _, step := range []struct {
		n     *int
		least int
	}{{&p.pool, 0}, {&p.electrum, 0}, {&p.inbound, 0}, {&p.rpc, fewestCallers}, {&p.outbound, fewestOutbound}} {
		for *step.n > step.least && p.descriptors() > limit {
			*step.n--
		}
	}
	if need := p.descriptors(); need > limit {
		return p, fmt.Errorf("this process may open %d files, and the ledger with %d peers needs %d: raise the limit (`ulimit -n 8192`)", limit, p.outbound, need)
	}
	return p, nil
}

// wantedPlaces are what the flags ask for.
func (n *nodeConfig) wantedPlaces() places {
	want := places{outbound: p2p.DialedSockets(max(n.outbound, 0), len(n.connect)), rpc: rpc.DefaultConnections}
	if n.listen != "" || n.listenTCP != "" || len(n.binds) > 0 {
		want.inbound = p2p.InboundOf(n.maxConnections)
	}
	if n.pool.listen != "" {
		want.pool = stratum.DefaultConnections
	}
	if n.electrum.on() {
		want.electrum = electrum.DefaultConnections
	}
	return want
}

// takePlaces settles how many connections there may be, with one warning where the
// system's limit is too low for all that were asked for.
func (n *nodeConfig) takePlaces() error {
	want := n.wantedPlaces()
	n.places = want
	limit, ok := descriptorLimit()
	if !ok {
		return nil
	}
	var err error
	if n.places, err = want.fit(limit); err != nil {
		return err
	}
	if got := n.places; got != want {
		n.log.Warn("fewer connections than usual: the limit of open files is low (ulimit -n)", "limit", limit, "wanted", want.descriptors(),
			"pool", got.pool, "electrum", got.electrum, "inbound", got.inbound, "rpc", got.rpc, "outbound", got.outbound)
	}
	return nil
}
