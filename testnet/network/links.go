package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"lode/rpc/client"
)

// meshUpTo is how many nodes of one part are all connected with each other; in a
// larger one each dials the next few.
const (
	meshUpTo   = 8
	neighbours = 3
)

// edges are the connections that the nodes of one part should have, each with who
// dials first.
func edges(part []int) (list [][2]int) {
	n := len(part)
	for i, a := range part {
		for step := 1; step < n; step++ {
			b := part[(i+step)%n]
			switch {
			case n <= meshUpTo && a < b, n > meshUpTo && step <= neighbours:
				list = append(list, [2]int{a, b})
			}
		}
	}
	return list
}

// parts are the nodes by the part of the network in which they are: one, unless the
// network is cut.
func (s *State) parts() [][]int {
	if s.Groups != nil {
		return s.Groups
	}
	all := make([]int, len(s.Nodes))
	for i := range all {
		all[i] = i + 1
	}
	return [][]int{all}
}

// partition checks what a user wants to cut, and gives the parts, to the last of which
// it adds a part of all nodes that were not named.
func (s *State) partition(groups [][]int) ([][]int, error) {
	seen := make(map[int]bool)
	for _, group := range groups {
		if len(group) == 0 {
			return nil, fmt.Errorf("%w: a part of the network has no node", ErrUsage)
		}
		for _, i := range group {
			switch {
			case i < 1 || i > len(s.Nodes):
				return nil, fmt.Errorf("%w: %d: there are nodes 1 to %d", ErrNode, i, len(s.Nodes))
			case seen[i]:
				return nil, fmt.Errorf("%w: node %d is named twice", ErrUsage, i)
			}
			seen[i] = true
		}
	}
	var rest []int
	for i := 1; i <= len(s.Nodes); i++ {
		if !seen[i] {
			rest = append(rest, i)
		}
	}
	if len(rest) > 0 {
		groups = append(slices.Clone(groups), rest)
	}
	if len(groups) < 2 {
		return nil, fmt.Errorf("%w: all nodes are in one part: name some, as in `lode testnet partition 1,2 3`", ErrUsage)
	}
	return groups, nil
}

// Partition cuts the network: nodes of different parts have no connection, and refuse
// each other's. Nodes that no group names are a part of their own.
func (n *Network) Partition(ctx context.Context, groups [][]int) error {
	parts, err := n.partition(groups)
	if err != nil {
		return err
	}
	n.Groups = parts
	if err := n.save(); err != nil {
		return err
	}
	return n.connect(ctx)
}

// Heal makes one network of all parts.
func (n *Network) Heal(ctx context.Context) error {
	n.Groups = nil
	if err := n.save(); err != nil {
		return err
	}
	return n.connect(ctx)
}

// connectPatience is for all connections to be as they should.
const connectPatience = time.Minute

// connect has all running nodes keep the connections that the state wants, and no
// others, and waits until it is so. When nodes were started or parts joined, those
// that have waited for each other are told not to wait longer.
func (n *Network) connect(ctx context.Context) error {
	running := n.Running()
	part := make(map[int]int)
	wanted := make(map[int][]int) // by who dials
	var expected [][2]int
	up := make(map[int]bool)
	for _, node := range running {
		up[node.Index] = true
	}
	for p, group := range n.parts() {
		for _, i := range group {
			part[i] = p
		}
		for _, e := range edges(group) {
			wanted[e[0]] = append(wanted[e[0]], e[1])
			if up[e[0]] && up[e[1]] {
				expected = append(expected, e)
			}
		}
	}
	for _, node := range running {
		if err := n.setLinks(ctx, node, part, wanted[node.Index]); err != nil {
			return err
		}
	}
	next, look := time.Now(), time.Now()
	return waitFor(ctx, connectPatience, "the nodes to connect as they should", func() (bool, error) {
		if time.Now().Before(look) {
			return false, nil
		}
		look = time.Now().Add(time.Duration(len(running)) * 20 * time.Millisecond) // so many calls are work, too
		peers, err := n.peersOf(ctx, running)
		if err != nil {
			return false, err
		}
		dial := !time.Now().Before(next)
		if dial {
			next = time.Now().Add(time.Second)
		}
		return n.linked(ctx, running, part, expected, peers, dial), nil
	})
}

// setLinks tells one node whom to dial, and whom to refuse.
func (n *Network) setLinks(ctx context.Context, node *Node, part map[int]int, dials []int) error {
	var added []struct {
		Node string `json:"addednode"`
	}
	if err := n.Call(ctx, node, &added, "getaddednodeinfo"); err != nil {
		return err
	}
	urls := make(map[string]bool)
	for _, i := range dials {
		urls[n.Nodes[i-1].URL()] = true
	}
	var calls []client.Request
	call := func(method string, params ...any) {
		calls = append(calls, client.Request{Method: method, Params: params})
	}
	for _, a := range added {
		url := strings.TrimSuffix(a.Node, "/p2p")
		if !urls[url] {
			call("addnode", a.Node, "remove")
		}
		delete(urls, url)
	}
	for _, other := range n.Nodes {
		if other.Host == node.Host {
			continue // they have one address: then not dialling is all there is
		}
		if part[other.Index] == part[node.Index] {
			call("setban", other.Host, "remove")
		} else {
			call("setban", other.Host, "add", 10*365*24*3600)
		}
	}
	for url := range urls {
		call("addnode", url, "add")
	}
	return n.batch(ctx, node, calls, -30, -23) // a ban that is not there, or is
}

// batch makes calls whose errors, but for these codes, are one's own.
func (n *Network) batch(ctx context.Context, node *Node, calls []client.Request, fine ...int) error {
	cl, err := n.Client(node, "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	if err := cl.Batch(ctx, calls); err != nil {
		return fmt.Errorf("node %d: %w", node.Index, err)
	}
	for _, c := range calls {
		if refused, ok := errors.AsType[*client.Error](c.Err); c.Err != nil && !(ok && slices.Contains(fine, refused.Code)) {
			return fmt.Errorf("node %d, %s: %w", node.Index, c.Method, c.Err)
		}
	}
	return nil
}

// peer is a connection of a node.
type peer struct {
	ID   int64  `json:"id"`
	Addr string `json:"addr"`
	Sub  string `json:"subver"`
}

// index is the node at the other end; 0 if it is none of the network.
func (p *peer) index() (i int) {
	_, comment, _ := strings.Cut(p.Sub, "(node")
	_, _ = fmt.Sscanf(comment, "%d", &i)
	return i
}

func (n *Network) peersOf(ctx context.Context, nodes []*Node) (map[int][]peer, error) {
	peers := make(map[int][]peer)
	for _, node := range nodes {
		var list []peer
		if err := n.Call(ctx, node, &list, "getpeerinfo"); err != nil {
			return nil, err
		}
		peers[node.Index] = list
	}
	return peers, nil
}

// linked reports whether the connections are as they should be. It ends those that
// should not be, and has those dialled that are missing.
func (n *Network) linked(ctx context.Context, running []*Node, part map[int]int, expected [][2]int, peers map[int][]peer, dial bool) bool {
	good := true
	has := make(map[[2]int]bool)
	for _, node := range running {
		for _, p := range peers[node.Index] {
			other := p.index()
			has[[2]int{node.Index, other}] = true
			if other != 0 && part[other] != part[node.Index] {
				good = false
				_ = n.Call(ctx, node, nil, "disconnectnode", "", p.ID) // it may be gone by now
			}
		}
	}
	for _, e := range expected {
		if has[e] && has[[2]int{e[1], e[0]}] {
			continue
		}
		good = false
		if dial {
			_ = n.Call(ctx, n.Nodes[e[0]-1], nil, "addnode", n.Nodes[e[1]-1].URL(), "onetry") // it is tried again
		}
	}
	return good
}

// hostOf is the address of node I, or the one that all have where the system knows
// only one loopback address.
func hostOf(i int) string {
	return netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}).String()
}
