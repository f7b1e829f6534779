package page

import (
	"cmp"
	"maps"
	"slices"

	"lode/consensus"
	"lode/testnet/network"
)

// forkTree is the newest part of a tree of headers, as the explorer draws it.
type forkTree struct {
	Tip    consensus.Hash `json:"tip"`
	Height uint32         `json:"height"`
	From   uint32         `json:"from"`
	Nodes  []header       `json:"nodes"`
	Tips   []nodeTip      `json:"tips"` // of the network's nodes
}

// header is one of a tree.
type header struct {
	Hash   consensus.Hash `json:"hash"`
	Prev   consensus.Hash `json:"prev"`
	Height uint32         `json:"height"`
	Active bool           `json:"active,omitempty"` // of the chain with the most work
	Bad    bool           `json:"bad,omitempty"`    // some node says that it broke a rule
	Banned bool           `json:"banned,omitempty"`
	Header bool           `json:"header,omitempty"` // no node has the block
	Was    bool           `json:"was,omitempty"`    // some node has left it for another
}

// nodeTip is where the chain of a node ends.
type nodeTip struct {
	Node int            `json:"node"`
	Tip  consensus.Hash `json:"tip"`
}

// merge makes one tree of those of all nodes.
//
//	node 1   a - b - c           a - b - c
//	node 2   a - b - d - e   →        \
//	                                   d - e     the one with more work is active
func merge(trees map[int]*forkTree, nodes []network.NodeStatus) *forkTree {
	all := make(map[consensus.Hash]*header)
	onSome := make(map[consensus.Hash]bool)
	for _, t := range trees {
		for _, h := range t.Nodes {
			known := all[h.Hash]
			if known == nil {
				known = &header{Hash: h.Hash, Prev: h.Prev, Height: h.Height, Header: true}
				all[h.Hash] = known
			}
			known.Bad, known.Banned, known.Was, known.Header = known.Bad || h.Bad, known.Banned || h.Banned, known.Was || h.Was, known.Header && h.Header
			onSome[h.Hash] = onSome[h.Hash] || h.Active
		}
	}
	m := &forkTree{Nodes: []header{}, Tips: []nodeTip{}}
	work := ""
	for _, node := range nodes {
		t := trees[node.Index]
		if t == nil {
			continue
		}
		m.Tips = append(m.Tips, nodeTip{node.Index, t.Tip})
		if node.Work > work {
			work, m.Tip, m.Height = node.Work, t.Tip, t.Height
		}
		if len(m.Tips) == 1 || t.From < m.From {
			m.From = t.From
		}
	}
	lowest := m.Height
	for h := all[m.Tip]; h != nil; h = all[h.Prev] {
		h.Active, lowest = true, h.Height
	}
	for hash, h := range all { // what a node has that is far behind
		h.Active = h.Active || onSome[hash] && h.Height < lowest
		h.Was = h.Was && !h.Active
	}
	for _, h := range slices.SortedFunc(maps.Values(all), func(a, b *header) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), slices.Compare(a.Hash[:], b.Hash[:]))
	}) {
		m.Nodes = append(m.Nodes, *h)
	}
	return m
}
