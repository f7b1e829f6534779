package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/consensus/sigcheck"
)

// faultSeconds, in the environment, has TestFaults run for so long, and
// faultSeed begins with another case than the first.
const (
	faultSeconds = "LODE_TEST_FAULT_SECONDS"
	faultSeed    = "LODE_TEST_FAULT_SEED"
)

// trial is one history of a ledger, and what is known of it.
type trial struct {
	*testing.T
	seed    uint64
	world   *world
	random  *rand.Rand
	disk    *faultDisk
	cfg     Config
	c       *Chain
	log     strings.Builder
	fatal   bool // a failure of the disk was reported
	written bool // it was open once

	stored  map[*piece]bool // acknowledged
	flushed map[*piece]bool // before the last flush that is known to be complete
	failed  map[*piece]bool // may be marked invalid, also by a call that did not come back
	lately  map[*piece]bool // may have been since that flush, or before it
	tip     *piece          // that the last flush wrote
	tally   *tally
}

// tally counts what trials have met, so that nobody believes in a test that
// never gets where it should.
type tally struct {
	trials, crashes, powerCuts, failures, rebuilt, moves, recoveries atomic.Int64
}

const faultDir = "/data"

func newTrial(t *testing.T, worlds []*world, seed uint64, tally *tally) *trial {
	random := rand.New(rand.NewPCG(seed, 3))
	disk := newFaultDisk(seed)
	tr := &trial{
		T: t, seed: seed, random: random, disk: disk, world: worlds[random.IntN(len(worlds))], tally: tally,
		stored: make(map[*piece]bool), flushed: make(map[*piece]bool), failed: make(map[*piece]bool), lately: make(map[*piece]bool),
	}
	tr.cfg = Config{
		Dir: faultDir, Spec: testSpec, disk: disk, Sigs: sigcheck.New(0), Log: slog.New(slog.NewTextHandler(&tr.log, nil)),
		Cache:  databaseCache + 2*databaseBuffer + entrySize*int64(random.IntN(60)),
		limits: limits{batch: maxBatch, buffer: 200_000, file: blockfile.MaxFileSize},
	}
	if random.IntN(3) > 0 {
		tr.cfg.limits.batch = 100 + random.IntN(500)
	}
	if random.IntN(2) == 0 {
		tr.cfg.limits.file = int64(1000 + random.IntN(20_000))
	}
	if random.IntN(3) == 0 {
		tr.cfg.limits.buffer = 2000 + random.IntN(20_000)
	}
	return tr
}

func (tr *trial) fatalf(format string, args ...any) {
	tr.T.Helper()
	tr.T.Fatalf("seed %d (%s=%d): %s\n%s", tr.seed, faultSeed, tr.seed, fmt.Sprintf(format, args...), tr.log.String())
}

// note looks at an error of a call. It says whether the call succeeded.
func (tr *trial) note(err error) bool {
	tr.Helper()
	if err == nil {
		return true
	}
	if !errors.Is(err, ErrFatal) {
		if _, ok := Reason(err); !ok {
			tr.fatalf("an error of no kind: %v", err)
		}
		return false
	}
	if tr.c.Err() == nil {
		tr.fatalf("a fatal error, and the ledger goes on: %v", err)
	}
	select {
	case <-tr.c.Failed():
	default:
		tr.fatalf("the ledger is not said to have failed: %v", err)
	}
	if !tr.fatal && !strings.Contains(err.Error(), faultDir+"/") {
		tr.fatalf("an error that names no file: %v", err)
	}
	tr.fatal = true
	return false
}

// live lets something happen to the ledger until it fails, or enough has.
func (tr *trial) live(steps int) {
	for range steps {
		if tr.fatal {
			return
		}
		tr.step()
		tr.observe()
	}
}

func (tr *trial) pick() *piece { return tr.world.pieces[tr.random.IntN(len(tr.world.pieces))] }

func (tr *trial) step() {
	switch p := tr.pick(); tr.random.IntN(16) {
	default: // a branch, in order
		for _, p := range p.path() {
			if !tr.stored[p] && tr.random.IntN(8) > 0 {
				tr.submit(p)
			}
		}
	case 0, 1, 2: // a block that is not in order
		tr.submit(p)
	case 3, 4:
		var headers []consensus.Header
		for _, p := range p.path() {
			headers = append(headers, p.block.Header)
		}
		tr.note(tr.c.AddHeaders(headers))
	case 5, 6:
		tr.flush()
	case 7:
		tr.mark(p)
		if err := tr.c.InvalidateBlock(p.hash); !errors.Is(err, ErrNotFound) {
			tr.note(err)
		}
	case 8:
		tr.reconsider(p)
	case 9:
		if err := tr.c.PreciousBlock(p.hash); !errors.Is(err, ErrNotFound) {
			tr.note(err)
		}
	case 10:
		if err := tr.c.Close(); err == nil {
			tr.flushedAll()
			tr.c = nil
			tr.open()
		} else {
			tr.fatal = true
		}
	}
}

func (tr *trial) submit(p *piece) {
	if tr.note(tr.c.AddBlock(p.block)) {
		tr.stored[p] = true
	}
}

// mark notes that p and what is built on it may count as invalid.
func (tr *trial) mark(p *piece) {
	for _, q := range tr.world.pieces {
		if q.descends(p) {
			tr.failed[q], tr.lately[q] = true, true
		}
	}
}

func (tr *trial) reconsider(p *piece) {
	err := tr.c.ReconsiderBlock(p.hash)
	if errors.Is(err, ErrNotFound) || !tr.note(err) {
		return
	}
	for _, q := range tr.world.pieces {
		if q.descends(p) || p.descends(q) {
			delete(tr.failed, q)
		}
	}
}

func (tr *trial) flush() {
	tr.c.mu.Lock()
	err := tr.c.Err()
	if err == nil {
		if err = tr.c.flush(); err != nil {
			err = tr.c.fail(err)
		}
	}
	tr.c.mu.Unlock()
	tr.note(err)
}

// observe looks whether everything was flushed.
func (tr *trial) observe() {
	if tr.c == nil {
		return
	}
	tr.c.mu.Lock()
	defer tr.c.mu.Unlock()
	if !tr.fatal && len(tr.c.unsaved) == 0 && tr.c.coins.changed == 0 {
		tr.flushedAll()
	}
	if tr.c.saved != nil && tr.c.saved.Parent() != nil {
		tr.tip = tr.world.byHash[tr.c.saved.Hash()]
	}
}

func (tr *trial) flushedAll() {
	clear(tr.flushed)
	clear(tr.lately)
	for p := range tr.stored {
		tr.flushed[p] = true
	}
	for p := range tr.failed {
		tr.lately[p] = true
	}
}

// open starts the ledger. It may only fail if the disk does.
func (tr *trial) open() (ok bool) {
	begin := tr.log.Len()
	c, err := Open(context.Background(), tr.cfg)
	if strings.Contains(tr.log.String()[begin:], "built anew from the block files") {
		tr.rebuilt()
	}
	if err != nil {
		tr.disk.mu.Lock()
		struck := tr.disk.struck
		tr.disk.mu.Unlock()
		if struck == "" {
			tr.fatalf("it does not open by itself: %v", err)
		}
		if !strings.Contains(err.Error(), struck) && !strings.Contains(err.Error(), faultDir) {
			tr.fatalf("an error that names no file: %v", err)
		}
		tr.fatal = true
		return false
	}
	tr.c, tr.written = c, true
	return true
}

// rebuilt notes that the database was built anew: where the very first start was
// cut short, or LevelDB's manifest was. Blocks whose ancestors are not all stored
// are gone with the headers then, and come again.
func (tr *trial) rebuilt() {
	if tr.written {
		tr.tally.rebuilt.Add(1)
	}
	for p := range tr.stored {
		for _, q := range p.path() {
			if !tr.stored[q] {
				delete(tr.stored, p)
				delete(tr.flushed, p)
				break
			}
		}
	}
}

// end has the process die, or the machine, whatever it was doing.
func (tr *trial) end(powerCut bool, next plan) {
	tr.observe()
	tr.disk.mu.Lock()
	tr.disk.dead = true
	tr.disk.mu.Unlock()
	if tr.c != nil {
		tr.c.Close() // for its goroutines: nothing that they do arrives
		tr.c = nil
	}
	tr.disk.restart(powerCut, next)
	tr.fatal = false
	if powerCut {
		tr.tally.powerCuts.Add(1)
		clear(tr.stored)
		for p := range tr.flushed {
			tr.stored[p] = true
		}
		for p := range tr.lately {
			tr.failed[p] = true
		}
	}
}

// check compares what a start has made of it: what must be there is, the tip is
// no worse than it must be, and the coins are those of the tip.
func (tr *trial) check() {
	tr.Helper()
	tip := tr.c.Tip()
	for p := range tr.stored {
		if info, ok := tr.c.Header(p.hash); !ok || !info.HaveBlock {
			tr.fatalf("block %s at %d is gone", p.hash, p.state.Height)
		}
		if tr.reachable(p) && p.state.Work.Gt(&tip.Work) {
			tr.fatalf("the tip is at %d, and %s at %d is valid", tip.Height, p.hash, p.state.Height)
		}
	}
	if p := tr.tip; p != nil && !tr.failed[p] && p.state.Work.Gt(&tip.Work) {
		tr.fatalf("the tip is at %d, and was flushed at %d", tip.Height, p.state.Height)
	}
	best := tr.c.BestHeader()
	if best.Invalid || best.Work.Lt(&tip.Work) {
		tr.fatalf("the best header is at %d, invalid: %v, and the tip at %d", best.Height, best.Invalid, tip.Height)
	}
	if p := tr.world.byHash[tip.Hash]; p != nil && !p.valid {
		tr.fatalf("the tip %s breaks a rule", tip.Hash)
	}
	s, err := tr.c.UTXOStats(context.Background())
	if err != nil {
		tr.fatalf("coins: %v", err)
	}
	if want := tr.world.set(tr.T, tip.Hash); s.Hash != want || s.Tip != tip.Hash {
		tr.fatalf("the coins at %d are not those of a replay", tip.Height)
	}
}

// reachable reports whether the whole way to p was acknowledged, and is valid.
func (tr *trial) reachable(p *piece) bool {
	for _, q := range p.path() {
		if !tr.stored[q] || !q.valid || tr.failed[q] {
			return false
		}
	}
	return true
}

// finish gives the ledger everything: it must be at the best block then, and so
// after one more start.
func (tr *trial) finish() {
	for _, p := range tr.world.pieces {
		tr.reconsider(p)
	}
	for _, p := range tr.world.pieces {
		tr.submit(p)
	}
	if tr.fatal {
		tr.fatalf("it fails on a disk that does not: %v", tr.c.Err())
	}
	tr.check()
	hash := tr.c.Tip().Hash
	if err := tr.c.Close(); err != nil {
		tr.fatalf("close: %v", err)
	}
	tr.disk.restart(true, plan{}) // all of it is on the medium
	tr.open()
	tr.check()
	if tip := tr.c.Tip(); tip.Hash != hash {
		tr.fatalf("the tip was %s before a restart and is %s", hash, tip.Hash)
	}
	if err := tr.c.Close(); err != nil {
		tr.fatalf("close: %v", err)
	}
}

// drawPlan chooses what happens next, and when: often soon.
func (tr *trial) drawPlan() plan {
	kind := strikeCrash
	if tr.random.IntN(2) == 0 {
		kind = strike(tr.random.IntN(int(strikes)))
	}
	return plan{kind, 1 + tr.random.IntN(1<<tr.random.IntN(10))}
}

// run is one history: a ledger lives until the disk strikes, it is started
// again, perhaps struck again while it recovers, and in the end must be whole.
func (tr *trial) run() {
	tr.tally.trials.Add(1)
	tr.disk.restart(false, tr.drawPlan())
	for life := 0; ; life++ {
		if tr.open() {
			if life > 0 {
				tr.recovered()
			}
			tr.live(2 + tr.random.IntN(12))
		}
		tr.count()
		next := plan{}
		if life < 3 && tr.random.IntN(3) > 0 {
			next = tr.drawPlan()
		}
		tr.end(tr.random.IntN(2) == 0 || tr.disk.stale, next)
		if next.at == 0 {
			break
		}
	}
	tr.open()
	tr.check()
	tr.tally.recoveries.Add(1)
	tr.finish()
	tr.tally.moves.Add(int64(strings.Count(tr.log.String(), "finishing an interrupted write")))
}

// recovered is check while the disk may still fail.
func (tr *trial) recovered() {
	tr.disk.mu.Lock()
	plan := tr.disk.plan
	tr.disk.plan.at = 0
	tr.disk.mu.Unlock()
	tr.check()
	tr.disk.mu.Lock()
	tr.disk.ops, tr.disk.plan = 0, plan
	tr.disk.mu.Unlock()
}

func (tr *trial) count() {
	tr.disk.mu.Lock()
	defer tr.disk.mu.Unlock()
	if tr.disk.struck != "" {
		if tr.disk.plan.kind == strikeCrash {
			tr.tally.crashes.Add(1)
		} else {
			tr.tally.failures.Add(1)
		}
	}
}

func faultWorlds(n int) []*world {
	worlds := make([]*world, n)
	for i := range worlds {
		worlds[i] = newWorld(uint64(i))
	}
	return worlds
}

// TestFaults lets ledgers live random lives on disks that fail, lose power, or
// whose process is killed, each at a random change: every start recovers by
// itself, with the coins of its tip, and with the blocks that it must have.
func TestFaults(t *testing.T) {
	t.Parallel()
	var tally tally
	worlds := faultWorlds(6)
	trials, first, until := 400, uint64(0), time.Time{}
	if testing.Short() {
		trials = 60
	}
	if s := os.Getenv(faultSeconds); s != "" {
		seconds, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		until = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	if s := os.Getenv(faultSeed); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for seed := first; seed < first+uint64(trials) || time.Now().Before(until); seed++ {
		newTrial(t, worlds, seed, &tally).run()
	}
	t.Logf("%d histories: %d kills, %d power cuts, %d failures of the disk; %d recoveries, %d interrupted flushes finished, %d built anew",
		tally.trials.Load(), tally.crashes.Load(), tally.powerCuts.Load(), tally.failures.Load(), tally.recoveries.Load(), tally.moves.Load(), tally.rebuilt.Load())
	if first == 0 && (tally.crashes.Load() == 0 || tally.failures.Load() == 0 || tally.moves.Load() == 0) {
		t.Error("something never happened")
	}
}
