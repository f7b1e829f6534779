package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"lode/consensus"
	"lode/internal/atomicfile"
	"lode/internal/filelock"
	"lode/internal/pause"
	"lode/internal/plainly"
	"lode/rpc/client"
)

// Kinds of errors.
var (
	ErrNone    = errors.New("there is no such network")
	ErrVersion = errors.New("the network was made by another version of this program")
	ErrBusy    = errors.New("another command is changing this network")
	ErrRunning = errors.New("the network is running")
	ErrStopped = errors.New("the node is not running")
	ErrNode    = errors.New("no such node")
	ErrUsage   = errors.New("that cannot be done")
)

// The files of a network.
const (
	stateFile    = "testnet.json"
	specFile     = "chainspec.json"
	lockFile     = "lock"
	snapshotsDir = "snapshots"
)

const (
	stateVersion = 1
	maxStateFile = 4 << 20 // bytes
	// MaxNodes is how many nodes a network may have: each has an address of its own
	// in 127.0.1.0/24.
	MaxNodes = 99
)

// State is what is known of a network between two commands.
type State struct {
	Version   int     `json:"version"`
	Name      string  `json:"name"`
	BlockTime int     `json:"block_time"` // seconds
	Link      string  `json:"link,omitempty"`
	Paused    bool    `json:"paused,omitempty"`
	Funded    bool    `json:"funded,omitempty"` // every wallet has got coins
	Groups    [][]int `json:"groups,omitempty"` // the parts of a network that is cut
	Nodes     []*Node `json:"nodes"`
	Forge     *Forge  `json:"forge,omitempty"` // mines apart, while there is one
}

// Node is one node of a network.
type Node struct {
	Index   int      `json:"index"` // from 1
	Host    string   `json:"host"`  // where it listens for peers, and dials from
	Peers   int      `json:"peers_port"`
	RPC     int      `json:"rpc_port"`
	Address string   `json:"address"`         // of its wallet, that its blocks pay to
	Rate    uint64   `json:"hashrate"`        // hashes a second; 0 if it does not mine
	Clock   int64    `json:"clock,omitempty"` // seconds that its clock is ahead
	Spec    string   `json:"spec,omitempty"`  // the file of a chainspec of its own, in the network's directory
	Process *Process `json:"process,omitempty"`
}

// Options say where a network is, and what runs it.
type Options struct {
	Dir     string                             // of the network
	Program string                             // the path of lode
	Say     func(format string, args ...any)   // tells what is done; nil for nobody
	Ready   func(n *Node, after time.Duration) // a node has started; may be nil
	Env     []string                           // of the nodes, instead of this process's
}

// Network is a network that is open. It is for one goroutine.
type Network struct {
	Options
	State
	lock *os.File // nil if it was opened to look at

	mu      sync.Mutex // guards what follows
	spec    *consensus.Spec
	clients map[clientKey]*client.Client
}

// clientKey is what a client of a node was made of: a node has another cookie at each
// start.
type clientKey struct {
	url  string
	auth client.Auth
}

// Look opens a network without changing it. Others may change it meanwhile.
func Look(o Options) (*Network, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	n := &Network{Options: o}
	return n, n.load()
}

// lockPatience is how long a command waits for another one.
const lockPatience = 10 * time.Second

// Open opens a network to change it. It waits a while for another command that does.
func Open(ctx context.Context, o Options) (*Network, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, stateFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s: make it with `lode testnet up`", ErrNone, o.Dir)
	}
	n, err := hold(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := n.load(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// hold takes the lock of a network whose directory is there.
func hold(ctx context.Context, o Options) (*Network, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockPatience); ; {
		err := filelock.Try(f)
		if err == nil {
			return &Network{Options: o, lock: f}, nil
		}
		if !filelock.Held(err) && !errors.Is(err, filelock.ErrHeld) || time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("%w (%s): wait until it has ended, or stop it", ErrBusy, o.Dir)
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// Close lets others change the network. The nodes go on.
func (n *Network) Close() {
	if n.lock != nil {
		n.lock.Close()
		n.lock = nil
	}
}

func (n *Network) path(parts ...string) string {
	return filepath.Join(append([]string{n.Dir}, parts...)...)
}

func (n *Network) load() error {
	s, err := loadState(n.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w in %s: make it with `lode testnet up`", ErrNone, n.Dir)
	}
	if err != nil {
		return err
	}
	n.State = *s
	return nil
}

func loadState(path string) (*State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var format struct{ Version int }
	if len(doc) > maxStateFile || json.Unmarshal(doc, &format) != nil {
		return nil, fmt.Errorf("%s is damaged: stop what runs of the network, and remove its directory", path)
	}
	if format.Version != stateVersion {
		return nil, fmt.Errorf("%w: %s has format %d, and this one knows %d: use the program that made it, or remove the directory", ErrVersion, path, format.Version, stateVersion)
	}
	s := new(State)
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, plainly.Error(err))
	}
	for i, node := range s.Nodes {
		if node == nil || node.Index != i+1 {
			return nil, fmt.Errorf("%s is damaged: the nodes are not numbered from 1 on", path)
		}
	}
	return s, nil
}

func (n *Network) save() error { return writeJSON(n.path(stateFile), &n.State) }

// writeJSON replaces a file at once, so that a power cut leaves the old one or the new.
func writeJSON(path string, v any) error {
	doc, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(doc, '\n'))
}

// Reload takes note of what other commands have changed meanwhile. It is for a network
// that is looked at.
func (n *Network) Reload() error { return n.load() }

// Node is node I.
func (n *Network) Node(index int) (*Node, error) {
	if index < 1 || index > len(n.Nodes) {
		return nil, fmt.Errorf("%w: %d: there are nodes 1 to %d", ErrNode, index, len(n.Nodes))
	}
	return n.Nodes[index-1], nil
}

// Running are the nodes that run.
func (n *Network) Running() (list []*Node) {
	for _, node := range n.Nodes {
		if node.Process.alive() {
			list = append(list, node)
		}
	}
	return list
}

// waitFor asks again and again until it is done. what completes "waiting for".
func waitFor(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	const every = 50 * time.Millisecond
	for end := time.Now().Add(limit); ; {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("gave up after %v waiting for %s", limit, what)
		}
		if err := pause.For(ctx, every); err != nil {
			return err
		}
	}
}
