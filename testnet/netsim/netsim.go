// Package netsim is a network of whole nodes in one process, with real ledgers,
// mempools and peers, over links whose latency and rate are simulated. It is
// meant for the bubbles of testing/synctest, where time is virtual: what it
// measures is the protocol, neither the machine nor the CPU time of the nodes.
package netsim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/clock"
	"lode/mempool"
	"lode/p2p"
)

// Config is what the nodes of a network have in common.
type Config struct {
	Spec *consensus.Spec
	Dir  string // holds the ledgers
	// Sigs is shared by all nodes, so that a signature is verified once.
	Sigs *sigcheck.Checker
	Line func(from, to int) p2p.Line // of a link, by who dials whom
	Lost func(command string) bool   // messages that nobody gets; nil means none
	Log  *slog.Logger                // nil means none
}

// Network is nodes and the links between them.
type Network struct {
	cfg Config

	mu    sync.Mutex // guards what follows
	nodes []*Node
	links []link
	cut   func(a, b int) bool // nil cuts nothing
}

type link struct {
	from, to int
	conn     p2p.Conn
}

// Node is a node of a network.
type Node struct {
	*p2p.Node
	Number int // from 0
	URL    string
	Ledger *chain.Chain
	Pool   *mempool.Pool

	addr net.Addr
	own  bool // Ledger is its own
	stop context.CancelFunc
	end  chan error

	mu             sync.Mutex // guards what follows
	tips           map[consensus.Hash]time.Time
	received, sent Traffic
}

// Traffic counts messages by command.
type Traffic map[string]Count

// Count is messages and their bytes with Bitcoin's framing on TCP.
type Count struct{ Messages, Bytes int }

func (t Traffic) count(command string, payload []byte) {
	c := t[command]
	c.Messages++
	c.Bytes += p2p.FrameSize + len(payload)
	t[command] = c
}

// Add adds other to t.
func (t Traffic) Add(other Traffic) {
	for command, c := range other {
		was := t[command]
		t[command] = Count{was.Messages + c.Messages, was.Bytes + c.Bytes}
	}
}

// Bytes is the sum over all commands.
func (t Traffic) Bytes() (sum int) {
	for _, c := range t {
		sum += c.Bytes
	}
	return sum
}

// New is a network without nodes.
func New(cfg Config) *Network { return &Network{cfg: cfg} }

// Now is the time of the nodes. The bubbles of synctest begin in the year 2000,
// before any genesis block.
func Now() time.Time { return time.Now().AddDate(26, 0, 0) }

// ahead is a clock that tells it.
func ahead() *clock.Clock {
	c := clock.New(nil)
	c.Wall.Forward(time.Until(Now()))
	return c
}

// Add starts a node on a ledger, or on a new one of its own if that is nil, and
// returns when it can be dialled.
func (w *Network) Add(ledger *chain.Chain) (*Node, error) {
	w.mu.Lock()
	number := len(w.nodes)
	w.mu.Unlock()
	n := &Node{
		Number: number, URL: fmt.Sprintf("ws://node%d:1/p2p", number), Ledger: ledger, own: ledger == nil,
		addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(number >> 8), byte(number)}), 1)),
		end:  make(chan error, 1), tips: make(map[consensus.Hash]time.Time), received: make(Traffic), sent: make(Traffic),
	}
	if n.own {
		var err error
		n.Ledger, err = chain.Open(context.Background(), chain.Config{
			Dir: filepath.Join(w.cfg.Dir, fmt.Sprint(number)), Spec: w.cfg.Spec, Now: Now, Sigs: w.cfg.Sigs, Cache: chain.MinCache,
		})
		if err != nil {
			return nil, err
		}
	}
	n.Pool = mempool.New(mempool.Config{Ledger: n.Ledger, Sigs: w.cfg.Sigs, Policy: mempool.DefaultPolicy(), Now: Now})
	n.Ledger.Subscribe(func() {
		n.sawTip(n.Ledger.Tip().Hash)
		_ = n.Pool.Sync() // a failure is the ledger's, which ends Run
	})
	cfg := p2p.Config{
		Spec: w.cfg.Spec, Chain: n.Ledger, Pool: n.Pool, Outbound: -1, UserAgent: "/netsim/", Clock: ahead(),
		Dial: func(_ context.Context, url string) (p2p.Conn, error) { return w.dial(n, url) },
	}
	if w.cfg.Log != nil {
		cfg.Log = w.cfg.Log.With("node", number)
	}
	n.Node = p2p.New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { n.end <- n.Run(ctx) }()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
	return n, nil
}

// Close stops all nodes, and lets the time pass that LevelDB takes to end.
func (w *Network) Close() (err error) {
	w.mu.Lock()
	nodes := w.nodes
	w.mu.Unlock()
	for _, n := range nodes {
		n.stop()
	}
	for _, n := range nodes {
		err = errors.Join(err, <-n.end)
		if n.own {
			err = errors.Join(err, n.Ledger.Close())
		}
	}
	time.Sleep(2 * time.Second)
	return err
}

// Cut cuts the links that it names, and lets all others be dialled. nil cuts
// none.
func (w *Network) Cut(cut func(a, b int) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	kept := w.links[:0]
	for _, l := range w.links {
		if cut != nil && cut(l.from, l.to) {
			_ = l.conn.Close("cut")
		} else {
			kept = append(kept, l)
		}
	}
	w.links = kept
}

var errUnreachable = errors.New("unreachable")

func (w *Network) dial(from *Node, url string) (p2p.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, to := range w.nodes {
		if to.URL != url {
			continue
		}
		if w.cut != nil && w.cut(from.Number, to.Number) {
			break
		}
		a, b := w.cfg.Line(from.Number, to.Number).Pipe(from.addr, to.addr)
		w.links = append(w.links, link{from.Number, to.Number, a})
		to.Accept(&counted{b, to, w.cfg.Lost})
		return &counted{a, from, w.cfg.Lost}, nil
	}
	return nil, errUnreachable
}

// counted is a node's end of a link.
type counted struct {
	p2p.Conn
	node *Node
	lost func(command string) bool
}

// ReadMessage implements p2p.Conn.
func (c *counted) ReadMessage() (string, []byte, error) {
	command, payload, err := c.Conn.ReadMessage()
	if err == nil {
		c.node.mu.Lock()
		defer c.node.mu.Unlock()
		c.node.received.count(command, payload)
	}
	return command, payload, err
}

// WriteMessage implements p2p.Conn.
func (c *counted) WriteMessage(command string, payload []byte) error {
	if c.lost != nil && c.lost(command) {
		return nil
	}
	c.node.mu.Lock()
	c.node.sent.count(command, payload)
	c.node.mu.Unlock()
	return c.Conn.WriteMessage(command, payload)
}

func (n *Node) sawTip(hash consensus.Hash) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.tips[hash]; !ok {
		n.tips[hash] = time.Now()
	}
}

// Reached tells when a block became the node's tip.
func (n *Node) Reached(hash consensus.Hash) (at time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok = n.tips[hash]
	return at, ok
}

// TakeTraffic gives what was counted since it was last called.
func (n *Node) TakeTraffic() (received, sent Traffic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	received, sent = maps.Clone(n.received), maps.Clone(n.sent)
	clear(n.received)
	clear(n.sent)
	return received, sent
}
