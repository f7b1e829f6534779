package chain

import (
	"strings"
	"testing"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// TestUnknownRulesAreToldOf signals for a change of the rules that no upgrade of the
// network has: in one window too few blocks do, in the next enough; the change is active
// one window later. It is so after a restart too, and not on a branch without the signals.
func TestUnknownRulesAreToldOf(t *testing.T) {
	d := newFaultDisk(1)
	var log strings.Builder
	c := onFaultDisk(t, d, &log)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2})
	mine := func(blocks, signals int, bit uint) {
		for i := range blocks {
			b := g.Empty(g.Tip())
			if i < signals {
				b.Version |= 1 << bit
				chaingen.Mine(b)
			}
			if err := g.Add(b); err != nil {
				t.Fatal(err)
			}
		}
		addBlocks(t, c, g.Blocks[c.Tip().Height+1:])
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if got := c.Warnings(); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	mine(signalWindow-1, signalWindow, 3) // with genesis the first window, in which nothing counts
	mine(signalWindow, signalThreshold-1, 27)
	mine(signalWindow, 0, 0)
	expect("one signal too few")
	mine(signalWindow, signalThreshold, 27)
	expect("locked in")
	if !strings.Contains(log.String(), "unknown new rules will be activated") || !strings.Contains(log.String(), "bit=27") {
		t.Errorf("the log says %q", log.String())
	}
	mine(signalWindow-1, 0, 0)
	expect("one block before the window ends")
	fork := g.Fork(g.Tip().Height-2*signalWindow+1, 5) // from where nothing was decided
	mine(1, 0, 0)
	expect("active", "Unknown new rules activated (versionbit 27)")
	kill(d, c)
	c = onFaultDisk(t, d, nil)
	expect("after a restart", "Unknown new rules activated (versionbit 27)")
	fork.Extend(2*signalWindow + 1)
	addBlocks(t, c, fork.Blocks[g.Tip().Height-2*signalWindow+1:])
	if c.Tip().Hash != fork.Tip().Hash {
		t.Fatal("the branch is not active")
	}
	expect("on another branch")
}

// TestInvalidChainAheadIsToldOf has peers build on a block that is invalid here: from
// more than six blocks on this node seems to be the one that is wrong. What the operator
// has invalidated tells nothing.
func TestInvalidChainAheadIsToldOf(t *testing.T) {
	c := onFaultDisk(t, newFaultDisk(1), nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
	addBlocks(t, c, g.Extend(12))
	if err := c.InvalidateBlock(g.Blocks[4].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	if got := c.Warnings(); len(got) > 0 {
		t.Errorf("of what the operator has invalidated: %q", got)
	}
	if err := c.ReconsiderBlock(g.Blocks[4].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	bad, ok := g.Flawed(chaingen.FlawSignature)
	if !ok {
		t.Fatal("no flawed block")
	}
	headers, state := []consensus.Header{bad.Header}, testSpec.Rules.NextState(g.Tip(), &bad.Header)
	for range farAhead {
		b := g.Empty(state)
		headers, state = append(headers, b.Header), testSpec.Rules.NextState(state, &b.Header)
	}
	if err := c.AddHeaders(headers); err != nil {
		t.Fatal(err)
	}
	if got := c.Warnings(); len(got) > 0 {
		t.Errorf("of headers that nobody has found invalid: %q", got)
	}
	if err := c.AddBlock(bad); err == nil {
		t.Fatal("a flawed block was taken")
	}
	if got := c.Warnings(); len(got) != 1 || !strings.Contains(got[0], "fully agree with our peers") {
		t.Errorf("of an invalid chain far ahead: %q", got)
	}
	addBlocks(t, c, g.Extend(1))
	if got := c.Warnings(); len(got) > 0 {
		t.Errorf("of one six blocks ahead: %q", got)
	}
}
