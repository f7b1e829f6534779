package attack

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lode/consensus"
	"lode/rpc/client"
	"lode/testnet/chaingen"
)

// full is set by `make attack`: the numbers of strangers are those of a determined
// one, and so are the bounds.
var full = flag.Bool("attack.full", false, "attack with full numbers, and judge by the bounds for a quiet machine")

// scale is the first number for `make attack` and the second for `make test`.
func scale[T any](determined, small T) T {
	if *full {
		return determined
	}
	return small
}

var (
	program string // the built binary
	history string // a bootstrap file of the blocks below
	// grown is the chain that each node begins with: coinbases, a block that shares
	// coins out, full blocks, and enough on top that these are old.
	grown *chaingen.Chain
	spec  *consensus.Spec
)

const (
	emptyBlocks = 110
	fullBlocks  = 8
	blockTxs    = 700
	onTop       = 14
	spacing     = 600 // seconds from block to block
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "lode-attack-")
	if err != nil {
		panic(err)
	}
	status := 1
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

func prepare(dir string) (err error) {
	program = filepath.Join(dir, "lode")
	build := exec.Command("go", "build", "-o", program, "lode")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build lode: %w\n%s", err, out)
	}
	if spec, err = consensus.EmbeddedSpec("regtest"); err != nil {
		return err
	}
	// The tip is some hours old, so that there is time for the blocks to come.
	blocks := int64(emptyBlocks + 1 + fullBlocks + onTop)
	p := chaingen.Params{Seed: 7, Start: uint32(time.Now().Unix() - blocks*spacing - 5*3600)}
	grown = chaingen.New(&spec.Rules, p)
	grown.Extend(emptyBlocks)
	p.Txs, p.Outputs = 8, 1500
	grown.Params = p
	grown.Extend(1)
	p.Txs, p.Outputs, p.Fee = blockTxs, 2, 1
	grown.Params = p
	grown.Extend(fullBlocks)
	p.Txs = 0
	grown.Params = p
	grown.Extend(onTop)
	history = filepath.Join(dir, "bootstrap.dat")
	f, err := os.Create(history)
	if err != nil {
		return err
	}
	defer f.Close()
	return chaingen.Write(f, spec, grown.Blocks...)
}

// victim is a running node that strangers attack.
type victim struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    logBuffer
	tcp    string
	rpc    *client.Client
	web    string
	dir    string
	honest *honest
	chain  *chaingen.Chain
}

// logBuffer is what a process has written, also while it goes on.
type logBuffer struct {
	mu   sync.Mutex // guards text
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

// startVictim runs a node that has the whole history and dials one honest peer.
// Small attacks go on side by side.
func startVictim(t *testing.T, flags ...string) *victim {
	t.Helper()
	if !*full {
		t.Parallel()
	}
	dir := t.TempDir()
	if out, err := exec.Command(program, "chain", "import", "--network", "regtest", "--datadir", dir, history).CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	v := &victim{t: t, dir: dir, chain: grown.Fork(grown.Tip().Height, 1)}
	v.honest = listenHonest(t, v.chain)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v.tcp = l.Addr().String()
	_ = l.Close()
	args := append([]string{"node", "--network", "regtest", "--datadir", dir, "--listen", "127.0.0.1:0", "--listen-tcp", v.tcp, "--rpc-listen", "127.0.0.1:0",
		"--outbound", "0", "--connect", "tcp://" + v.honest.address, "--loopback-is-public"}, flags...)
	v.cmd = exec.Command(program, args...)
	v.cmd.Stdout, v.cmd.Stderr = &v.log, &v.log
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.stop)
	v.connect(filepath.Join(dir, "regtest"))
	v.honest.waitReady(t)
	return v
}

// connect waits until the node's calls can be made.
func (v *victim) connect(dir string) {
	v.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		address, err := os.ReadFile(filepath.Join(dir, ".rpc-address"))
		if err == nil {
			var auth client.Auth
			if auth, err = client.Cookie(filepath.Join(dir, ".cookie")); err == nil {
				v.web = "http://" + strings.TrimSpace(string(address))
				if v.rpc, err = client.New(v.web, auth); err == nil {
					if err = v.call(nil, "getblockcount"); err == nil {
						return
					}
				}
			}
		}
		if time.Now().After(end) {
			v.t.Fatalf("the node does not answer: %v", err)
		}
	}
}

func (v *victim) stop() {
	if v.t.Failed() {
		log := v.log.String()
		v.t.Logf("the end of its log:\n%s", log[max(0, len(log)-4000):])
	}
	_ = v.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(time.Minute, func() { _ = v.cmd.Process.Kill() })
	_ = v.cmd.Wait()
	late.Stop()
}

func (v *victim) call(into any, method string, params ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return v.rpc.Call(ctx, method, params, into)
}

func (v *victim) mustCall(into any, method string, params ...any) {
	v.t.Helper()
	if err := v.call(into, method, params...); err != nil {
		v.t.Fatalf("%s: %v", method, err)
	}
}

var goroutinesLine = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

// goroutines is how many the node has.
func (v *victim) goroutines() int {
	v.t.Helper()
	answer, err := http.Get(v.web + "/metrics")
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	match := goroutinesLine.FindSubmatch(text)
	if match == nil {
		v.t.Fatal("no go_goroutines in /metrics")
	}
	n, _ := strconv.Atoi(string(match[1]))
	return n
}

// memory is the most memory that the process has had, in bytes.
func (v *victim) memory() int64 {
	v.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		v.t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	v.t.Fatal("no VmHWM")
	return 0
}

// connections is how many peers the node counts.
func (v *victim) connections() (n int) {
	v.t.Helper()
	v.mustCall(&n, "getconnectioncount")
	return n
}

// databaseSize is what the node keeps besides blocks, in bytes.
func (v *victim) databaseSize() (size int64) {
	v.t.Helper()
	err := filepath.WalkDir(filepath.Join(v.dir, "regtest", "ledger"), func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil { // else it is gone meanwhile
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return size
}
