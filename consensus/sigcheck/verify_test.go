package sigcheck_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// blockChecks are the checks of a generated block of 30 transactions with two
// inputs each.
func blockChecks(t *testing.T) []consensus.SpendCheck {
	t.Helper()
	spec := chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })
	g := chaingen.New(&spec.Rules, chaingen.Params{Seed: 1, Txs: 5, Outputs: 20, Fee: 1000})
	g.Extend(5)
	g.Params.Txs, g.Params.Inputs, g.Params.Outputs = 30, 2, 1
	var checks []consensus.SpendCheck
	for _, tx := range g.Next().Txs[1:] {
		coins, _, ok := consensus.NewView(g.Coins).Inputs(tx)
		if ok { // else it spends what another one of the block makes
			checks = append(checks, consensus.SpendChecks(tx, tx.TxID(), coins)...)
		}
	}
	if len(checks) < 40 {
		t.Fatalf("only %d checks", len(checks))
	}
	return checks
}

// spoiled is a copy of checks in which the one at i has a wrong signature.
func spoiled(checks []consensus.SpendCheck, i int) []consensus.SpendCheck {
	checks = append([]consensus.SpendCheck(nil), checks...)
	tx := checks[i].Tx.Clone()
	in := &tx.In[checks[i].Input]
	sig := append([]byte(nil), in.Witness[0]...)
	sig[50] ^= 1
	in.Witness = [][]byte{sig}
	checks[i].Tx = tx
	return checks
}

func expectFailure(t *testing.T, c *sigcheck.Checker, checks []consensus.SpendCheck, first int) {
	t.Helper()
	err := c.Verify(checks)
	e, ok := errors.AsType[*consensus.RuleError](err)
	if !ok || !errors.Is(err, consensus.ErrSig) || e.TxID != checks[first].TxID || e.Input != checks[first].Input {
		t.Errorf("%v, want %s, input %d", err, checks[first].TxID, checks[first].Input)
	}
}

// TestFirstFailure names the first failing input in order, also where the same
// checks have passed before, and however many cores look.
func TestFirstFailure(t *testing.T) {
	checks := blockChecks(t)
	for _, cores := range []int{1, 2, 16} {
		before := runtime.GOMAXPROCS(cores)
		c := sigcheck.New(1000)
		runtime.GOMAXPROCS(before)
		for _, known := range []bool{false, true} {
			for _, at := range [][2]int{{0, 1}, {0, len(checks) - 1}, {5, 6}, {17, 30}, {len(checks) - 2, len(checks) - 1}, {len(checks) - 1, len(checks) - 1}} {
				bad := spoiled(checks, at[0])
				if at[1] != at[0] {
					bad = spoiled(bad, at[1])
				}
				expectFailure(t, c, bad, at[0])
			}
			if known {
				continue
			}
			if err := c.Verify(checks); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNothingToVerify(t *testing.T) {
	for _, size := range []int{0, 1, 2, 1000} {
		c := sigcheck.New(size)
		if err := errors.Join(c.Verify(nil), c.Verify([]consensus.SpendCheck{}), c.Verify(blockChecks(t)[:1])); err != nil {
			t.Error(err)
		}
	}
}

// TestShared has several goroutines share a checker whose cache is too small for
// all of them.
func TestShared(t *testing.T) {
	c, checks := sigcheck.New(16), blockChecks(t)
	bad := spoiled(checks, 20)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if err := c.Verify(checks); err != nil {
					t.Error(err)
				}
				expectFailure(t, c, bad, 20)
			}
		})
	}
	wg.Wait()
}
