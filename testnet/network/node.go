package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lode/internal/atomicfile"
	"lode/rpc/client"
	"lode/wallet"
)

// How long things may take that take a second on an idle machine.
const (
	startPatience = 2 * time.Minute
	stopPatience  = 2 * time.Minute
	callPatience  = 2 * time.Minute
)

// kernelName is the mining kernel of nodes: at their rates any will do, and to measure
// which is the fastest would cost each of them a good part of a second at its start.
const kernelName = "stdlib"

// walletName is the wallet of each node.
const walletName = "main"

// DataDir is the data directory of a node, for --datadir.
func (n *Network) DataDir(node *Node) string { return n.path(fmt.Sprintf("node%d", node.Index)) }

// LogFile is the log of a node.
func (n *Network) LogFile(node *Node) string { return filepath.Join(n.DataDir(node), "node.log") }

// netDir is where a node keeps what is of its network.
func (n *Network) netDir(dataDir string) (string, error) {
	spec, err := n.Spec()
	if err != nil {
		return "", err
	}
	return filepath.Join(dataDir, spec.Name), nil
}

// URL is where peers find a node.
func (node *Node) URL() string {
	return "ws://" + net.JoinHostPort(node.Host, strconv.Itoa(node.Peers))
}

// Name is how peers see it, in its user agent.
func (node *Node) Name() string { return fmt.Sprintf("node%d", node.Index) }

func (node *Node) rpcAddress() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(node.RPC))
}

// Client calls a node; path is empty, or "/wallet/NAME".
func (n *Network) Client(node *Node, path string) (*client.Client, error) {
	return n.clientAt(n.DataDir(node), node.rpcAddress(), path)
}

func (n *Network) clientAt(dataDir, address, path string) (*client.Client, error) {
	dir, err := n.netDir(dataDir)
	if err != nil {
		return nil, err
	}
	auth, err := client.Cookie(filepath.Join(dir, ".cookie"))
	if err != nil {
		return nil, err
	}
	key := clientKey{"http://" + address + path, auth}
	n.mu.Lock()
	defer n.mu.Unlock()
	if cl := n.clients[key]; cl != nil {
		return cl, nil
	}
	cl, err := client.New(key.url, auth)
	if err == nil {
		if n.clients == nil {
			n.clients = make(map[clientKey]*client.Client)
		}
		n.clients[key] = cl
	}
	return cl, err
}

// Call calls a method of a node.
func (n *Network) Call(ctx context.Context, node *Node, result any, method string, params ...any) error {
	return n.callAt(ctx, node, "", result, method, params)
}

// CallWallet calls a method of the wallet of a node.
func (n *Network) CallWallet(ctx context.Context, node *Node, result any, method string, params ...any) error {
	return n.callAt(ctx, node, "/wallet/"+walletName, result, method, params)
}

func (n *Network) callAt(ctx context.Context, node *Node, path string, result any, method string, params []any) error {
	if !node.Process.alive() && n.lock == nil { // another command may have started it meanwhile
		if err := n.load(); err != nil {
			return err
		}
		now, err := n.Node(node.Index)
		if err != nil {
			return err
		}
		*node = *now
	}
	if !node.Process.alive() {
		return fmt.Errorf("%w: node %d: start it with `lode testnet start %d`", ErrStopped, node.Index, node.Index)
	}
	cl, err := n.Client(node, path)
	if err != nil {
		return fmt.Errorf("node %d: %w", node.Index, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	if err := cl.Call(ctx, method, params, result); err != nil {
		return fmt.Errorf("node %d, %s: %w", node.Index, method, err)
	}
	return nil
}

// makeNode makes the wallet and the directory of a node.
func (n *Network) makeNode(ctx context.Context, node *Node) error {
	dir, err := n.netDir(n.DataDir(node))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	spec, err := n.Spec()
	if err != nil {
		return err
	}
	files, err := wallet.NamedFiles(dir, walletName)
	if err != nil {
		return err
	}
	words, err := wallet.NewMnemonic(24)
	if err != nil {
		return err
	}
	w, err := wallet.Create(ctx, files, spec, wallet.CreateOptions{Mnemonic: words, Plain: true})
	if err != nil {
		return fmt.Errorf("the wallet of node %d: %w", node.Index, err)
	}
	address, err := w.Receive(wallet.AddressOptions{New: true})
	if err == nil {
		node.Address = address.Address
		err = w.Save()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("the wallet of node %d: %w", node.Index, err)
	}
	return atomicfile.Write(filepath.Join(dir, "settings.json"), fmt.Appendf(nil, "{\n \"wallet\": [\n  %q\n ]\n}\n", walletName))
}

// launch starts the process of a node, and waits until it answers. It mines nothing
// yet: see settle.
func (n *Network) launch(ctx context.Context, node *Node) error {
	if node.Process.alive() {
		return nil
	}
	spec := n.SpecFile()
	if node.Spec != "" {
		spec = n.path(node.Spec)
	}
	args := []string{
		"node", "--network", spec, "--datadir", n.DataDir(node), "--outbound", "0",
		"--listen", strings.TrimPrefix(node.URL(), "ws://"), "--rpc-listen", node.rpcAddress(),
		"--dial-from", node.Host, "--uacomment", node.Name(), "--wallet-rpc", "--txindex", "--dbcache", "16", "--maxmempool", "50",
		"--mine", node.Address, "--threads", "1", "--kernel", kernelName, "--mine-paused",
	}
	if n.Link != "" {
		args = append(args, "--link", n.Link)
	}
	began := time.Now()
	p, exited, err := start(n.LogFile(node), n.env(), n.Program, args...)
	if err != nil {
		return n.notStarted(node, err)
	}
	node.Process = p
	if err := n.save(); err != nil {
		return errors.Join(err, p.kill())
	}
	if err := n.answers(ctx, n.DataDir(node), node.rpcAddress(), exited); err != nil {
		err = n.notStarted(node, err)
		if !node.Process.alive() {
			node.Process = nil
			err = errors.Join(err, n.save())
		}
		return err
	}
	if n.Ready != nil {
		n.Ready(node, time.Since(began))
	}
	return nil
}

// answers waits until a node answers, or has ended.
func (n *Network) answers(ctx context.Context, dataDir, address string, exited <-chan struct{}) error {
	return waitFor(ctx, startPatience, "the node to answer", func() (bool, error) {
		select {
		case <-exited:
			return false, errors.New("it ended")
		default:
		}
		cl, err := n.clientAt(dataDir, address, "")
		if err != nil {
			return false, nil // it has not written its cookie yet
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return cl.Call(ctx, "getblockcount", nil, nil) == nil, nil
	})
}

func (n *Network) env() []string {
	if n.Env != nil {
		return n.Env
	}
	return nodeEnv(os.Environ())
}

// notStarted says why, in the words of the node, whose last line tells.
func (n *Network) notStarted(node *Node, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	line := lastLine(n.LogFile(node))
	switch {
	case strings.Contains(line, errTaken.Error()):
		return fmt.Errorf("node %d did not start: a port %w: %s", node.Index, errTaken, line)
	case line != "":
		return fmt.Errorf("node %d did not start: %s (its log is %s)", node.Index, line, n.LogFile(node))
	}
	return fmt.Errorf("node %d did not start: %w; its log is %s", node.Index, err, n.LogFile(node))
}

func lastLine(path string) string {
	const most = 4096
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end, err := f.Seek(0, 2)
	if err != nil {
		return ""
	}
	b := make([]byte, min(most, end))
	if _, err := f.ReadAt(b, end-int64(len(b))); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "lode: ")
}

// settle gives a node that has started the clock and the rate of mining that it is to
// have. It is connected by connect.
func (n *Network) settle(ctx context.Context, node *Node) error {
	if spec, err := n.Spec(); err != nil {
		return err
	} else if spec.Defaults.MockClock {
		if err := n.Call(ctx, node, nil, "setclockahead", node.Clock); err != nil {
			return err
		}
	}
	return n.setMining(ctx, node)
}

// setMining has a node mine, or rest, as the state says.
func (n *Network) setMining(ctx context.Context, node *Node) error {
	if n.Paused || node.Rate == 0 {
		return n.Call(ctx, node, nil, "setgenerate", false)
	}
	return n.Call(ctx, node, nil, "setgenerate", true, node.Rate)
}

// halt stops a node cleanly.
func (n *Network) halt(node *Node) error {
	if !node.Process.alive() {
		n.stopStray(node)
		node.Process = nil
		return nil
	}
	n.askToStop(n.DataDir(node), node.rpcAddress(), node.Process)
	if !node.Process.waitGone(stopPatience) {
		return fmt.Errorf("node %d does not stop: `lode testnet kill %d` ends it at once", node.Index, node.Index)
	}
	node.Process = nil
	return nil
}

// askToStop does so by a signal, or where there are none by RPC.
func (n *Network) askToStop(dataDir, address string, p *Process) {
	if p.terminate() == nil {
		return
	}
	if cl, err := n.clientAt(dataDir, address, ""); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = cl.Call(ctx, "stop", nil, nil) // whoever asks waits for the end
	}
}

// stopStray stops a node of which the state does not know, because the command that
// started it was killed at that moment: it answers to the cookie in its directory.
func (n *Network) stopStray(node *Node) {
	cl, err := n.Client(node, "")
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if cl.Call(ctx, "stop", nil, nil) == nil {
		_ = waitFor(ctx, stopPatience, "", func() (bool, error) {
			return errors.Is(cl.Call(ctx, "getblockcount", nil, nil), client.ErrNotRunning), nil
		})
	}
}
