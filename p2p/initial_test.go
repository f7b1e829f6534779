package p2p

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// The initial download is over when the tip has the least work and is younger
// than a day, and stays so.
func TestInitialDownloadIsLatched(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	work := func(n uint64) (w consensus.Work) { w.SetUint64(n); return w }
	least := work(100)
	tip := func(n uint64, age time.Duration) *consensus.State {
		return &consensus.State{Work: work(n), Time: uint32(start.Add(-age).Unix())}
	}
	var d initialDownload
	for i, c := range []struct {
		tip *consensus.State
		in  bool
	}{
		{tip(99, 0), true},
		{tip(100, DefaultMaxTipAge+time.Second), true},
		{tip(99, DefaultMaxTipAge), true},
		{tip(100, DefaultMaxTipAge), false},
		{tip(100, 30*DefaultMaxTipAge), false}, // latched
		{tip(1, 0), false},
	} {
		if got := d.step(c.tip, &least, DefaultMaxTipAge, start); got != c.in {
			t.Errorf("step %d: in the initial download: %v, want %v", i, got, c.in)
		}
	}
	var ahead initialDownload
	if ahead.step(tip(100, -time.Hour), &least, DefaultMaxTipAge, start) {
		t.Error("a tip from the future counts as old")
	}
	var hour, ever initialDownload
	if !hour.step(tip(100, 2*time.Hour), &least, time.Hour, start) || hour.step(tip(100, time.Hour), &least, time.Hour, start) {
		t.Error("an hour is not what the tip may be old")
	}
	if ever.step(&consensus.State{Work: work(100)}, &least, math.MaxInt64, start) {
		t.Error("a tip from 1970 is too old where none is")
	}
}

// In the initial download no transaction is asked for or taken, and peers are
// told to announce none. Both begin with the first recent block; mining does not
// wait for it.
func TestInitialDownloadAsksForNoTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Clock = nowClock() })
		coins := rich(w, 2, s) // of 2011, and this is 2026
		if !s.InitialBlockDownload() || s.Syncing() {
			t.Errorf("initial download: %v, syncing: %v; want true and false", s.InitialBlockDownload(), s.Syncing())
		}
		tx, unasked := spend(coins[0], 1000), spend(coins[1], 1000)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		if got := a.hear(cmdFeeFilter).(msgFeeFilter); int64(got) != 9_936_506 { // of more than anybody pays, the step below
			t.Errorf("asked for transactions of %d sat and more in the initial download", got)
		}
		a.say(&msgInv{cmdInv, []invItem{{invWTx, tx.WTxID()}}})
		a.say(msgTx{unasked})
		time.Sleep(time.Minute) // virtual
		if s.has(unasked) {
			t.Error("a transaction was taken in the initial download")
		}
		s.feed(at(w, mineOn(w.spec, s.ledger.Tip(), 9), now()))
		if s.InitialBlockDownload() {
			t.Error("still in the initial download with a recent tip")
		}
		if got := a.hear(cmdFeeFilter).(msgFeeFilter); int64(got) != s.pool.MinFeeRate() {
			t.Errorf("asked for transactions of %d sat and more after the initial download, want %d", got, s.pool.MinFeeRate())
		}
		for _, m := range a.unheard {
			if m.command() == cmdGetData {
				t.Error("a transaction was asked for in the initial download")
			}
		}
		a.say(&msgInv{cmdInv, []invItem{{invWTx, tx.WTxID()}}})
		a.hear(cmdGetData)
	})
}
