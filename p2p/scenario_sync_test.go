package p2p

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// syncAmong has a node that knows nothing fetch a chain from honest peers and
// from liars, every other of which it dials, and tells how long that takes. The
// liars come first, or wherever random puts them. The network is known to have
// the chain's work. Everybody else has it, in a copy of a ledger.
func syncAmong(t *testing.T, random *rand.Rand, ledger string, honest int, liars ...lie) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = slog.LevelWarn
		w.latency = 50 * time.Millisecond
		spec := *hardSpec()
		w.spec = &spec
		source := w.station("source")
		source.dir = filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(source.dir, os.DirFS(ledger)); err != nil {
			t.Fatal(err)
		}
		w.start(source)
		tip := source.ledger.Tip()
		work := tip.Work.Bytes()
		spec.Defaults.MinimumWork = work[:]
		s := w.add("s", nil)
		peers := make([]*station, 0, honest+len(liars))
		for i, lie := range liars {
			peers = append(peers, w.mirror(fmt.Sprint("liar", i), source, lie))
		}
		for i := range honest {
			peers = append(peers, w.mirror(fmt.Sprint("honest", i), source, nil))
		}
		if random != nil {
			random.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
		}
		start := time.Now()
		for i, p := range peers {
			from, to := s, p
			if i%2 == 1 {
				from, to = p, s
			}
			if err := from.AddNode(to.url); err != nil {
				t.Fatal(err)
			}
			if p.lie != nil && random == nil {
				time.Sleep(4 * w.latency) // virtual: it is asked for headers before the others are there
			}
		}
		w.agree(tip.Hash, s)
		took = time.Since(start)
		w.sameCoins(source, s)
		w.until("the work is done", func() bool { return !s.Syncing() })
	})
	return took
}

// ledgerOf makes a ledger of blocks, and gives its directory.
func ledgerOf(t *testing.T, spec *consensus.Spec, blocks []*consensus.Block) (dir string) {
	dir = t.TempDir()
	c, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A third of the peers lies, each in its own way, and then each way alone, by one
// of three. None takes more time than the constants say: those who hold up the
// headers one after the other, those who hold up blocks all at the same time.
func TestSyncAmongLiars(t *testing.T) {
	random := seeded(t)
	blocks := hardChain(nil, 1, maxHeaders+300)
	lies, ledger := syncLies(blocks), ledgerOf(t, hardSpec(), blocks)
	check := func(what string, took, alone, costs time.Duration) {
		const slack = 3 * time.Second // ticks of a second
		if t.Logf("%s: %v", what, took); took > alone+costs+slack {
			t.Errorf("%s: the sync took %v, without liars %v, and they can take %v", what, took, alone, costs)
		}
	}
	var all []lie
	for _, l := range lies {
		all = append(all, l.make())
	}
	alone := syncAmong(t, random, ledger, 2*len(all))
	check("all", syncAmong(t, random, ledger, 2*len(all), all...), alone, leaderTerm+headersTimeout+moveTimeout)
	if testing.Short() {
		return
	}
	alone = syncAmong(t, nil, ledger, 2)
	for name, l := range lies {
		check(name, syncAmong(t, nil, ledger, 2, l.make()), alone, l.costs)
	}
}
