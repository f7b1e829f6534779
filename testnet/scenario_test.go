package testnet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/network"
)

// world is a network of real processes, for one scenario.
type world struct {
	*network.Network
	t *testing.T
}

// scenario makes a network, unless nobody asked for scenarios: they take minutes
// (make testnet-scenarios).
func scenario(t *testing.T, s network.Settings) *world {
	t.Helper()
	if os.Getenv("LODE_TEST_SCENARIOS") == "" {
		t.Skip("takes a while: LODE_TEST_SCENARIOS=1, or make testnet-scenarios")
	}
	t.Parallel()
	o := network.Options{Dir: filepath.Join(t.TempDir(), "net"), Program: program, Say: t.Logf}
	s.Name = "net"
	n, err := network.Up(t.Context(), o, s)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{n, t}
	t.Cleanup(func() {
		if t.Failed() {
			for _, node := range n.Nodes {
				b, _ := os.ReadFile(n.LogFile(node))
				t.Logf("end of the log of node %d:\n%s", node.Index, b[max(0, len(b)-3000):])
			}
		}
		if err := n.Down(true); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) height(i int) (h int) {
	w.t.Helper()
	w.must(w.Call(w.t.Context(), w.Nodes[i-1], &h, "getblockcount"))
	return h
}

// grows waits until the chain of a node has so many more blocks, mined at their pace.
func (w *world) grows(i, blocks int) {
	w.t.Helper()
	want := w.height(i) + blocks
	waitFor(w.t, fmt.Sprintf("height %d of node %d", want, i), func() bool { return w.height(i) >= want })
}

// agree checks that all nodes come to one tip and one UTXO set.
func (w *world) agree() []network.NodeStatus {
	w.t.Helper()
	w.must(w.Pause(w.t.Context(), true))
	w.must(w.Agree(w.t.Context()))
	list := w.Status(w.t.Context())
	for _, s := range list {
		if s.UTXOHash != list[0].UTXOHash || s.UTXOHash == (consensus.Hash{}) || s.State != "paused" {
			w.t.Errorf("node %d is %s with UTXO hash %s, node 1 has %s", s.Index, s.State, s.UTXOHash, list[0].UTXOHash)
		}
	}
	w.must(w.Pause(w.t.Context(), false))
	return list
}

func TestScenarioPartitionAndHeal(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 4, BlockTime: 1})
	ctx := t.Context()
	w.must(w.Partition(ctx, [][]int{{1, 2}, {3, 4}}))
	first, err := w.Send(ctx, 1, "2", "0.5")
	w.must(err)
	second, err := w.Send(ctx, 3, "4", "0.5")
	w.must(err)
	w.grows(1, 3)
	w.grows(3, 3)
	list := w.Status(ctx)
	if list[0].Tip == list[2].Tip || list[0].Peers != 1 || list[3].Peers != 1 {
		t.Errorf("the parts are not apart: %+v", list)
	}
	// Whoever tries to connect all the same is refused.
	w.must(w.Call(ctx, w.Nodes[0], nil, "addnode", w.Nodes[2].URL(), "onetry"))
	w.must(w.Heal(ctx))
	w.agree()
	for _, id := range []consensus.Hash{first, second} {
		w.must(w.Confirmed(ctx, id, patience)) // of the part that has lost, too
	}
}

func TestScenarioRollingRestartUnderLoad(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 2})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	other, err := network.Look(w.Options)
	w.must(err)
	var wg sync.WaitGroup
	var last network.Load
	wg.Go(func() {
		if err := other.Load(ctx, 10, 0, func(l network.Load) { last = l }); err != nil {
			t.Error(err)
		}
	})
	for i := 1; i <= 3; i++ {
		w.grows(i%3+1, 2)
		w.must(w.Stop(i))
		w.grows(i%3+1, 1)
		w.must(w.Start(t.Context(), i))
	}
	stop()
	wg.Wait()
	t.Logf("%+v", last)
	if last.Sent < 10 || last.Err != nil && !errors.Is(last.Err, network.ErrStopped) && !strings.Contains(last.Err.Error(), "no node answers") &&
		!strings.Contains(last.Err.Error(), "talking to") && !strings.Contains(last.Err.Error(), ".cookie") {
		t.Errorf("the payments: %+v", last)
	}
	w.agree()
}

func TestScenarioKillOfAnyNode(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	for i := 1; i <= 3; i++ {
		before := w.height(i)
		w.must(w.Kill(i))
		w.grows(i%3+1, 2)
		w.must(w.Start(t.Context(), i))
		if now := w.height(i); now < before-1 { // a block that it had just heard of may be gone
			t.Errorf("node %d had height %d before the kill, and has %d", i, before, now)
		}
	}
	w.agree()
}

func TestScenarioWipedNodeRebuilds(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	balance, err := w.Balance(t.Context(), 2)
	w.must(err)
	w.must(w.Pause(t.Context(), true))
	w.must(w.Wipe(t.Context(), 2))
	w.agree()
	w.must(w.Pause(t.Context(), true))
	waitFor(t, "the wallet to have read the chain again", func() bool {
		now, err := w.Balance(t.Context(), 2)
		return err == nil && now >= balance
	})
}

// TestScenarioClockSkew: a node whose clock is a little off takes part; one whose clock
// is far behind takes the others' blocks for ones of the future, and comes back.
func TestScenarioClockSkew(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 2})
	ctx := t.Context()
	w.must(w.SetClock(ctx, 2, 5))
	w.must(w.SetClock(ctx, 3, -5))
	w.grows(1, 4)
	w.agree()
	w.must(w.SetClock(ctx, 3, -600))
	w.must(w.Call(ctx, w.Nodes[2], nil, "setgenerate", false))
	behind := w.height(3)
	w.grows(1, 4)
	if now := w.height(3); now > behind+1 { // one may have been on its way
		t.Errorf("with a clock of ten minutes ago its height went from %d to %d", behind, now)
	}
	w.must(w.SetClock(ctx, 3, 0))
	w.agree()
	var bans []json.RawMessage
	if w.must(w.Call(ctx, w.Nodes[2], &bans, "listbanned")); len(bans) > 0 {
		t.Errorf("a wrong clock led to bans: %s", bans)
	}
}

func TestScenarioDoubleSpend(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 4, BlockTime: 5})
	for _, confirmations := range []int{0, 1, 6} {
		d, err := w.DoubleSpend(t.Context(), "1", confirmations)
		w.must(err)
		if d.Forked != confirmations && (confirmations > 0 || d.Forked > 0) {
			t.Errorf("%d confirmations: getchaintips shows a branch of %d blocks", confirmations, d.Forked)
		}
		var tx struct{ Confirmations int }
		w.must(w.CallWallet(t.Context(), w.Nodes[d.Merchant-1], &tx, "gettransaction", d.Payment))
		if tx.Confirmations >= 0 {
			t.Errorf("the merchant's wallet still hopes: %+v", tx)
		}
	}
	w.agree()
}

func TestScenarioMajority(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	d, err := w.Attack51(t.Context(), "1", 2)
	w.must(err)
	if d.Forked < 2 {
		t.Errorf("getchaintips shows a branch of %d blocks", d.Forked)
	}
	w.agree()
}

func TestScenarioSelfishMiner(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	r, err := w.Selfish(t.Context(), 0.45, 15)
	w.must(err)
	t.Logf("%+v", r)
	if r.Blocks < 15 || r.Own > r.Blocks || r.Own+r.Lost == 0 {
		t.Errorf("%+v", r)
	}
	w.agree()
}

func TestScenarioCensorship(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 5, BlockTime: 1})
	c, err := w.Censor(t.Context(), "1", 0.4)
	w.must(err)
	if len(c.Censors) != 2 || c.Miner == 0 || slices.Contains(c.Censors, c.Miner) {
		t.Errorf("%+v", c)
	}
	w.agree()
}

// TestScenarioUpgrade: a soft fork becomes active by the signals of two nodes of three,
// and the old one, which knows nothing of it, stays on the chain.
func TestScenarioUpgrade(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	w.must(w.Pause(t.Context(), true))
	own, err := w.Spec()
	w.must(err)
	spec, err := consensus.ParseSpec(own.JSON())
	w.must(err)
	start := uint32(w.height(1)/10+1) * 10
	spec.Defaults.Upgrades = append(spec.Defaults.Upgrades, consensus.Upgrade{
		Name: "smaller-blocks", MaxBlockWeight: 1_000_000,
		Signal: consensus.Signal{Bit: 3, Start: start, Timeout: start + 200, Window: 10, Threshold: 4},
	})
	file := filepath.Join(t.TempDir(), "new.json")
	w.must(os.WriteFile(file, spec.JSON(), 0o600))
	for i := 1; i <= 2; i++ {
		w.must(w.Stop(i))
		w.must(w.SetSpec(i, file))
		w.must(w.Start(t.Context(), i))
	}
	w.must(w.Pause(t.Context(), false))
	waitFor(t, "the upgrade to be active", func() bool {
		var info struct {
			Deployments map[string]struct{ Active bool }
		}
		w.must(w.Call(t.Context(), w.Nodes[0], &info, "getdeploymentinfo"))
		return info.Deployments["smaller-blocks"].Active
	})
	w.grows(3, 3)
	w.agree()
}

// TestScenarioRestore: every tip, mempool and wallet is as it was.
func TestScenarioRestore(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	ctx := t.Context()
	w.must(w.Pause(ctx, true))
	w.must(w.Partition(ctx, [][]int{{1}, {2, 3}}))
	_, err := w.Mine(ctx, 1, 2)
	w.must(err)
	txid, err := w.Send(ctx, 2, "3", "0.25")
	w.must(err)
	waitFor(t, "the payment in the mempool of node 3", func() bool { return w.Status(ctx)[2].Mempool == 1 })
	see := func() string {
		var b strings.Builder
		for i, s := range w.Status(ctx) {
			var pool []consensus.Hash
			w.must(w.Call(ctx, w.Nodes[i], &pool, "getrawmempool"))
			var balances json.RawMessage
			w.must(w.CallWallet(ctx, w.Nodes[i], &balances, "getbalances"))
			fmt.Fprintln(&b, s.Height, s.Tip, s.UTXOHash, s.State, s.Part, s.Peers, pool, string(balances))
		}
		return b.String()
	}
	before := see()
	w.must(w.Snapshot(ctx, "here"))
	waitFor(t, "the network to be as before", func() bool { return see() == before })
	w.must(w.Heal(ctx))
	_, err = w.Mine(ctx, 2, 3)
	w.must(err)
	w.must(w.Confirmed(ctx, txid, patience))
	_, err = w.Add(ctx, 0)
	w.must(err)
	if err := w.Restore("here"); !errors.Is(err, network.ErrRunning) {
		t.Errorf("a network that runs was restored: %v", err)
	}
	w.must(w.Down(false))
	w.must(w.Restore("here"))
	w.must(w.Start(ctx, 1, 2, 3))
	waitFor(t, "what the snapshot had", func() bool { return see() == before })
	if len(w.Nodes) != 3 {
		t.Errorf("there are %d nodes", len(w.Nodes))
	}
}

// TestScenarioThirtyNodes: they start, mine, and confirm a payment, on two cores.
func TestScenarioThirtyNodes(t *testing.T) {
	began := time.Now()
	w := scenario(t, network.Settings{Nodes: 30, BlockTime: 5})
	t.Logf("30 nodes run after %.0f s", time.Since(began).Seconds())
	p, err := w.Demonstrate(t.Context(), "1.5")
	w.must(err)
	t.Logf("a payment is confirmed on all after %.1f s more", p.Took.Seconds())
	w.grows(30, 2)
	w.agree()
}

// TestScenarioDocs: the session that docs/testnet.md prints is what is printed.
func TestScenarioDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/testnet.md")
	if err != nil {
		t.Fatal(err)
	}
	const first = "    $ lode testnet double-spend --confirmations 6\n"
	_, want, found := strings.Cut(string(doc), first)
	want, _, _ = strings.Cut(want, "\n\n")
	want = strings.ReplaceAll(want+"\n", "\n    ", "\n")
	if !found || want == "" {
		t.Fatal("docs/testnet.md has no such session")
	}
	w := scenario(t, network.Settings{Nodes: 4, BlockTime: 5})
	var got strings.Builder
	w.Say = func(format string, args ...any) { fmt.Fprintf(&got, format+"\n", args...) }
	_, err = w.DoubleSpend(t.Context(), "1", 6)
	w.must(err)
	ids := regexp.MustCompile(`[0-9a-f]{64}`)
	if text := ids.ReplaceAllString(got.String(), "TXID"); text != strings.TrimPrefix(want, "    ") {
		t.Errorf("it prints\n%s\nand the documentation has\n%s", text, want)
	}
}
