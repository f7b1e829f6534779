package p2p

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseSubnet(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.7/24": "192.0.2.0/24", "2001:db8::7": "2001:db8::7/128", "2001:4d48:ac57::63/19": "2001:4000::/19",
		"::ffff:192.0.2.7": "192.0.2.7/32", "0.0.0.0/0": "0.0.0.0/0",
		"pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion": "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion",
		"c4gfnttsuwqomiygupdqqqyy5y5emnk5c73hrfvatri67prd7vyq.b32.i2p":   "c4gfnttsuwqomiygupdqqqyy5y5emnk5c73hrfvatri67prd7vyq.b32.i2p",
		"pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscrye.onion": "", "c4gfnttsuwqomiygupdqqqyy5y5emnk5c73hrfvatri67prd7vyqq.b32.i2p": "", ".onion": "", "example.onion": "",
		"": "", "x": "", "192.0.2.7/33": "", "192.0.2": "", "fe80::1%eth0": "", "192.0.2.7:80": "", "::ffff:192.0.2.7/120": "",
	} {
		subnet, err := ParseSubnet(in)
		if want == "" {
			if !errors.Is(err, ErrSubnet) {
				t.Errorf("%q: %v, %v", in, subnet, err)
			}
		} else if err != nil || subnet.String() != want {
			t.Errorf("%q is %v (%v), want %s", in, subnet, err, want)
		}
	}
}

// A ban lasts until its time and no longer.
func TestBanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		in, out := w.call(s, "203.0.113.9:1"), w.call(s, "203.0.114.9:1")
		in.shake(ProtocolVersion)
		out.shake(ProtocolVersion)
		subnet := Subnet{Prefix: netip.MustParsePrefix("203.0.113.0/24")}
		if err := s.Ban(subnet, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		in.isCut()
		out.say(msgPing(1))
		out.hear(cmdPong)
		if err := s.Ban(Subnet{Prefix: netip.MustParsePrefix("203.0.113.9/32")}, time.Now().Add(2*time.Hour)); !errors.Is(err, ErrIsBanned) {
			t.Errorf("banned again: %v", err)
		}
		time.Sleep(59 * time.Minute) // virtual
		w.call(s, "203.0.113.10:1").isCut()
		time.Sleep(time.Minute) // virtual
		w.call(s, "203.0.113.10:1").shake(ProtocolVersion)
		if len(s.Bans()) != 0 {
			t.Errorf("bans: %v", s.Bans())
		}
		if err := s.Unban(subnet); !errors.Is(err, ErrNoBan) {
			t.Errorf("unbanned: %v", err)
		}
	})
}

// The operator may ban loopback; misbehaviour may not.
func TestLoopback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		if s.bans.discourage(netip.MustParseAddr("127.0.0.1")) || s.bans.discourage(netip.IPv6Loopback()) || s.bans.discourage(netip.Addr{}) {
			t.Error("discouraged")
		}
		if err := s.Ban(Subnet{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		w.call(s, "127.0.0.1:1").isCut()
		if err := s.Unban(Subnet{Prefix: netip.MustParsePrefix("127.0.0.0/8")}); err != nil {
			t.Fatal(err)
		}
		w.call(s, "127.0.0.1:1").shake(ProtocolVersion)
	})
}

// Bans are there after a restart, without those that are over; a damaged file
// costs one line in the log, and the node starts.
func TestBansAreSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dir := t.TempDir()
		var log strings.Builder
		start := func(name string) *station {
			log.Reset()
			return w.add(name, func(c *Config) {
				c.Dir, c.Log = dir, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			})
		}
		s := start("first")
		long, short := Subnet{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, Subnet{Prefix: netip.MustParsePrefix("2001:db8::1/128")}
		hidden := Subnet{Name: "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"}
		for subnet, d := range map[Subnet]time.Duration{hidden: time.Minute, long: time.Hour, short: time.Minute} {
			if err := s.Ban(subnet, time.Now().Add(d)); err != nil {
				t.Fatal(err)
			}
		}
		want := s.Bans()
		if len(want) != 3 || want[2].Subnet != hidden || want[0].Subnet != long || want[0].Until.Sub(want[0].Created) != time.Hour {
			t.Errorf("bans: %v", want)
		}
		s.stop()
		again := start("again")
		if got := again.Bans(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("bans are %v, want %v", got, want)
		}
		again.stop()
		time.Sleep(2 * time.Minute) // virtual
		third := start("third")
		if got := third.Bans(); len(got) != 1 || got[0] != want[0] {
			t.Errorf("bans are %v, want %v", got, want[:1])
		}
		if err := third.ClearBans(); err != nil || len(third.Bans()) != 0 {
			t.Errorf("cleared: %v, %v", third.Bans(), err)
		}
		third.stop()
		fourth := start("fourth")
		if got := fourth.Bans(); len(got) != 0 {
			t.Errorf("bans are %v after they were cleared", got)
		}
		fourth.stop()
		for i, bad := range []string{"", "{", `{"banned_nets":[{"version":1,"address":"x"}]}`, `{"banned_nets":[{"version":7,"address":"1.2.3.4"}]}`} {
			if err := os.WriteFile(filepath.Join(dir, bansName), []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(fmt.Sprint("damaged", i))
			if got := s.Bans(); len(got) != 0 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("%q: %v, log %q", bad, got, log.String())
			}
			s.stop()
		}
	})
}

// What is remembered is bounded, and the latest is kept.
func TestBansAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b banList
		addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}) }
		for i := range maxDiscouraged {
			b.discourage(addr(i))
			if i%1000 == 0 {
				time.Sleep(time.Second) // virtual
			}
		}
		time.Sleep(time.Second) // virtual
		b.discourage(addr(maxDiscouraged))
		if len(b.discouraged) > maxDiscouraged || !b.banned(addr(maxDiscouraged)) || !b.banned(addr(maxDiscouraged-1)) {
			t.Errorf("%d are discouraged", len(b.discouraged))
		}
		n := &Node{}
		for i := range maxBans {
			n.bans.put(Ban{Subnet{Prefix: netip.PrefixFrom(addr(i), 32)}, time.Now(), time.Now().Add(time.Hour)})
		}
		if err := n.Ban(Subnet{Prefix: netip.MustParsePrefix("8.8.8.8/32")}, time.Now().Add(time.Hour)); !errors.Is(err, ErrBansFull) {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(2 * time.Hour) // virtual
		if err := n.Ban(Subnet{Prefix: netip.MustParsePrefix("8.8.8.8/32")}, time.Now().Add(time.Hour)); err != nil || len(n.bans.nets) != 1 {
			t.Errorf("when all are over: %v, %d left", err, len(n.bans.nets))
		}
	})
}

// Other connections of a host that misbehaves are ended when room is needed.
func TestDiscouragedGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		const bad = "203.0.113.9:1"
		for i := range maxInbound - 2*keptByGroup {
			w.call(s, fmt.Sprintf("%d.%d.1.1:1", 11+i/2, i%2)).shake(ProtocolVersion)
		}
		for range 2 * keptByGroup { // half of them may be kept for their group
			w.call(s, bad).shake(ProtocolVersion)
		}
		s.bans.discourage(hostOfString(bad))
		left := func() (n int) {
			for _, p := range s.Peers() {
				if p.Addr == bad {
					n++
				}
			}
			return n
		}
		for range keptByGroup {
			before := left()
			w.call(s, "198.51.100.1:1").shake(ProtocolVersion)
			synctest.Wait()
			if in, _ := s.ConnectionCount(); in != maxInbound || left() != before-1 {
				t.Errorf("%d inbound peers, %d of the bad", in, left())
			}
		}
	})
}
