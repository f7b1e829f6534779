package network

import (
	"context"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"

	"lode/consensus"
	"lode/rpc/client"
)

// NodeStatus is how a node is.
type NodeStatus struct {
	Index    int            `json:"index"`
	State    string         `json:"state"` // mining, paused, idle, silent, ended, stopped
	Part     int            `json:"part"`  // of the network, from 1
	PID      int            `json:"pid,omitempty"`
	Height   int            `json:"height"`
	Tip      consensus.Hash `json:"tip"`
	Peers    int            `json:"peers"`
	Mempool  int            `json:"mempool"`
	HashRate float64        `json:"hashrate"`
	UTXOHash consensus.Hash `json:"utxo_hash"` // hash_serialized_3
	Clock    int64          `json:"clock_ahead,omitempty"`
	PeerURL  string         `json:"peer_url"`
	RPCURL   string         `json:"rpc_url"`
	DataDir  string         `json:"datadir"`
	Address  string         `json:"address"`
	Work     string         `json:"chainwork,omitempty"` // of the tip's chain, in hex of one length
}

// Status is how all nodes are, each at one moment.
func (n *Network) Status(ctx context.Context) []NodeStatus { return n.Watch(ctx, nil) }

// Watch is Status for somebody who asks again and again: the UTXO set, which costs a
// node as much as there are coins, is looked at where the tip is another than before.
func (n *Network) Watch(ctx context.Context, before []NodeStatus) []NodeStatus {
	list := make([]NodeStatus, len(n.Nodes))
	var wg sync.WaitGroup
	for i, node := range n.Nodes {
		var last NodeStatus
		if i < len(before) {
			last = before[i]
		}
		wg.Go(func() { list[i] = n.status(ctx, node, last) })
	}
	wg.Wait()
	for p, part := range n.parts() {
		for _, i := range part {
			list[i-1].Part = p + 1
		}
	}
	return list
}

func (n *Network) status(ctx context.Context, node *Node, last NodeStatus) NodeStatus {
	s := NodeStatus{
		Index: node.Index, State: "stopped", Clock: node.Clock, PeerURL: node.URL(), RPCURL: "http://" + node.rpcAddress(),
		DataDir: n.DataDir(node), Address: node.Address,
	}
	if node.Process == nil {
		return s
	}
	if s.PID, s.State = node.Process.PID, "ended"; !node.Process.alive() {
		return s
	}
	s.State = "silent"
	if !n.ask(ctx, node, last, &s) {
		return s
	}
	switch {
	case n.Paused:
		s.State = "paused"
	case node.Rate == 0:
		s.State = "idle"
	default:
		s.State = "mining"
	}
	return s
}

// ask has a node tell how it is, and reports whether it does.
func (n *Network) ask(ctx context.Context, node *Node, last NodeStatus, s *NodeStatus) bool {
	var now tip
	var mining struct {
		Rate    float64 `json:"localhashps"`
		Mempool int     `json:"pooledtx"`
	}
	calls := []client.Request{
		{Method: "getblockchaininfo", Result: &now}, {Method: "getmininginfo", Result: &mining}, {Method: "getconnectioncount", Result: &s.Peers},
	}
	if n.batch(ctx, node, calls) != nil {
		return false
	}
	s.Height, s.Tip, s.Work, s.HashRate, s.Mempool = now.Height, now.Hash, now.Work, mining.Rate, mining.Mempool
	if s.UTXOHash = last.UTXOHash; last.Tip == s.Tip && s.UTXOHash != (consensus.Hash{}) {
		return true
	}
	var coins struct {
		Height int            `json:"height"`
		Tip    consensus.Hash `json:"bestblock"`
		Hash   consensus.Hash `json:"hash_serialized_3"`
	}
	if n.Call(ctx, node, &coins, "gettxoutsetinfo") != nil {
		return false
	}
	s.Height, s.Tip, s.UTXOHash = coins.Height, coins.Tip, coins.Hash // of one moment, later than the work
	return true
}

// short is as much of a hash as tells it from others at a glance.
func short(h consensus.Hash) string {
	s := h.String()
	return "…" + s[len(s)-12:]
}

// WriteStatus prints a table.
func WriteStatus(out io.Writer, list []NodeStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	cut := false
	for _, s := range list {
		cut = cut || s.Part > 1
	}
	fmt.Fprint(w, "node\tstate\theight\ttip\tpeers\tmempool\tkH/s\tUTXO hash")
	if cut {
		fmt.Fprint(w, "\tpart")
	}
	fmt.Fprintln(w)
	for _, s := range list {
		if s.State == "stopped" || s.State == "ended" || s.State == "silent" {
			fmt.Fprintf(w, "%d\t%s\t\t\t\t\t\t", s.Index, s.State)
		} else {
			fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%d\t%d\t%.0f\t%s", s.Index, s.State, s.Height, short(s.Tip), s.Peers, s.Mempool, s.HashRate/1000, short(s.UTXOHash))
		}
		if cut {
			fmt.Fprintf(w, "\t%d", s.Part)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
