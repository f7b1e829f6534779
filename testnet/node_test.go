package testnet_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lode/consensus"
	"lode/rpc/client"
	"lode/wallet"
)

// testAddress is that of BIP350.
const testAddress = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6"

// program is the path of the built binary, which TestMain makes.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lode-testnet-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "lode")
	build := exec.Command("go", "build", "-o", program, "lode")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build lode:", err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// node is a running process of the binary.
type node struct {
	t       *testing.T
	datadir string
	network string
	peers   string // HOST:PORT
	cmd     *exec.Cmd
	log     *logBuffer
	stdout  *os.File // in place of log, at the first start
	client  *client.Client
	files   int // how many it may open; 0 for as many as the test
}

// logBuffer is what a process has written, also while it goes on.
type logBuffer struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startNode runs a regtest node and waits until it answers.
func startNode(t *testing.T, datadir string, flags ...string) *node {
	t.Helper()
	n := &node{t: t, datadir: datadir, network: "regtest", peers: freePort(t), log: new(logBuffer)}
	n.start(flags...)
	return n
}

func (n *node) start(flags ...string) {
	n.t.Helper()
	args := append([]string{"node", "--network", n.network, "--datadir", n.datadir, "--listen", n.peers, "--rpc-listen", "127.0.0.1:0", "--outbound", "0"}, flags...)
	n.cmd = exec.Command(program, args...)
	if n.files > 0 {
		n.cmd = exec.Command("sh", slices.Concat([]string{"-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(n.files), program}, args)...)
	}
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if n.stdout != nil {
		n.cmd.Stdout, n.stdout = n.stdout, nil
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait()
		}
		if n.t.Failed() {
			n.t.Logf("log of the node in %s:\n%s", n.datadir, n.log)
		}
	})
	n.client = nil
	waitFor(n.t, "the node to answer", func() bool {
		dir := filepath.Join(n.datadir, n.network)
		address, err := os.ReadFile(filepath.Join(dir, ".rpc-address"))
		auth, failure := client.Cookie(filepath.Join(dir, ".cookie"))
		if err != nil || failure != nil { // not yet; or the last one's, which was killed
			return false
		}
		c, err := client.New(strings.TrimSpace(string(address)), auth)
		if err != nil || c.Call(n.t.Context(), "getblockcount", nil, nil) != nil {
			return false
		}
		n.client = c
		return true
	})
}

func (n *node) url() string { return "ws://" + n.peers }

// stop ends the process and gives its exit status.
func (n *node) stop(signal syscall.Signal) int {
	n.t.Helper()
	if err := n.cmd.Process.Signal(signal); err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = n.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		n.t.Fatal("the node does not stop")
	}
	return n.cmd.ProcessState.ExitCode()
}

// run calls a command for this node's data and gives what it prints.
func (n *node) run(words ...string) string {
	n.t.Helper()
	out, errs, status := n.try(words...)
	if status != 0 {
		n.t.Fatalf("lode %s: status %d: %s", strings.Join(words, " "), status, errs)
	}
	return strings.TrimSpace(out)
}

// try is run for a command that may fail.
func (n *node) try(words ...string) (stdout, stderr string, status int) {
	n.t.Helper()
	args := append([]string{words[0]}, words[1:]...)
	return lode(n.t, append(args, "--network", n.network, "--datadir", n.datadir)...)
}

// rpc gives what `lode rpc` prints, without the cost of a process: TestMainJob and
// others call that.
func (n *node) rpc(words ...string) string {
	n.t.Helper()
	var params []any
	for _, word := range words[1:] {
		if _, isHex := hex.DecodeString(word); isHex == nil && len(word) > 20 || !json.Valid([]byte(word)) {
			params = append(params, word)
		} else {
			params = append(params, json.RawMessage(word))
		}
	}
	var result json.RawMessage
	if err := n.client.Call(n.t.Context(), words[0], params, &result); err != nil {
		n.t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	var text string
	if json.Unmarshal(result, &text) == nil { // nothing, for null
		return strings.TrimSpace(text)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, result, "", "  "); err != nil {
		n.t.Fatal(err)
	}
	return out.String()
}

// makeWallet makes the wallet that `lode wallet create` makes, in the file that it
// takes where none is named. It gives the words. The passphrase opens it at once: to
// make and to open what users have costs half a second of a core each time, and so
// few tests do (TestReadmeByHand, TestMainJob).
func (n *node) makeWallet(file ...string) (words string) {
	n.t.Helper()
	const quick = 2 // powers of two of work
	path := filepath.Join(n.datadir, n.network, "wallet.age")
	if len(file) > 0 {
		path = file[0]
	}
	spec, err := consensus.EmbeddedSpec(n.network)
	if err != nil {
		n.t.Fatal(err)
	}
	if words, err = wallet.NewMnemonic(24); err != nil {
		n.t.Fatal(err)
	}
	w, err := wallet.Create(n.t.Context(), wallet.FilesOf(path), spec, wallet.CreateOptions{Mnemonic: words, Passphrase: passphrase, WorkFactor: quick})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return words
}

// call is rpc with the result decoded.
func (n *node) call(into any, words ...string) {
	n.t.Helper()
	decode(n.t, n.rpc(words...), into)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// lode runs the binary once.
func lode(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return run(t, program, args...)
}

// run runs any program once.
func run(t *testing.T, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LODE_WALLET_PASSPHRASE="+passphrase)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, isExit := err.(*exec.ExitError); err != nil && !isExit {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const passphrase = "correct horse battery staple"

// patience only bounds a failure: a loaded machine must not look like one.
const patience = 3 * time.Minute

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	waitUpTo(t, patience, what, done)
}

func waitUpTo(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

var ports atomic.Int32 // that were given out

// freePort gives an address to listen on, once. Its port lies below those that
// the system chooses by itself, so that no connection gets it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	const first, count = 20_000, 9_000
	for range count {
		address := fmt.Sprintf("127.0.0.1:%d", first+(os.Getpid()*64+int(ports.Add(1)))%count)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
