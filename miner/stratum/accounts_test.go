package stratum

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lode/chain"
	"lode/consensus"
)

// activeChain is a ledger of which only is known which blocks are active.
type activeChain struct {
	height uint32
	active map[consensus.Hash]bool
}

func (a *activeChain) Tip() consensus.State {
	var s consensus.State
	s.Height = a.height
	return s
}

func (a *activeChain) Header(h consensus.Hash) (chain.HeaderInfo, bool) {
	active, ok := a.active[h]
	return chain.HeaderInfo{Active: active}, ok
}

func (*activeChain) AddBlock(*consensus.Block) error { return nil }

// open gives the accounts in a directory, and what is logged meanwhile.
func open(t *testing.T, dir string, ledger Ledger) (*accounts, string) {
	t.Helper()
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := openAccounts(&Config{Spec: spec, Ledger: ledger, Dir: dir, Window: 2, Dust: dust, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return a, log.String()
}

func address(n byte) string { return consensus.Address("bcrt", [32]byte{n}) }

// TestCarryFollowsTheChain counts what a block changes as long as the block is in
// the chain, over a reorganization and back, over restarts, and for good when it is
// deep.
func TestCarryFollowsTheChain(t *testing.T) {
	dir, ledger := t.TempDir(), &activeChain{height: 10, active: make(map[consensus.Hash]bool)}
	rich, poor := address(1), address(2)
	hash := consensus.Hash{7}
	a, _ := open(t, dir, ledger)
	a.add(rich, scoreOne)
	a.add(poor, scoreOne/1_000_000)
	d := a.distribute(1e8)
	if len(d.Pay) != 1 || d.Pay[0] != (payment{rich, 1e8}) || d.Due[poor] != 100 || d.Due[rich] != -100 {
		t.Fatalf("%+v", d)
	}
	expect := func(when string, want consensus.Amount) {
		t.Helper()
		if carry := a.carry(); carry[poor] != want || carry[rich] != -want {
			t.Fatalf("%s: %v", when, carry)
		}
	}
	restart := func() {
		t.Helper()
		var log string
		if a, log = open(t, dir, ledger); log != "" {
			t.Fatal(log)
		}
	}
	expect("before the block", 0)
	if !a.record(foundBlock{hash, 11, d.Due}) || a.record(foundBlock{hash, 11, d.Due}) {
		t.Error("a block is recorded twice, or not at all")
	}
	expect("the ledger does not have it", 0)
	ledger.active[hash] = true
	ledger.height = 11
	expect("in the chain", 100)
	restart() // as after a kill: nobody has saved anything since
	expect("in the chain after a restart", 100)
	ledger.active[hash] = false
	expect("reorganized away", 0)
	restart()
	expect("reorganized away after a restart", 0)
	ledger.active[hash] = true
	ledger.height = 11 + settledAfter
	expect("back and deep", 100)
	if len(a.blocks) != 0 || a.found != 1 {
		t.Errorf("%d blocks are not settled", len(a.blocks))
	}
	a.add(rich, scoreOne) // the window was not saved
	a.add(poor, scoreOne/1_000_000)
	if err := a.save(); err != nil {
		t.Fatal(err)
	}
	restart()
	ledger.active[hash] = false // deeper than is looked at
	expect("settled", 100)
	if a.payees.window.total != scoreOne+scoreOne/1_000_000 || len(a.payees.window.scores) != 2 {
		t.Errorf("the window has %d", a.payees.window.total)
	}

	// The ledger refuses a block.
	other := consensus.Hash{8}
	ledger.active[other] = true
	a.record(foundBlock{other, 200, map[string]consensus.Amount{rich: -1, poor: 1}})
	expect("another block", 101)
	a.forget(other)
	expect("refused", 100)
	// One that never got into the chain is forgotten when it is deep.
	ledger.active[other] = false
	a.record(foundBlock{other, 200, map[string]consensus.Amount{rich: -1, poor: 1}})
	ledger.height = 400
	expect("never there", 100)
	if len(a.blocks) != 0 || a.found != 1 {
		t.Errorf("%d blocks, %d found", len(a.blocks), a.found)
	}
}

// TestDamagedFiles begins anew beside a file that is kept, and says so in a line.
func TestDamagedFiles(t *testing.T) {
	good := `{"version":1,"carry":{"` + address(1) + `":5,"` + address(2) + `":-5},"blocks":[],"found":3}`
	ledger := &activeChain{}
	for _, c := range []struct {
		name, file, text string
		damaged          bool
	}{
		{"as it should be", accountsFile, good, false},
		{"empty", accountsFile, "", true},
		{"cut", accountsFile, good[:40], true},
		{"a sum that is not zero", accountsFile, strings.Replace(good, ":5", ":6", 1), true},
		{"another network", accountsFile, strings.Replace(good, address(1), consensus.Address("lode", [32]byte{1}), 1), true},
		{"another case", accountsFile, strings.Replace(good, address(1), strings.ToUpper(address(1)), 1), true},
		{"too much", accountsFile, strings.NewReplacer(":5", ":2100000000000001", ":-5", ":-2100000000000001").Replace(good), true},
		{"the least number twice", accountsFile, strings.NewReplacer(":5", ":-9223372036854775808", ":-5", ":-9223372036854775808").Replace(good), true},
		{"another version", accountsFile, strings.Replace(good, `"version":1`, `"version":2`, 1), true},
		{"a block's sum", accountsFile, strings.Replace(good, `[]`, `[{"hash":"`+consensus.Hash{}.String()+`","height":1,"due":{"`+address(1)+`":1}}]`, 1), true},
		{"a window", windowFile, `{"version":1,"slices":[{"` + address(1) + `":5}]}`, false},
		{"a window without shares", windowFile, `{"version":1,"slices":[{"` + address(1) + `":0}]}`, true},
		{"a window that overflows", windowFile, `{"version":1,"slices":[{"` + address(1) + `":2305843009213693952},{"` + address(1) + `":1}]}`, true},
		{"a window of somebody", windowFile, `{"version":1,"slices":[{"me":5}]}`, true},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, c.file)
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, log := open(t, dir, ledger)
		kept, err := filepath.Glob(file + ".damaged-*")
		if err != nil {
			t.Fatal(err)
		}
		if got := len(kept) == 1; got != c.damaged || strings.Count(log, "\n") != len(kept) || c.damaged && !strings.Contains(log, "is damaged") {
			t.Errorf("%s: kept %v, log %s", c.name, kept, log)
			continue
		}
		if c.damaged {
			if b, err := os.ReadFile(kept[0]); err != nil || string(b) != c.text {
				t.Errorf("%s: it is not kept as it was: %v", c.name, err)
			}
			if len(a.settled) != 0 || a.payees.window.total != 0 || a.found != 0 {
				t.Errorf("%s: something of it counts", c.name)
			}
		}
		if err := a.save(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if again, log := open(t, dir, ledger); log != "" || !maps.Equal(again.settled, a.settled) || again.payees.window.total != a.payees.window.total {
			t.Errorf("%s: it cannot be read again: %s", c.name, log)
		}
	}
}
