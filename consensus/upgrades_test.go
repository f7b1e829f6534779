package consensus_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// upgraded is regtest under another name, with these upgrades.
func upgraded(t testing.TB, upgrades ...consensus.Upgrade) (*consensus.Rules, error) {
	t.Helper()
	doc, err := os.ReadFile("specs/regtest.json")
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(upgrades)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(doc), `"regtest"`, `"private"`, 1)
	spec, err := consensus.ParseSpec([]byte(strings.Replace(text, `"upgrades": []`, `"upgrades": `+string(list), 1)))
	if err != nil {
		return nil, err
	}
	return &spec.Rules, nil
}

func mustUpgrade(t testing.TB, upgrades ...consensus.Upgrade) *consensus.Rules {
	t.Helper()
	r, err := upgraded(t, upgrades...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const lightWeight = 40_000

var (
	byHeight = consensus.Upgrade{Name: "light-blocks", Height: 115, MaxBlockWeight: lightWeight}
	bySignal = consensus.Upgrade{Name: "light-blocks", MaxBlockWeight: lightWeight, Signal: consensus.Signal{
		Bit: 3, Start: 10, Timeout: 100, Window: 10, Threshold: 8,
	}}
)

func TestUpgradesDoNotChangeTheID(t *testing.T) {
	if mustUpgrade(t, byHeight).ID() != baseChain().Rules.ID() {
		t.Error("nodes with an upgrade to come refuse those without")
	}
}

// heavy is a block on c of this weight: an annex is heavy and stripped off, an
// output is neither.
func heavy(c *testchain.Chain, extra int) *consensus.Block {
	tx := testchain.Unsigned([]consensus.OutPoint{c.Coinbase(1)}, testchain.Key(500).Pay(coin))
	annex := slices.Concat([]byte{0x50}, make([]byte, extra))
	testchain.Key(1).SignInput(tx, []consensus.Coin{c.Coins[c.Coinbase(1)]}, 0, consensus.SigHashDefault, annex)
	return c.Next(tx)
}

func ofWeight(c *testchain.Chain, weight int) *consensus.Block {
	return heavy(c, 10_000+weight-heavy(c, 10_000).Weight())
}

func ofStrippedSize(c *testchain.Chain, size int) *consensus.Block {
	build := func(n int) *consensus.Block {
		b := c.Next()
		b.Txs[0].Out = slices.Insert(b.Txs[0].Out, 1, consensus.TxOut{Script: dataOps(0, n)})
		b.Txs[0].Out, b.Txs[0].In[0].Witness = b.Txs[0].Out[:2], nil
		return b
	}
	return testchain.Seal(build(1000 + size - build(1000).StrippedSize()))
}

// An old node, which does not know of the upgrade, and a new one follow one
// chain: before its height both accept heavy blocks, from there on the new one
// refuses them, and the old one accepts what the new one does.
//
//	112      113      114        115        116
//	light -- heavy -- heavy ---- light ---- at the new limit
//	                        \--- heavy      (old nodes only)
func TestUpgradeAtAHeight(t *testing.T) {
	old := testchain.New(baseChain().Rules).Extend(112)
	young := testchain.New(mustUpgrade(t, byHeight)).Extend(112)
	both := func(b *consensus.Block) {
		t.Helper()
		if err := young.Add(b); err != nil {
			t.Fatalf("the new node refuses block %d: %v", young.State.Height+1, err)
		}
		if err := old.Add(b); err != nil {
			t.Fatalf("the old node refuses block %d: %v", old.State.Height+1, err)
		}
	}
	onlyOld := func(b *consensus.Block, kind consensus.ErrorKind) {
		t.Helper()
		if _, err := young.Check(b); !errors.Is(err, kind) {
			t.Errorf("the new node says %v to block %d, want %v", err, young.State.Height+1, kind)
		}
		if _, err := old.Check(b); err != nil {
			t.Errorf("the old node refuses block %d: %v", old.State.Height+1, err)
		}
	}
	both(ofStrippedSize(young, lightWeight/4+1))
	if got := young.Rules.Upgrades(&young.State); got[0].Status != consensus.UpgradeDefined || young.Rules.BlockWeightLimit(&young.State) != maxWeight {
		t.Errorf("before: %+v", got)
	}
	both(ofWeight(young, lightWeight+1))
	if got := young.Rules.Upgrades(&young.State); got[0].Status != consensus.UpgradeActive || young.Rules.BlockWeightLimit(&young.State) != lightWeight {
		t.Errorf("from the height on: %+v", got)
	}
	if got := young.Rules.BlockVersion(&young.State); got != 0x20000000 {
		t.Errorf("version %08x: nothing is to be signalled", got)
	}
	old2 := old.Clone()
	respend := func(c *testchain.Chain, weight int) *consensus.Block { // coinbase 1 is spent
		build := func(n int) *consensus.Block {
			tx := testchain.Unsigned([]consensus.OutPoint{c.Coinbase(2)}, testchain.Key(500).Pay(coin))
			testchain.Key(2).SignInput(tx, []consensus.Coin{c.Coins[c.Coinbase(2)]}, 0, consensus.SigHashDefault, slices.Concat([]byte{0x50}, make([]byte, n)))
			return c.Next(tx)
		}
		return build(10_000 + weight - build(10_000).Weight())
	}
	onlyOld(respend(young, lightWeight+1), consensus.ErrBlockWeight)
	onlyOld(ofStrippedSize(young, lightWeight/4+1), consensus.ErrBlockLength)
	if err := old2.Add(respend(old2, 10*lightWeight)); err != nil { // a branch of old nodes
		t.Error(err)
	}
	both(young.Next())
	both(respend(young, lightWeight))
	if old.State.Hash != young.State.Hash {
		t.Error("old and new nodes are on different chains")
	}
}

// signalChain mines windows of ten blocks, of which so many signal.
func signalChain(t *testing.T, r *consensus.Rules, signals ...int) *testchain.Chain {
	c := testchain.New(r).Extend(9) // genesis is the first of its window
	for _, n := range signals {
		for i := range 10 {
			b := c.Next()
			if i < n {
				b.Version = 0x20000008
			}
			if err := c.Add(testchain.Mine(b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func TestUpgradeBySignals(t *testing.T) {
	r := mustUpgrade(t, bySignal)
	for _, tc := range []struct {
		name    string
		signals []int
		status  consensus.UpgradeStatus
		version int32
	}{
		{"a window has begun", nil, consensus.UpgradeStarted, 0x20000008},
		{"one too few", []int{7}, consensus.UpgradeStarted, 0x20000008},
		{"enough", []int{8}, consensus.UpgradeLockedIn, 0x20000008},
		{"enough in two windows is too few", []int{7, 7, 7}, consensus.UpgradeStarted, 0x20000008},
		{"enough, and a window later", []int{0, 8, 0}, consensus.UpgradeActive, 0x20000000},
		{"and ever after", []int{10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, consensus.UpgradeActive, 0x20000000},
		{"never", []int{7, 7, 7, 7, 7, 7, 7, 7, 7}, consensus.UpgradeFailed, 0x20000000},
		{"in the last window", []int{7, 7, 7, 7, 7, 7, 7, 7, 8}, consensus.UpgradeLockedIn, 0x20000008},
		{"too late", []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 10}, consensus.UpgradeFailed, 0x20000000},
	} {
		c := signalChain(t, r, tc.signals...)
		got := r.Upgrades(&c.State)
		if len(got) != 1 || got[0].Status != tc.status || got[0].Name != "light-blocks" || got[0].Count != 0 {
			t.Errorf("%s: %+v, want %s", tc.name, got, tc.status)
		}
		if v := r.BlockVersion(&c.State); v != tc.version {
			t.Errorf("%s: version %08x, want %08x", tc.name, v, tc.version)
		}
		limit := maxWeight
		if tc.status == consensus.UpgradeActive {
			limit = lightWeight
		}
		if got := r.BlockWeightLimit(&c.State); got != limit {
			t.Errorf("%s: weight limit %d, want %d", tc.name, got, limit)
		}
	}
}

// The lower limit holds from the first block of the window after lock-in, and
// the state is part of the chain: a branch without signals has none of it.
//
//	... 19 -- 20 (8 of 10 signal) .. 29 -- 30 (locked in) .. 39 -- 40 (active)
func TestUpgradeBySignalsOnABranch(t *testing.T) {
	r := mustUpgrade(t, bySignal)
	lockedIn := signalChain(t, r, 0, 8)
	for lockedIn.State.Height < 38 {
		lockedIn.Extend(1)
	}
	if _, err := lockedIn.Check(ofStrippedSize(lockedIn, lightWeight)); err != nil { // block 39
		t.Errorf("the last block before: %v", err)
	}
	active := lockedIn.Clone().Extend(1)
	if _, err := active.Check(ofStrippedSize(active, lightWeight)); !errors.Is(err, consensus.ErrBlockLength) { // block 40
		t.Errorf("the first block after: %v", err)
	}
	if _, err := active.Check(active.Next()); err != nil {
		t.Error(err)
	}
	branch := signalChain(t, r, 0, 7, 0)
	if branch.State.Height != active.State.Height {
		t.Fatalf("height %d, want %d", branch.State.Height, active.State.Height)
	}
	if _, err := branch.Check(ofStrippedSize(branch, lightWeight)); err != nil {
		t.Errorf("on the branch: %v", err)
	}
}

// Signals count in versions that begin with 001 alone, and only while they are
// asked for.
func TestWhatSignals(t *testing.T) {
	r := mustUpgrade(t, bySignal)
	for version, want := range map[int32]uint32{
		0x20000008: 1, 0x3fffffff: 1, 0x20000000: 0, 0x2000fff7: 0, 0x00000008: 0, 0x60000008: 0, 0x40000008: 0,
	} {
		c := signalChain(t, r)
		b := c.Next()
		b.Version = version
		if err := c.Add(testchain.Mine(b)); err != nil {
			t.Fatal(err)
		}
		if got := r.Upgrades(&c.State)[0].Count; got != want {
			t.Errorf("version %08x: %d signals, want %d", version, got, want)
		}
	}
	c := testchain.New(r)
	b := c.Next()
	b.Version = 0x20000008
	if err := c.Add(testchain.Mine(b)); err != nil || r.Upgrades(&c.State)[0].Count != 0 {
		t.Errorf("a signal before the start counts (%v)", err)
	}
}

func TestImpossibleUpgrades(t *testing.T) {
	change := func(u consensus.Upgrade, change func(*consensus.Upgrade)) consensus.Upgrade {
		change(&u)
		return u
	}
	for _, tc := range []struct {
		upgrade consensus.Upgrade
		field   string
	}{
		{change(byHeight, func(u *consensus.Upgrade) { u.Name = "" }), "defaults.upgrades[0].name"},
		{change(byHeight, func(u *consensus.Upgrade) { u.Name = "Light" }), "defaults.upgrades[0].name"},
		{change(byHeight, func(u *consensus.Upgrade) { u.MaxBlockWeight = maxWeight + 1 }), "defaults.upgrades[0].max_block_weight"},
		{change(byHeight, func(u *consensus.Upgrade) { u.MaxBlockWeight = 0 }), "defaults.upgrades[0].max_block_weight"},
		{change(byHeight, func(u *consensus.Upgrade) { u.Signal.Bit = 1 }), "defaults.upgrades[0].signal"},
		{change(byHeight, func(u *consensus.Upgrade) { u.Height = 0 }), "defaults.upgrades[0].signal.window"},
		{change(bySignal, func(u *consensus.Upgrade) { u.Signal.Bit = 29 }), "defaults.upgrades[0].signal.bit"},
		{change(bySignal, func(u *consensus.Upgrade) { u.Signal.Window = 65536 }), "defaults.upgrades[0].signal.window"},
		{change(bySignal, func(u *consensus.Upgrade) { u.Signal.Threshold = 0 }), "defaults.upgrades[0].signal.threshold"},
		{change(bySignal, func(u *consensus.Upgrade) { u.Signal.Threshold = 11 }), "defaults.upgrades[0].signal.threshold"},
		{change(bySignal, func(u *consensus.Upgrade) { u.Signal.Timeout = u.Signal.Start }), "defaults.upgrades[0].signal.timeout"},
	} {
		if _, err := upgraded(t, tc.upgrade); !errors.Is(err, consensus.ErrSpec) || !strings.Contains(err.Error(), `"`+tc.field+`"`) {
			t.Errorf("%+v: %v, want %s", tc.upgrade, err, tc.field)
		}
	}
	if _, err := upgraded(t, bySignal, bySignal); err == nil || !strings.Contains(err.Error(), "defaults.upgrades[1].name") {
		t.Errorf("one name twice: %v", err)
	}
	second := change(bySignal, func(u *consensus.Upgrade) { u.Name = "more" })
	if _, err := upgraded(t, bySignal, second); err == nil || !strings.Contains(err.Error(), "defaults.upgrades[1].signal.bit") {
		t.Errorf("one bit twice: %v", err)
	}
	if _, err := upgraded(t, slices.Repeat([]consensus.Upgrade{byHeight}, 9)...); err == nil || !strings.Contains(err.Error(), "at most 8") {
		t.Errorf("nine upgrades: %v", err)
	}
	second.Signal.Bit = 4
	if _, err := upgraded(t, bySignal, second, byHeightNamed("third")); err != nil {
		t.Errorf("three good ones: %v", err)
	}
}

func byHeightNamed(name string) consensus.Upgrade {
	u := byHeight
	u.Name = name
	return u
}

func TestUpgradeStatusNames(t *testing.T) {
	for status, want := range []string{"defined", "started", "locked_in", "active", "failed", "unknown"} {
		if got := consensus.UpgradeStatus(status).String(); got != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
}
