package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"

	"lode/consensus"
	"lode/internal/atomicfile"
	"lode/p2p/link"
)

// Settings say how a network is to be. The zero value of each is the default, or what
// a network that is there has.
type Settings struct {
	Name      string
	Nodes     int
	BlockTime int         // seconds
	Link      link.Config // between any two nodes, in each direction
	Rate      uint64      // hashes a second of each node
	Rates     []uint64    // of node 1, 2, …, in place of Rate
	Spec      string      // the file of a chainspec to follow, instead of one that is made
	Port      int         // the first of those that are used
}

func (s *Settings) check() error {
	switch {
	case s.Nodes < 0 || s.Nodes > MaxNodes:
		return fmt.Errorf("%w: %d nodes: want 1 to %d", ErrUsage, s.Nodes, MaxNodes)
	case s.BlockTime < 0 || s.BlockTime > maxBlockTime:
		return fmt.Errorf("%w: a block every %d s: want 1 to %d", ErrUsage, s.BlockTime, maxBlockTime)
	case s.Port < 0 || s.Port > 65535-2*MaxNodes:
		return fmt.Errorf("%w: port %d: want 1 to %d", ErrUsage, s.Port, 65535-2*MaxNodes)
	case s.Rate > 1<<40:
		return fmt.Errorf("%w: %d hashes a second are more than there are", ErrUsage, s.Rate)
	}
	return nil
}

// Up has a network run: it makes one that is not there, starts the nodes that do not
// run, connects them, and gives each wallet coins. When it fails, or ctx ends, it stops
// the nodes that it has started. The network is open afterwards.
func Up(ctx context.Context, o Options, s Settings) (*Network, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	n, err := openOrMake(ctx, o, s)
	if err != nil {
		return nil, err
	}
	ran := n.Running()
	if err := n.up(ctx, s); err != nil {
		for _, node := range n.Running() {
			if !slices.Contains(ran, node) {
				err = errors.Join(err, n.halt(node))
			}
		}
		err = errors.Join(err, n.save())
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Network) up(ctx context.Context, s Settings) error {
	for s.Nodes > len(n.Nodes) {
		if _, err := n.append(s.Rate); err != nil {
			return err
		}
	}
	err := n.startAll(ctx, n.Nodes)
	for tries := 0; errors.Is(err, errTaken) && !n.Funded && s.Port == 0 && tries < 5; tries++ {
		if err = n.move(); err == nil { // somebody else, such as another network, was faster
			err = n.startAll(ctx, n.Nodes)
		}
	}
	return err
}

// move gives a network of which nothing was needed yet other ports.
func (n *Network) move() error {
	for _, node := range n.Nodes {
		if err := n.halt(node); err != nil {
			return err
		}
	}
	port, err := choosePort(0, len(n.Nodes), rand.IntN(portTries))
	if err != nil {
		return err
	}
	for _, node := range n.Nodes {
		*node = Node{Index: node.Index, Host: node.Host, Peers: peerPort(port, node.Index), RPC: peerPort(port, node.Index) + 1, Address: node.Address, Rate: node.Rate}
	}
	return n.save()
}

// startAll starts those of the nodes that do not run.
func (n *Network) startAll(ctx context.Context, nodes []*Node) error {
	var started []*Node
	for _, node := range nodes {
		if node.Process.alive() {
			continue
		}
		if node.Address == "" {
			if err := n.makeAnew(ctx, node); err != nil {
				return err
			}
		}
		if err := n.launch(ctx, node); err != nil {
			return err
		}
		started = append(started, node)
	}
	if err := n.connect(ctx); err != nil {
		return err
	}
	if err := n.fund(ctx); err != nil {
		return err
	}
	for _, node := range started {
		if err := n.settle(ctx, node); err != nil {
			return err
		}
	}
	return n.save()
}

// makeAnew makes a node whose making may have been cut short before.
func (n *Network) makeAnew(ctx context.Context, node *Node) error {
	if err := os.RemoveAll(n.DataDir(node)); err != nil {
		return err
	}
	if err := n.makeNode(ctx, node); err != nil {
		return err
	}
	return n.save()
}

func openOrMake(ctx context.Context, o Options, s Settings) (*Network, error) {
	n, err := Open(ctx, o)
	if errors.Is(err, ErrNone) {
		return create(ctx, o, s)
	}
	if err != nil {
		return nil, err
	}
	l := s.Link.String()
	switch {
	case s.BlockTime != 0 && s.BlockTime != n.BlockTime, s.Spec != "", l != "" && l != n.Link:
		err = fmt.Errorf("%w: the network %s is there already, with other settings: `lode testnet down --wipe` removes it", ErrUsage, n.Name)
	case s.Nodes != 0 && s.Nodes < len(n.Nodes):
		err = fmt.Errorf("%w: the network %s has %d nodes already: `lode testnet stop I` stops one", ErrUsage, n.Name, len(n.Nodes))
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// create makes a network that nothing runs of yet. Its directory must be empty or not
// there.
func create(ctx context.Context, o Options, s Settings) (*Network, error) {
	if s.Nodes == 0 {
		s.Nodes = max(DefaultNodes, len(s.Rates))
	}
	if s.BlockTime == 0 {
		s.BlockTime = DefaultBlockTime
	}
	if s.Rate == 0 {
		s.Rate = DefaultRate
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() != lockFile && e.Name() != specFile { // a `create` that was killed leaves these
			return nil, fmt.Errorf("%s is not empty, and has no %s: choose another --name or directory", o.Dir, stateFile)
		}
	}
	port, err := choosePort(s.Port, s.Nodes, slotOf(o.Dir))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	n, err := hold(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := n.fill(ctx, s, port); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// fill writes the chainspec and the state of a network that is to be made.
func (n *Network) fill(ctx context.Context, s Settings, port int) error {
	doc, err := n.specDoc(ctx, s)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(n.SpecFile(), doc); err != nil {
		return err
	}
	n.State = State{Version: stateVersion, Name: s.Name, BlockTime: s.BlockTime, Link: s.Link.String()}
	for i := 1; i <= s.Nodes; i++ {
		rate := s.Rate
		if i <= len(s.Rates) {
			rate = s.Rates[i-1]
		}
		n.Nodes = append(n.Nodes, newNode(i, port, rate))
	}
	return n.save()
}

func (n *Network) specDoc(ctx context.Context, s Settings) ([]byte, error) {
	if s.Spec != "" {
		return readSpec(s.Spec)
	}
	return makeSpec(ctx, s.Name, s.Nodes, s.BlockTime, s.Rate)
}

// newNode is a node that has not been made yet. Ports follow from the first one.
func newNode(i, port int, rate uint64) *Node {
	host := hostOf(i)
	if !canListen(host, 0) {
		host = "127.0.0.1"
	}
	return &Node{Index: i, Host: host, Peers: peerPort(port, i), RPC: peerPort(port, i) + 1, Rate: rate}
}

// append adds a node to the state.
func (n *Network) append(rate uint64) (*Node, error) {
	if len(n.Nodes) == MaxNodes {
		return nil, fmt.Errorf("%w: a network has %d nodes at most", ErrUsage, MaxNodes)
	}
	if rate == 0 {
		rate = n.Nodes[0].Rate
	}
	i := len(n.Nodes) + 1
	node := newNode(i, n.Nodes[0].Peers, rate)
	for _, at := range []struct {
		host string
		port int
	}{{node.Host, node.Peers}, {"127.0.0.1", node.RPC}} {
		if !canListen(at.host, at.port) {
			return nil, taken(at.host, at.port)
		}
	}
	n.Nodes = append(n.Nodes, node)
	if n.Groups != nil { // it joins the last part
		last := len(n.Groups) - 1
		n.Groups[last] = append(n.Groups[last], i)
	}
	return node, n.save()
}

// Add adds a node, and starts it.
func (n *Network) Add(ctx context.Context, rate uint64) (*Node, error) {
	node, err := n.append(rate)
	if err != nil {
		return nil, err
	}
	return node, n.startAll(ctx, []*Node{node})
}

// mostFunding bounds how much work a block may take if the wallets are to be funded:
// 2^29 hashes, in bits.
const mostFunding = 29

// fund mines until every wallet has a coin that it can spend. It is real work, at the
// full speed of one core, and done once.
func (n *Network) fund(ctx context.Context) error {
	running := n.Running()
	if n.Funded || len(running) < len(n.Nodes) {
		return nil
	}
	spec, err := n.Spec()
	if err != nil {
		return err
	}
	limit := consensus.WorkFromBits(uint32(spec.Rules.PowLimit))
	if limit.ToBig().BitLen() > mostFunding {
		n.Say("A block takes too much work for a start: the wallets have no coins yet.")
		n.Funded = true
		return n.save()
	}
	n.Say("Mining %d blocks, so that each wallet has a mature coinbase.", fundingBlocks(len(n.Nodes), spec.Rules.Maturity))
	for _, node := range n.Nodes {
		if _, err := n.generate(ctx, running[0], node.Address, 1); err != nil {
			return err
		}
	}
	if _, err := n.generate(ctx, running[0], running[0].Address, int(spec.Rules.Maturity)+1); err != nil {
		return err
	}
	if err := n.agree(ctx, running); err != nil {
		return err
	}
	n.Funded = true
	return n.save()
}

// Down stops everything that runs, and with wipe removes the network.
func (n *Network) Down(wipe bool) error {
	if n.Forge != nil {
		if err := n.dropForge(); err != nil {
			return err
		}
	}
	errs := make([]error, len(n.Nodes))
	var wg sync.WaitGroup
	for i, node := range n.Nodes {
		wg.Go(func() { errs[i] = n.halt(node) })
	}
	wg.Wait()
	if err := errors.Join(append(errs, n.save())...); err != nil {
		return err
	}
	if !wipe {
		return nil
	}
	n.Close() // Windows removes no file that is open
	return os.RemoveAll(n.Dir)
}
