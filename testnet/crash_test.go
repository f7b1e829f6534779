package testnet_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lode/consensus"
	"lode/rpc/client"
	"lode/testnet/chaingen"
)

// The crash tests kill the real binary at random instants, again and again in
// the same data directory, and look at what the next start makes of it. These
// variables of the environment ask for more of them, and repeat a run:
const (
	crashKills = "CRASH_KILLS" // how many kills over all tests; 12 if it is not set, 6 with -short
	crashSeed  = "CRASH_SEED"  // of what is random; a new one each time if it is not set
)

// smallCache is the least that --dbcache takes, in MB: it is full after a few
// hundred blocks of these tests, so that many kills hit a flush.
const smallCache = "4"

// crashSpec is the network of the crash tests: coinbases can be spent soon, and
// blocks may come so fast that their times run ahead.
var crashSpec = chaingen.Spec(func(s *consensus.Spec) { s.Name, s.Rules.Maturity, s.Defaults.MaxDrift = "crash", 2, 1<<20 })

// crash runs a test for the default cache and for the smallest, each with its
// share of the kills: parts of 30.
func crash(t *testing.T, parts int, test func(v *victim, kills int)) {
	kills, seed := 12, rand.Uint64()
	if testing.Short() {
		kills = 6
	}
	for name, into := range map[string]func(uint64){crashKills: func(n uint64) { kills = int(n) }, crashSeed: func(n uint64) { seed = n }} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			into(n)
		}
	}
	kills = max(1, (kills*parts+29)/30)
	caches := [][]string{nil, {"--dbcache", smallCache}}
	if help, _, _ := lode(t, "node", "--help"); !strings.Contains(help, "--dbcache") {
		t.Log("the binary has no --dbcache: all kills with the cache that it has")
		caches = caches[:1]
	}
	for i, cache := range caches {
		share := (kills + i) / len(caches)
		if share == 0 {
			continue
		}
		name := "default cache"
		if cache != nil {
			name = "cache of " + smallCache + " MB"
		}
		t.Run(name, func(t *testing.T) { test(newVictim(t, seed, cache), share) })
	}
}

// victim is a data directory whose processes are killed.
type victim struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	dir     string // of everything that belongs to the victim
	datadir string
	network string   // the file of crashSpec
	cache   []string // flags
	kills   int
	instant string // of the last kill
	acks    []ack
	height  uint32 // of the best block that was acknowledged
	replays map[consensus.Hash]utxoSet
}

// ack is a block that the node has said to have.
type ack struct {
	hash consensus.Hash
	raw  string // hex
}

func newVictim(t *testing.T, seed uint64, cache []string) *victim {
	dir, err := os.MkdirTemp("", "lode-crash-")
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{
		t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), dir: dir, datadir: filepath.Join(dir, "data"),
		network: filepath.Join(dir, "crash.json"), cache: cache, replays: make(map[consensus.Hash]utxoSet),
	}
	t.Logf("%s=%d", crashSeed, seed)
	if err := os.WriteFile(v.network, crashSpec.JSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s=%d; last: %s\nas that kill left it: %s\nas it is now: %s", crashSeed, seed, v.instant, v.remains(), v.datadir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return v
}

// remains is a copy of the data directory as the last kill left it: an instant
// cannot be repeated to the microsecond, but what came of it can be looked at.
func (v *victim) remains() string { return filepath.Join(v.dir, "killed") }

func (v *victim) keepRemains() {
	v.t.Helper()
	if err := os.RemoveAll(v.remains()); err != nil {
		v.t.Fatal(err)
	}
	if err := os.CopyFS(v.remains(), os.DirFS(v.datadir)); err != nil && !errors.Is(err, fs.ErrNotExist) { // killed before it was made
		v.t.Fatal(err)
	}
}

// upTo is a random time below limit.
func (v *victim) upTo(limit time.Duration) time.Duration {
	return time.Duration(v.random.Int64N(int64(max(limit, 1))))
}

// process is one run of the binary on the directory of a victim.
type process struct {
	v       *victim
	what    string
	cmd     *exec.Cmd
	out     bytes.Buffer // to be read after done
	done    chan struct{}
	started time.Time
	kill    *time.Timer
	rpc     *client.Client // of a node that has answered
}

// launch runs a command on the data directory.
func (v *victim) launch(words ...string) *process {
	v.t.Helper()
	p := &process{v: v, what: strings.Join(words, " "), done: make(chan struct{})}
	p.cmd = exec.Command(program, append(words, "--network", v.network, "--datadir", v.datadir)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its status is looked at later
		close(p.done)
	}()
	v.t.Cleanup(func() {
		if p.kill != nil {
			p.kill.Stop()
		}
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// node runs a node with further flags.
func (v *victim) node(flags ...string) *process {
	v.t.Helper()
	words := append([]string{"node", "--listen", "off", "--rpc-listen", "127.0.0.1:0", "--outbound", "0"}, v.cache...)
	return v.launch(append(words, flags...)...)
}

// killIn has the process killed after a while.
func (p *process) killIn(delay time.Duration, when string) {
	p.v.instant = fmt.Sprintf("kill %d: `lode %s`, %v after %s", p.v.kills+1, p.what, delay, when)
	p.kill = time.AfterFunc(delay, func() { _ = p.cmd.Process.Kill() }) // it may have ended
}

// crashed waits for the end of a process, and reports whether it was killed.
// Else it must have ended with status 0.
func (p *process) crashed() bool {
	v := p.v
	v.t.Helper()
	select {
	case <-p.done:
	case <-time.After(5 * time.Minute):
		v.t.Fatalf("`lode %s` does not end", p.what)
	}
	if p.kill != nil {
		p.kill.Stop()
	}
	if m := complaint.FindString(p.out.String()); m != "" {
		v.t.Fatalf("`lode %s` speaks of %q:\n%s", p.what, m, &p.out)
	}
	if p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		v.kills++
		v.t.Log(v.instant)
		v.keepRemains()
		return true
	}
	if !p.cmd.ProcessState.Success() {
		v.t.Fatalf("`lode %s` ended with %v:\n%s", p.what, p.cmd.ProcessState, &p.out)
	}
	return false
}

// complaint is what nobody may have to read after a kill: nothing is damaged.
var complaint = regexp.MustCompile(`(?i)damage|corrupt|anew|reindex|panic|goroutine \d+`)

// ready waits until a node answers, and reports whether it was not killed
// before it did.
func (p *process) ready() bool {
	v := p.v
	v.t.Helper()
	dir := filepath.Join(v.datadir, crashSpec.Name)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		select {
		case <-p.done:
			return p.mustBeKilled(errors.New("it never answered"))
		default:
		}
		address, err := os.ReadFile(filepath.Join(dir, ".rpc-address"))
		auth, failure := client.Cookie(filepath.Join(dir, ".cookie"))
		if err != nil || failure != nil { // not yet; or the last one's, which was killed
			continue
		}
		rpc, err := client.New(strings.TrimSpace(string(address)), auth)
		if err == nil && rpc.Call(v.t.Context(), "getblockcount", nil, nil) == nil {
			p.rpc = rpc
			return true
		}
	}
	v.t.Fatalf("the node does not answer")
	return false
}

// mustBeKilled is for a process that does not answer any more: only a kill may be
// the reason. It is always false.
func (p *process) mustBeKilled(err error) bool {
	p.v.t.Helper()
	refused := new(client.Error)
	if errors.As(err, &refused) || !p.crashed() {
		p.v.t.Fatalf("`lode %s`: %v\n%s", p.what, err, &p.out)
	}
	return false
}

// call calls a method, and reports whether the node answered; else it was
// killed.
func (p *process) call(result any, method string, params ...any) bool {
	p.v.t.Helper()
	if err := p.rpc.Call(p.v.t.Context(), method, params, result); err != nil {
		return p.mustBeKilled(err)
	}
	return true
}

// checkKnown compares every block that was ever acknowledged with what the node
// has, and the height of its tip with the best of them.
func (p *process) checkKnown() bool {
	p.v.t.Helper()
	raw, headers := make([]string, len(p.v.acks)), make([]struct{ Hash consensus.Hash }, len(p.v.acks))
	var calls []client.Request
	for i, a := range p.v.acks {
		calls = append(calls,
			client.Request{Method: "getblock", Params: []any{a.hash, 0}, Result: &raw[i]},
			client.Request{Method: "getblockheader", Params: []any{a.hash}, Result: &headers[i]})
	}
	for part := range chunks(calls, 500) {
		if err := p.rpc.Batch(p.v.t.Context(), part); err != nil {
			return p.mustBeKilled(err)
		}
	}
	for i, a := range p.v.acks {
		if err := cmp.Or(calls[2*i].Err, calls[2*i+1].Err); err != nil {
			p.v.t.Fatalf("acknowledged block %d of %d: %v", i+1, len(p.v.acks), err)
		}
		if raw[i] != a.raw || headers[i].Hash != a.hash {
			p.v.t.Fatalf("acknowledged block %d of %d, %s, is another now", i+1, len(p.v.acks), a.hash)
		}
	}
	var height uint32
	if !p.call(&height, "getblockcount") {
		return false
	}
	if height < p.v.height {
		p.v.t.Fatalf("the tip is at height %d, and a block at %d was acknowledged", height, p.v.height)
	}
	return true
}

// chunks cuts a list into parts of at most n.
func chunks[T any](list []T, n int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			part := list[:min(n, len(list))]
			if list = list[len(part):]; !yield(part) {
				return
			}
		}
	}
}

// utxoSet is what nodes must agree on.
type utxoSet struct {
	BestBlock consensus.Hash
	Height    uint32
	TxOuts    uint64
	Hash      string `json:"hash_serialized_3"`
	MuHash    string
}

// utxo asks a node that nobody kills for its UTXO set.
func (p *process) utxo() (s utxoSet) {
	p.v.t.Helper()
	if !p.call(&s, "gettxoutsetinfo") || !p.call(&s, "gettxoutsetinfo", "muhash") || s.Hash == "" || s.MuHash == "" {
		p.v.t.Fatalf("no UTXO hashes: %+v", s)
	}
	return s
}

// stop ends a node as a user does.
func (p *process) stop() {
	p.v.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.v.t.Fatal(err)
	}
	if p.crashed() {
		p.v.t.Fatal("killed by somebody else")
	}
}

// recover starts a node and lets it live: it comes up by itself, has every
// acknowledged block, and its coins are those of an undisturbed replay of its
// chain. It gives them.
func (v *victim) recover() utxoSet {
	v.t.Helper()
	node := v.node()
	if !node.ready() || !node.checkKnown() {
		v.t.Fatal("killed by somebody else")
	}
	got := node.utxo()
	node.stop()
	want, ok := v.replays[got.BestBlock]
	if !ok {
		want = v.replay(got.Height > 0)
		v.replays[got.BestBlock] = want
	}
	if got != want {
		v.t.Fatalf("after %d kills the UTXO set is\n%+v, and after an undisturbed replay\n%+v", v.kills, got, want)
	}
	return got
}

// replay imports the active chain, if there are blocks in it, into a fresh
// directory.
func (v *victim) replay(blocks bool) utxoSet {
	v.t.Helper()
	dir, err := os.MkdirTemp(v.dir, "replay-")
	if err != nil {
		v.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "chain.dat")
	fresh := *v
	fresh.datadir, fresh.cache = filepath.Join(dir, "data"), nil
	if err := os.Mkdir(fresh.datadir, 0o700); err != nil {
		v.t.Fatal(err)
	}
	if blocks {
		v.must("chain", "export", file)
		fresh.must("chain", "import", file)
	}
	node := fresh.node()
	if !node.ready() {
		v.t.Fatal("killed by somebody else")
	}
	defer node.stop()
	return node.utxo()
}

// must runs a command to its end.
func (v *victim) must(words ...string) {
	v.t.Helper()
	if v.launch(words...).crashed() {
		v.t.Fatal("killed by somebody else")
	}
}

// acknowledge notes that the node has said to have a block.
func (v *victim) acknowledge(b *consensus.Block, height uint32) {
	v.acks = append(v.acks, ack{b.Header.Hash(), hex.EncodeToString(b.Bytes())})
	v.height = max(v.height, height)
}
