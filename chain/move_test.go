package chain

import (
	"strings"
	"testing"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// TestInterruptedMove interrupts a flush of many batches, across a
// reorganization, at each of its changes, and then the start that finishes it at
// each of its own: the coins are those of the tip in the end.
func TestInterruptedMove(t *testing.T) {
	t.Parallel()
	w := &world{byHash: make(map[consensus.Hash]*piece), sets: make(map[consensus.Hash]consensus.Hash)}
	a := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 4, Txs: 3, Inputs: 2, Outputs: 3, Fee: 1000})
	a.Extend(9)
	b := a.Fork(5, 1)
	b.Extend(6)
	for _, block := range append(a.Blocks[1:], b.Blocks[6:]...) {
		parent, before := w.byHash[block.Prev], testSpec.Rules.GenesisState()
		if parent != nil {
			before = parent.state
		}
		hash := block.Header.Hash()
		w.byHash[hash] = &piece{block, hash, testSpec.Rules.NextState(before, &block.Header), parent, true}
		w.pieces = append(w.pieces, w.byHash[hash])
	}
	var tally tally
	for _, back := range []bool{false, true} { // the other way round
		for first := 1; ; first++ {
			finished, second := false, 0
			for ; ; second++ {
				if second > 1 && (testing.Short() || first%10 > 0) {
					break
				}
				var again bool
				finished, again = interruptMove(t, w, a, b, back, plan{strike(first % 2), first}, second, &tally)
				if finished || !again {
					break
				}
			}
			if finished {
				if first < 20 {
					t.Errorf("the flush was done after %d changes", first)
				}
				break
			}
		}
	}
	t.Logf("%d interruptions, %d flushes finished by a start", tally.trials.Load(), tally.moves.Load())
	if tally.moves.Load() < tally.trials.Load()/4 {
		t.Error("they are not where they should be")
	}
}

// interruptMove follows p in a flush from a to the better b, or from the
// disconnected b back to a, and stops the start that comes then at a change, if
// second is not 0. finished says that the flush was done before p struck, and
// again that the start was stopped.
func interruptMove(t *testing.T, w *world, a, b *chaingen.Chain, back bool, p plan, second int, tally *tally) (finished, again bool) {
	tr := newTrial(t, []*world{w}, uint64(p.at*1000+second), tally)
	tr.cfg.Cache, tr.cfg.limits = DefaultCache, limits{batch: 150, buffer: 200_000, file: 3000}
	tr.open()
	submit := func(blocks []*consensus.Block) {
		for _, b := range blocks {
			tr.submit(w.byHash[b.Header.Hash()])
		}
	}
	submit(a.Blocks[1:])
	fork := b.Blocks[6].Header.Hash()
	if back {
		submit(b.Blocks[6:])
		tr.flush()
		if err := tr.c.InvalidateBlock(fork); err != nil {
			t.Fatal(err)
		}
		tr.mark(w.byHash[fork])
	} else {
		tr.flush()
		submit(b.Blocks[6:])
	}
	tr.disk.mu.Lock()
	tr.disk.ops, tr.disk.plan = 0, p
	tr.disk.mu.Unlock()
	tr.flush()
	finished = !tr.fatal
	tr.end(tr.random.IntN(2) == 0, plan{strikeCrash, second})
	if second > 0 {
		if again = !tr.open(); again {
			tr.end(tr.random.IntN(2) == 0, plan{})
		} else {
			tr.end(false, plan{})
		}
	}
	tr.open()
	tr.check()
	tally.trials.Add(1)
	tally.moves.Add(int64(strings.Count(tr.log.String(), "finishing an interrupted write")))
	if second == 0 {
		tr.finish()
	} else {
		tr.end(false, plan{})
	}
	return finished, second == 0 || again
}
