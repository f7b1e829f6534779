package chain_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// history is blocks with two branches that take turns at being the best.
func history() []*consensus.Block {
	a := chaingen.New(&generated.Rules, chaingen.Params{Seed: 5, Txs: 3, Inputs: 1, Outputs: 2, Fee: 1000})
	var blocks []*consensus.Block
	blocks = append(blocks, a.Extend(10)...)
	for round := range 8 {
		b := a.Fork(a.Tip().Height-2, uint64(round))
		blocks = append(blocks, b.Extend(4)...)
		a = b
	}
	return blocks
}

// copyLedger copies a directory in the order in which a node writes backwards:
// the database first and then the files, of which it knows less than there is.
func copyLedger(t *testing.T, from, to string) {
	t.Helper()
	for _, part := range []string{"ledger", "blocks"} {
		err := filepath.WalkDir(filepath.Join(from, part), func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			name = filepath.Join(to, name)
			if e.IsDir() {
				return os.MkdirAll(name, 0o700)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(name, data, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopyOfLiveLedger copies a ledger while blocks are added to it. Each copy
// opens by itself, and has the coins that belong to its tip.
func TestCopyOfLiveLedger(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	c := openGenerated(t, live, false)
	added := make(chan error, 1)
	const least, most = 3, 12
	begun := make(chan struct{}, most) // copies
	go func() {
		blocks := history()
		for i, b := range blocks {
			if i%(len(blocks)/least) == 1 { // however slow the copies are
				<-begun
			}
			if err := c.AddBlock(b); err != nil {
				added <- err
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
		added <- nil
	}()
	copies, done := 0, false
	for ; !done && copies < most; copies++ {
		select {
		case err := <-added:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		to := filepath.Join(dir, fmt.Sprint("copy", copies))
		begun <- struct{}{}
		copyLedger(t, live, to)
		checkRecovered(t, to, filepath.Join(dir, fmt.Sprint("replay", copies)), nil)
	}
	if !done {
		if err := <-added; err != nil {
			t.Fatal(err)
		}
	}
	closeChain(t, c)
	if copies < least {
		t.Errorf("only %d copies", copies)
	}
}

// checkRecovered opens a ledger after a crash: acknowledged blocks are there, and
// the coins are those of the tip.
func checkRecovered(t *testing.T, dir, replayDir string, acknowledged []*consensus.Block) {
	t.Helper()
	c := openGenerated(t, dir, false)
	defer closeChain(t, c)
	for i, b := range acknowledged {
		if info, ok := c.Header(b.Header.Hash()); !ok || !info.HaveBlock {
			t.Errorf("acknowledged block %d of %d is gone", i, len(acknowledged))
		}
	}
	if a, b := setHash(t, c), replayHash(t, replayDir, c); a != b {
		t.Errorf("UTXO set %s at height %d, and %s after a replay", a, c.Tip().Height, b)
	}
}

// crashDir, in the environment, makes the test below the process to kill.
const crashDir = "LODE_TEST_CRASH_DIR"

// TestKill runs this test again in a process of its own, kills it at some moment
// while it adds blocks, and looks at what it has left; again and again in the
// same directory.
func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		c := openGenerated(t, dir, false)
		for i, b := range history() {
			if err := c.AddBlock(b); err != nil {
				t.Fatal(err)
			}
			fmt.Println("acknowledged", i)
		}
		return
	}
	t.Parallel()
	const kills = 8
	dir, blocks := t.TempDir(), history()
	for kill := range kills {
		until := (kill + 1) * (len(blocks) - 1) / kills
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), crashDir+"="+filepath.Join(dir, "ledger"))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &last); n == 1 && err == nil && last >= until {
				time.Sleep(time.Duration(kill*137) * time.Microsecond)
				break
			}
		}
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		err = cmd.Wait()
		if last < until {
			t.Fatalf("the process ended by itself at block %d: %v", last, err)
		}
		checkRecovered(t, filepath.Join(dir, "ledger"), filepath.Join(dir, fmt.Sprint("replay", kill)), blocks[:last+1])
	}
}

// TestCutJournal cuts LevelDB's journal at every length at which a killed
// process may have left it: nothing is built anew for it, no block is lost, and
// the coins are those of the tip.
func TestCutJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	c := openGenerated(t, live, false)
	g := chaingen.New(&generated.Rules, chaingen.Params{Seed: 1, Txs: 2, Outputs: 2, Fee: 1000})
	// One batch of more than a block of the journal.
	for _, b := range append(g.Extend(3), wide(g)) {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
		setHash(t, c) // writes everything
	}
	crashed := filepath.Join(dir, "crashed")
	copyLedger(t, live, crashed)
	closeChain(t, c)
	journals, err := filepath.Glob(filepath.Join(crashed, "ledger", "*.log"))
	if err != nil || len(journals) != 1 {
		t.Fatal(journals, err)
	}
	data, err := os.ReadFile(journals[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(data) < 40<<10 {
		t.Fatalf("the journal has %d bytes: one block of it only", len(data))
	}
	replayed := make(map[consensus.Hash]consensus.Hash)
	for cut := len(data); cut > 0; cut -= 1 + len(data)/40 {
		to := filepath.Join(dir, fmt.Sprint("cut", cut))
		copyLedger(t, crashed, to)
		if err := os.Truncate(filepath.Join(to, "ledger", filepath.Base(journals[0])), int64(cut)); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		c, err := chain.Open(context.Background(), chain.Config{Dir: to, Spec: generated, Log: textLog(&log)})
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(data), err)
		}
		tip := c.Tip()
		if strings.Contains(log.String(), "anew") {
			t.Errorf("cut at %d of %d: %s", cut, len(data), log.String())
		}
		if replayed[tip.Hash] == (consensus.Hash{}) {
			replayed[tip.Hash] = replayHash(t, to+"-replay", c)
		}
		if got := setHash(t, c); got != replayed[tip.Hash] {
			t.Errorf("cut at %d: UTXO set %s at height %d, want %s", cut, got, tip.Height, replayed[tip.Hash])
		}
		closeChain(t, c)
	}
	if len(replayed) != 1 {
		t.Errorf("the cuts lead to %d tips, although all blocks are in their files", len(replayed))
	}
}

// wide is a block with one transaction of many outputs.
func wide(g *chaingen.Chain) *consensus.Block {
	g.Params.Txs, g.Params.Outputs = 1, 1000
	return g.Extend(1)[0]
}

// TestKilledWhileMakingDatabase leaves what LevelDB has written of a new database
// when it is killed: the next start makes another, and calls nothing damaged.
func TestKilledWhileMakingDatabase(t *testing.T) {
	t.Parallel()
	for _, left := range [][]string{{"MANIFEST-000000"}, {"MANIFEST-000000", "CURRENT.0"}} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "ledger"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range left {
			if err := os.WriteFile(filepath.Join(dir, "ledger", name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var log strings.Builder
		c, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: generated, Log: textLog(&log)})
		if err != nil {
			t.Fatalf("%v: %v", left, err)
		}
		closeChain(t, c)
		if strings.Contains(log.String(), "anew") {
			t.Errorf("%v: %s", left, log.String())
		}
	}
}
