package p2p

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A clock that is wrong is told when five peers say so, again in an hour, and when
// it is right; who speaks twice counts once, and what was said before somebody set
// the clock, or before the machine slept, counts no more.
func TestClockCheck(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	c := clockCheck{drift: 2 * time.Hour, begun: start}
	wall, now := start, start
	pass := func(d time.Duration) { wall, now = wall.Add(d), now.Add(d) }
	tell := func(url string, ahead time.Duration) string { return c.step(wall, now, url, ahead) }
	want := func(step, got, part string) {
		t.Helper()
		if (part == "") != (got == "") || !strings.Contains(got, part) {
			t.Errorf("%s: %q, want %q", step, got, part)
		}
	}
	for i := range 10 {
		want("one peer again and again", tell("one", 11*time.Hour), "")
		pass(time.Duration(i))
	}
	for i := range 3 {
		want("few peers", tell(fmt.Sprint(i), 11*time.Hour), "")
	}
	want("the fifth", tell("five", 11*time.Hour), "11h0m0s behind (the median of 5 outbound peers): blocks of others are from the future")
	want("the sixth", tell("six", 10*time.Hour), "")
	pass(clockReminder)
	want("an hour later", c.step(wall, now, "", 0), "behind")
	for i := range 7 {
		want("others whose clocks are like this one's", tell(fmt.Sprint("right ", i), maxSkew), map[bool]string{true: "right again"}[i == 6])
	}

	wall = wall.Add(time.Hour) // somebody sets it
	want("set", c.step(wall, now, "", 0), "")
	if len(c.offsets.list) != 0 {
		t.Errorf("%d peers are remembered that spoke of another clock", len(c.offsets.list))
	}
	for i := range 5 {
		want("ahead", tell(fmt.Sprint(i), -time.Hour), map[bool]string{true: "1h0m0s ahead (the median of 5 outbound peers): others may refuse"}[i == 4])
	}
	now = now.Add(time.Hour) // the machine slept, and its clock with it
	want("asleep", c.step(wall, now, "", 0), "right again")

	for i := range 3 * maxOffsets {
		tell(fmt.Sprint(i), 0)
	}
	if len(c.offsets.list) != maxOffsets {
		t.Errorf("%d peers are remembered", len(c.offsets.list))
	}
}

// What is much depends on the network: where blocks may be 30 s ahead, a minute is.
func TestClockCheckByDrift(t *testing.T) {
	for _, line := range []struct {
		drift, ahead time.Duration
		wrong        bool
	}{
		{30 * time.Second, 31 * time.Second, true}, {30 * time.Second, 30 * time.Second, false},
		{2 * time.Hour, 10 * time.Minute, false}, {2 * time.Hour, 601 * time.Second, true}, {2 * time.Hour, -601 * time.Second, true},
	} {
		c := clockCheck{drift: line.drift}
		for i := range minOffsets {
			c.step(time.Unix(1000, 0), time.Time{}, fmt.Sprint(i), line.ahead)
		}
		if got := c.warning() != ""; got != line.wrong {
			t.Errorf("%v ahead, drift %v: %v, want %v", line.ahead, line.drift, got, line.wrong)
		}
	}
}

// A node whose clock is eleven hours behind says so: in the log as soon as a peer
// that it dialled shows a block from the future, and as a warning when five peers
// have told their time. Those that dialled it say nothing of its clock.
func TestWrongClockIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const behind = 11 * time.Hour
		s := w.add("s", func(c *Config) { c.Clock = nowClock() })
		at := func(kind connectionKind, i int) *actor {
			v := actorVersion(ProtocolVersion)
			v.time, v.nonce = now().Add(behind).Unix(), uint64(100+i)
			addr := fmt.Sprintf("20.%d.1.1:1", i)
			if kind == kindInbound {
				a := w.call(s, addr)
				a.shakeAs(v)
				return a
			}
			a := w.choose(s, kind, addr)
			a.hear(cmdVersion)
			a.say(v)
			for _, m := range []msgEmpty{cmdWTxIDRelay, cmdSendAddrV2, cmdVerack} {
				a.say(m)
			}
			a.hear(cmdSendHeaders)
			return a
		}
		future := mineOn(w.spec, s.ledger.Tip(), 1)
		future.Header.Time = uint32(now().Add(behind).Unix())
		future.Seal()
		work(w.spec, future)
		for i := range 2 * minOffsets {
			at(kindInbound, i).say(msgHeaders{future.Header})
		}
		synctest.Wait()
		time.Sleep(time.Second) // virtual
		if lines := w.complaints.lines(); len(lines) != 0 || len(s.Warnings()) != 0 {
			t.Errorf("because of those that dialled the node: %q, %q", lines, s.Warnings())
		}
		for i := range minOffsets {
			a := at(kindOutbound, 50+i)
			a.say(msgHeaders{future.Header})
			synctest.Wait()
			time.Sleep(time.Second) // virtual
			if told := len(s.Warnings()) == 1; told != (i == minOffsets-1) {
				t.Errorf("after %d peers: %q", i+1, s.Warnings())
			}
		}
		lines := w.complaints.lines()
		if len(lines) != 2 || !strings.Contains(lines[0], "from the future") || !strings.Contains(lines[0], "ahead=10h59m") && !strings.Contains(lines[0], "ahead=11h0m") ||
			!strings.Contains(lines[1], "11h0m0s behind") {
			t.Errorf("the log says %q", lines)
		}
	})
}
