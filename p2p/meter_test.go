package p2p

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A bucket gives its burst at once, then a token at each interval; those of other
// keys are their own.
func TestMeter(t *testing.T) {
	m := meter[string]{burst: 3, every: time.Second, most: 10}
	start := time.Unix(1000, 0)
	for i, step := range []struct {
		key  string
		at   time.Duration
		want bool
	}{
		{"a", 0, true}, {"a", 0, true}, {"a", 0, true}, {"a", 0, false}, {"a", 999 * time.Millisecond, false},
		{"b", 999 * time.Millisecond, true},
		{"a", time.Second, true}, {"a", time.Second, false},
		{"a", 3 * time.Second, true}, {"a", 3 * time.Second, true}, {"a", 3 * time.Second, false},
		{"a", time.Hour, true}, {"a", time.Hour, true}, {"a", time.Hour, true}, {"a", time.Hour, false},
	} {
		if got := m.take(step.key, start.Add(step.at)); got != step.want {
			t.Errorf("step %d: %s after %v: %v, want %v", i, step.key, step.at, got, step.want)
		}
	}
	if len(m.known) != 1 || m.order.Len() != 1 {
		t.Errorf("%d keys are known, want only the one whose bucket is not full", len(m.known))
	}
	m.free(start.Add(2 * time.Hour))
	if len(m.known)+m.order.Len() != 0 {
		t.Errorf("%d keys are known when all buckets are full", len(m.known))
	}
}

// Whatever comes, no more keys are known than there may be, none whose bucket has
// been full for as long as it takes to fill one, and nobody gets more than the
// burst and what has come since.
func TestMeterIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := meter[int]{burst: rapid.IntRange(1, 5).Draw(t, "burst"), every: time.Second, most: 8}
		begin := time.Unix(0, 0)
		now, taken := begin, 0
		for i := range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 700).Draw(t, "ms")) * time.Millisecond)
			key := rapid.IntRange(0, 20).Draw(t, "key")
			if m.take(7, now) { // this one is never forgotten while it asks
				taken++
			}
			m.take(key+100, now)
			if len(m.known) > m.most || len(m.known) != m.order.Len() {
				t.Fatalf("step %d: %d keys, %d in order, at most %d", i, len(m.known), m.order.Len(), m.most)
			}
			if most := m.burst + int(now.Sub(begin)/m.every); taken > most {
				t.Fatalf("step %d: %d tokens, at most %d", i, taken, most)
			}
		}
		m.free(now.Add(time.Duration(m.burst) * m.every))
		if len(m.known) != 0 {
			t.Fatalf("%d keys stay", len(m.known))
		}
	})
}

func TestHostKey(t *testing.T) {
	for address, want := range map[string]string{
		"8.8.8.8": "8.8.8.8/32", "::ffff:8.8.8.8": "8.8.8.8/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2002:0808:0808::1": "8.8.8.8/32", "64:ff9b::808:808": "8.8.8.8/32", "fe80::1%eth0": "fe80::/64",
	} {
		if got := hostKey(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if hostKey(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("no address has a key")
	}
}

// Who has a whole network of IPv6 addresses cannot connect with each of them as
// often as it likes, and keeps nobody else out.
func TestKnocksOfANetwork(t *testing.T) {
	k, now, in := newKnocks(), time.Unix(1000, 0), 0
	for i := range 65536 {
		if k.take(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&255)), now) {
			in++
		}
	}
	if in != groupBurst || len(k.hosts.known) > maxMetered {
		t.Errorf("%d of a network came in and %d are remembered, want %d and at most %d", in, len(k.hosts.known), groupBurst, maxMetered)
	}
	if !k.take(netip.MustParseAddr("2001:1234::1"), now) || !k.take(netip.MustParseAddr("8.8.8.8"), now) {
		t.Error("others are kept out")
	}
}

func BenchmarkKnocks(b *testing.B) {
	k, now := newKnocks(), time.Unix(1000, 0)
	hosts := make([]netip.Addr, 3*maxMetered)
	for i := range hosts {
		hosts[i] = netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := 0; b.Loop(); i++ {
		k.take(hosts[i%len(hosts)], now)
	}
}
