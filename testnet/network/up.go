package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"lode/consensus"
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
	return n.startAll(ctx, n.Nodes)
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
	port, err := choosePort(s.Port, s.Nodes)
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
	if err := writeFile(n.SpecFile(), doc); err != nil {
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
	return &Node{Index: i, Host: host, Peers: port + 2*(i-1), RPC: port + 2*(i-1) + 1, Rate: rate}
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

// The ports of a network that is given none begin at one of these.
const (
	firstPort = 29_500
	portStep  = 200
	portTries = 15
)

func taken(host string, port int) error {
	return fmt.Errorf("port %d on %s is in use by another process: stop it, or choose others with --port", port, host)
}

// choosePort gives the first port for so many nodes: that which is asked for, or one
// behind which all are free.
func choosePort(asked, nodes int) (int, error) {
	var err error
	try := func(first int) bool {
		for i := 1; i <= nodes; i++ {
			for _, at := range []string{"127.0.0.1", hostOf(i)} {
				for port := first + 2*(i-1); port <= first+2*(i-1)+1; port++ {
					if !canListen(at, port) && canListen(at, 0) {
						err = taken(at, port)
						return false
					}
				}
			}
		}
		return true
	}
	if asked != 0 {
		if !try(asked) {
			return 0, err
		}
		return asked, nil
	}
	for i := range portTries {
		if try(firstPort + i*portStep) {
			return firstPort + i*portStep, nil
		}
	}
	return 0, err
}

func canListen(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// mostFunding is how many hashes a block may take if the wallets are to be funded.
const mostFunding = 1 << 28

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
	if limit.ToBig().BitLen() > 29 {
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

// Start starts nodes that do not run.
func (n *Network) Start(ctx context.Context, indexes ...int) error {
	nodes, err := n.named(indexes)
	if err != nil {
		return err
	}
	return n.startAll(ctx, nodes)
}

// Stop stops nodes cleanly.
func (n *Network) Stop(indexes ...int) error {
	nodes, err := n.named(indexes)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		err = errors.Join(err, n.halt(node))
	}
	return errors.Join(err, n.save())
}

// Kill ends nodes at once, as a crash would.
func (n *Network) Kill(indexes ...int) error {
	nodes, err := n.named(indexes)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if !node.Process.alive() {
			err = errors.Join(err, fmt.Errorf("%w: node %d", ErrStopped, node.Index))
			continue
		}
		err = errors.Join(err, node.Process.kill()) // it stays in the state: status says that it has ended
	}
	return err
}

func (n *Network) named(indexes []int) (nodes []*Node, err error) {
	for _, i := range indexes {
		node, err := n.Node(i)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// keptByWipe is what a node keeps of its directory: keys, and which wallets to load.
var keptByWipe = []string{"wallets", "settings.json"}

// Wipe removes all that a node has but its wallet. One that runs is stopped for that,
// and started again: it fetches everything from its peers.
func (n *Network) Wipe(ctx context.Context, index int) error {
	node, err := n.Node(index)
	if err != nil {
		return err
	}
	ran := node.Process.alive()
	if err := n.halt(node); err != nil {
		return err
	}
	dir, err := n.netDir(n.DataDir(node))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(keptByWipe, e.Name()) {
			err = errors.Join(err, os.RemoveAll(dir+string(os.PathSeparator)+e.Name()))
		}
	}
	if err = errors.Join(err, n.save()); err != nil || !ran {
		return err
	}
	return n.startAll(ctx, []*Node{node})
}

// SetClock has the clock of a node be ahead of the machine's by some seconds.
func (n *Network) SetClock(ctx context.Context, index int, ahead int64) error {
	node, err := n.Node(index)
	if err != nil {
		return err
	}
	spec, err := n.Spec()
	if err != nil {
		return err
	}
	if !spec.Defaults.MockClock {
		return fmt.Errorf("%w: the chainspec does not allow other clocks: defaults.mock_clock", ErrUsage)
	}
	const most = 365 * 24 * time.Hour
	if d := time.Duration(ahead) * time.Second; d > most || d < -most {
		return fmt.Errorf("%w: %d seconds: want a year at most", ErrUsage, ahead)
	}
	node.Clock = ahead
	if err := n.save(); err != nil || !node.Process.alive() {
		return err
	}
	return n.Call(ctx, node, nil, "setclockahead", ahead)
}
