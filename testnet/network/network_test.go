package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/p2p/link"
)

// TestEdges: every part is connected within itself, whatever its size, and nobody
// dials more than a few in a large one.
func TestEdges(t *testing.T) {
	for size := 1; size <= 40; size++ {
		part := make([]int, size)
		for i := range part {
			part[i] = 2*i + 1
		}
		list := edges(part)
		linked := map[int]bool{part[0]: true}
		for range size {
			for _, e := range list {
				linked[e[0]], linked[e[1]] = linked[e[0]] || linked[e[1]], linked[e[0]] || linked[e[1]]
			}
		}
		dials := make(map[int]int)
		seen := make(map[[2]int]bool)
		for _, e := range list {
			dials[e[0]]++
			if seen[e] || seen[[2]int{e[1], e[0]}] || e[0] == e[1] {
				t.Errorf("of %d nodes, %v are connected twice", size, e)
			}
			seen[e] = true
		}
		for _, i := range part {
			if !linked[i] || size > meshUpTo && dials[i] != neighbours {
				t.Errorf("of %d nodes, %d is linked %v and dials %d", size, i, linked[i], dials[i])
			}
		}
		if want := size * (size - 1) / 2; size <= meshUpTo && len(list) != want {
			t.Errorf("%d nodes have %d connections, want %d", size, len(list), want)
		}
	}
}

func TestPartitionOfTheState(t *testing.T) {
	s := State{Nodes: make([]*Node, 5)}
	for _, test := range []struct {
		groups [][]int
		want   string
	}{
		{[][]int{{1, 2}, {3, 4, 5}}, "[[1 2] [3 4 5]]"},
		{[][]int{{2}}, "[[2] [1 3 4 5]]"},
		{[][]int{{1, 2}, {2, 3}}, "node 2 is named twice"},
		{[][]int{{1, 1}}, "node 1 is named twice"},
		{[][]int{{1, 2, 3, 4, 5}}, "all nodes are in one part"},
		{[][]int{{0}}, "there are nodes 1 to 5"},
		{[][]int{{6}}, "there are nodes 1 to 5"},
		{[][]int{{}, {1}}, "has no node"},
	} {
		parts, err := s.partition(test.groups)
		if got := fmt.Sprint(parts, err); !strings.Contains(got, test.want) {
			t.Errorf("%v: %s, want %s", test.groups, got, test.want)
		}
	}
}

func TestLimitFor(t *testing.T) {
	for _, hashes := range []float64{0, 1, 2, 3, 255, 256, 1000, 32768, 65536, 1e6, 1e9, 1e15} {
		bits := limitFor(hashes)
		target, ok := consensus.TargetFromBits(bits)
		if !ok || consensus.BitsFromTarget(target) != bits {
			t.Errorf("%v hashes: %08x is no target", hashes, bits)
			continue
		}
		total := consensus.WorkFromBits(bits)
		work, _ := total.ToBig().Float64()
		if want := max(hashes, 2); work < want*0.99 || work > want*1.01+1 {
			t.Errorf("%v hashes: %08x takes %v", hashes, bits, work)
		}
	}
}

func TestMadeSpecsDiffer(t *testing.T) {
	a, err := makeSpec(t.Context(), "a", 3, 5, 1000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := makeSpec(t.Context(), "b", 3, 5, 1000)
	if err != nil {
		t.Fatal(err)
	}
	first, err := consensus.ParseSpec(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := consensus.ParseSpec(b)
	if err != nil {
		t.Fatal(err)
	}
	if first.Rules.ID() == second.Rules.ID() || string(first.Defaults.Magic) == string(second.Defaults.Magic) {
		t.Error("two networks have the same rules, or the same magic")
	}
	if !first.Defaults.Playground || !first.Defaults.MockClock {
		t.Error("no wallets without a passphrase, or no other clocks")
	}
}

// TestStateOfAnotherVersion: it is said in one line, and nothing is touched.
func TestStateOfAnotherVersion(t *testing.T) {
	for doc, want := range map[string]string{
		`{"version": 2, "what": "nobody knows"}`: "format 2",
		`{}`:                                     "format 0",
		`no JSON`:                                "damaged",
		`{"version": 1, "strange": 1}`:           "damaged",
		`{"version": 1, "nodes": [{"index": 2}]}`:            "not numbered",
		`{"version": 1, "nodes": [null]}`:                    "not numbered",
		`{"version": 1}` + strings.Repeat(" ", maxStateFile): "damaged",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"look": second(Look(Options{Dir: dir})), "open": second(Open(t.Context(), Options{Dir: dir})), "up": second(Up(t.Context(), Options{Dir: dir}, Settings{})),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s with %.30s: %v", name, doc, err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(dir, stateFile)); err != nil || string(got) != doc {
			t.Errorf("%.30s was changed: %v", doc, err)
		}
	}
}

func second(n *Network, err error) error {
	if n != nil {
		n.Close()
	}
	return err
}

func TestNoNetwork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := Look(Options{Dir: dir}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("looking made a directory")
	}
}

// TestUpRefuses: what cannot be is refused before anything is made.
func TestUpRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	real := filepath.Join(t.TempDir(), "main.json")
	spec, err := consensus.EmbeddedSpec("main")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte(strings.Replace(string(spec.JSON()), `"name": "main"`, `"name": "mine"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, test := range []struct {
		dir  string
		s    Settings
		want string
	}{
		{empty, Settings{Nodes: 1, Port: port - 1}, fmt.Sprintf("port %d on 127.0.0.1 is in use", port)},
		{empty, Settings{Nodes: 100}, "want 1 to 99"},
		{empty, Settings{BlockTime: -1}, "want 1 to"},
		{empty, Settings{Port: 70_000}, "want 1 to"},
		{empty, Settings{Spec: real}, "playground"},
		{empty, Settings{Spec: filepath.Join(empty, "none.json")}, "no such file"},
		{full, Settings{}, "is not empty"},
	} {
		_, err := Up(t.Context(), Options{Dir: test.dir, Program: "/nonexistent"}, test.s)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %s", test.s, err, test.want)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 1 { // the lock
		t.Errorf("a refusal has left %v, %v", entries, err)
	}
}

// TestNodeThatDoesNotStart: its last line is the error, and nothing runs afterwards.
func TestNodeThatDoesNotStart(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "lode")
	if err := os.WriteFile(program, []byte("#!"+sh+"\necho lode: the disk is on fire\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: filepath.Join(dir, "net"), Program: program}
	if _, err := Up(t.Context(), o, Settings{Nodes: 2, Rate: 1000}); err == nil || !strings.HasPrefix(err.Error(), "node 1 did not start: the disk is on fire (its log is ") {
		t.Errorf("%v", err)
	}
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if len(n.Running()) != 0 || n.Nodes[0].Process != nil {
		t.Error("something runs")
	}
	if err := n.Down(true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(o.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a network that was removed is there")
	}
}

// TestStrangersAreNotKilled: a process that has the number of a node, but was started
// at another time, is not it.
func TestStrangersAreNotKilled(t *testing.T) {
	p, exited, err := start(filepath.Join(t.TempDir(), "log"), os.Environ(), "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Fatal("a process that runs is not alive")
	}
	other := &Process{p.PID, p.Started + "0"}
	if other.alive() || other.kill() != nil || !p.alive() {
		t.Error("a stranger was taken for a process of the network")
	}
	if err := p.kill(); err != nil || p.alive() {
		t.Errorf("it was not killed: %v", err)
	}
	<-exited
	for _, none := range []*Process{nil, {}, {1, "0"}, {1 << 30, "0"}} {
		if none.alive() || none.kill() != nil {
			t.Errorf("%v is alive", none)
		}
	}
}

// TestOneCommandAtATime: another that would change the network waits, and gives up
// with the context.
func TestOneCommandAtATime(t *testing.T) {
	dir := t.TempDir()
	n := &Network{Options: Options{Dir: dir}, State: State{Version: stateVersion}}
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	first, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := second(Open(ctx, Options{Dir: dir})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := second(Look(Options{Dir: dir})); err != nil {
		t.Errorf("nobody may look meanwhile: %v", err)
	}
	first.Close()
	if err := second(Open(t.Context(), Options{Dir: dir})); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestReadSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.yaml")
	read := func(doc string) (Settings, error) {
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadSettings(path)
	}
	s, err := read("nodes: 4\nblock_time: 2\nlink: latency=50ms\nhashrates: [0, 7]\nspec: my.json\n")
	if err != nil || s.Nodes != 4 || s.BlockTime != 2 || s.Link != (link.Config{Latency: 50 * time.Millisecond}) || len(s.Rates) != 2 || s.Spec != filepath.Join(filepath.Dir(path), "my.json") {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := read(""); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	for _, doc := range []string{"nodes: many", "nodez: 4", "link: fast", "nodes: 1\nhashrates: [1, 2]", "nodes: 1000", "- x"} {
		if s, err := read(doc); err == nil || strings.Contains(err.Error(), "settingsDoc") {
			t.Errorf("%q: %+v, %v", doc, s, err)
		}
	}
}

// TestNodesHaveNoSettingsOfTheCommand: LODE_DATADIR of a user is not meant for them.
func TestNodesHaveNoSettingsOfTheCommand(t *testing.T) {
	got := nodeEnv([]string{"PATH=/bin", "LODE_NETWORK=regtest", "LODE_MINE=x", "HOME=/"})
	if fmt.Sprint(got) != "[PATH=/bin HOME=/]" {
		t.Error(got)
	}
}

// TestCopiesHoldNoSecretNonces: a nonce that is used twice gives away a key.
func TestCopiesHoldNoSecretNonces(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	for _, name := range []string{"local/wallets/main.age", "local/wallets/musig-nonces/1.nonce", "local/ledger/1.ldb", "node.log", "local/.cookie"} {
		path := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(to, path)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil || fmt.Sprint(got) != "[local/ledger/1.ldb local/wallets/main.age]" {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.Symlink("x", filepath.Join(from, "link")); err == nil {
		if err := copyTree(from, to); err == nil {
			t.Error("a symbolic link is copied")
		}
	}
}

// TestWithheld follows the strategy of a selfish miner, find by find: o is its own, s
// one of the others.
func TestWithheld(t *testing.T) {
	for finds, want := range map[string]string{
		"s":      "adopt",
		"ss":     "adopt adopt",
		"os":     "- show1",           // a tie
		"oso":    "- show1 show2",     // that it wins
		"oss":    "- show1 adopt",     // or loses
		"oos":    "- - show2",         // two ahead: all at once
		"ooos":   "- - - show1",       // three ahead: as much as the others have
		"oooss":  "- - - show1 show3", // and the rest when the lead is one
		"ooosos": "- - - show1 - show2",
		"oosos":  "- - show2 - show1", // the fork begins anew behind what was shown
	} {
		var w withheld
		var got []string
		for _, find := range finds {
			m := w.found
			if find == 's' {
				m = w.seen
			}
			switch move := m(); {
			case move.adopt:
				got = append(got, "adopt")
			case move.show > 0:
				got = append(got, fmt.Sprintf("show%d", move.show))
			default:
				got = append(got, "-")
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", finds, text, want)
		}
	}
}
