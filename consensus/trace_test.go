package consensus_test

import (
	"errors"
	"strings"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// explain applies every rule to b, with a trace.
func explain(c *testchain.Chain, b *consensus.Block, t *consensus.Trace) error {
	u, err := c.Rules.Traced(t).ApplyBlock(c.State, b, c.Coins, c.Median, c.Latest)
	if err == nil {
		for i := range u.Sigs {
			sig, broken := u.Sigs[i].Signature()
			if broken == nil && !sig.Verify() {
				broken = u.Sigs[i].Invalid()
			}
			if err = broken; err != nil {
				break
			}
		}
		t.Spends(u.Sigs, err)
	}
	t.Fail(err)
	return err
}

// checkExplanation wants the rules to say of b what they said before, and the trace to
// end with the one that decided.
func checkExplanation(t *testing.T, c *testchain.Chain, b *consensus.Block, verdict error) {
	t.Helper()
	var trace consensus.Trace
	err := explain(c, b, &trace)
	if (err == nil) != (verdict == nil) || err != nil && err.Error() != verdict.Error() {
		t.Fatalf("explained it is %v, otherwise %v", err, verdict)
	}
	var failed []consensus.Step
	for _, step := range trace.Steps() {
		if step.Err != nil {
			failed = append(failed, step)
		}
		if dir, line, ok := strings.Cut(step.Where, "/"); !ok || dir != "consensus" || !strings.Contains(line, ".go:") || step.Times < 1 || len(step.Saw)%2 != 0 {
			t.Errorf("step %+v", step)
		}
	}
	switch {
	case verdict == nil && len(failed) > 0:
		t.Errorf("a good block breaks %q", failed[0].Rule.Kind)
	case verdict != nil && len(failed) == 0:
		t.Errorf("no step says %v", verdict)
	case verdict != nil && !errors.Is(verdict, failed[len(failed)-1].Rule.Kind):
		t.Errorf("the step that failed is %q, the verdict %v", failed[len(failed)-1].Rule.Kind, verdict)
	}
}

// TestExplanationIsComplete wants each rule that a good block keeps in its explanation,
// once, however many transactions there are.
func TestExplanationIsComplete(t *testing.T) {
	c := baseChain().Clone()
	var trace consensus.Trace
	first := c.Spend(1, testchain.Key(500).Pay(coin))
	if err := explain(c, c.Next(first, spendNew(first), c.Spend(2, testchain.Key(500).Pay(coin))), &trace); err != nil {
		t.Fatal(err)
	}
	seen := make(map[consensus.ErrorKind]int)
	for _, step := range trace.Steps() {
		seen[step.Rule.Kind]++
	}
	twice := map[consensus.ErrorKind]bool{consensus.ErrBlockLength: true, consensus.ErrNonFinal: true}
	for _, kind := range []consensus.ErrorKind{
		consensus.ErrHighHash, consensus.ErrMerkleRoot, consensus.ErrDuplicateTx, consensus.ErrBlockLength, consensus.ErrCoinbaseMissing,
		consensus.ErrCoinbaseMany, consensus.ErrNoInputs, consensus.ErrNoOutputs, consensus.ErrTxOversize, consensus.ErrNegativeOutput,
		consensus.ErrOutputTooLarge, consensus.ErrOutputsTooLarge, consensus.ErrDuplicateInputs, consensus.ErrCoinbaseLength, consensus.ErrNullInput,
		consensus.ErrOutputType, consensus.ErrBlockSigops, consensus.ErrDiffBits, consensus.ErrTimeTooOld, consensus.ErrTimeTooNew, consensus.ErrVersion,
		consensus.ErrNonFinal, consensus.ErrCoinbaseHeight, consensus.ErrReservedValue, consensus.ErrCommitment, consensus.ErrBlockWeight,
		consensus.ErrMissingInputs, consensus.ErrImmature, consensus.ErrInputRange, consensus.ErrBelowOutputs, consensus.ErrFeeSum, consensus.ErrCoinbaseAmount,
		consensus.ErrScriptFalse, consensus.ErrScriptSigNotEmpty, consensus.ErrWitnessEmpty, consensus.ErrScriptPath, consensus.ErrSigSize,
		consensus.ErrSigHashType, consensus.ErrSig,
	} {
		want := 1
		if twice[kind] {
			want = 2
		}
		if seen[kind] != want {
			t.Errorf("%q is explained %d times, want %d", kind, seen[kind], want)
		}
	}
	if len(trace.Steps()) != 41 {
		t.Errorf("%d steps", len(trace.Steps()))
	}
}

// TestJudgeTxSaysWhatABlockSays has single transactions judged as the blocks of the
// tables judge them.
func TestJudgeTxSaysWhatABlockSays(t *testing.T) {
	for _, table := range [][]ruleCase{txRules, spendRules} {
		for _, tc := range table {
			c := baseChain().Clone()
			b := tc.block(c)
			if len(b.Txs) != 2 || tc.kind == consensus.ErrNullInput && len(b.Txs[1].In) == 1 {
				continue
			}
			u, err := c.Rules.JudgeTx(&c.State, b.Txs[1], b.Txs[1].TxID(), c.Coins, c.Median)
			for i := 0; err == nil && i < len(u.Sigs); i++ {
				sig, broken := u.Sigs[i].Signature()
				if broken == nil && !sig.Verify() {
					broken = u.Sigs[i].Invalid()
				}
				err = broken
			}
			if tc.kind == "" && err != nil || tc.kind != "" && !errors.Is(err, tc.kind) {
				t.Errorf("%s: got %v, want %q", tc.name, err, tc.kind)
			}
		}
	}
}
