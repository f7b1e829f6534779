package places

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func from(s string) Origin { return OriginOf(netip.MustParseAddr(s)) }

func TestOriginOf(t *testing.T) {
	for _, test := range []struct{ ip, address, network string }{
		{"192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::/48"},
		{"fe80::1%eth0", "fe80::", "fe80::/48"},
	} {
		if o := from(test.ip); o.Address.String() != test.address || o.Network.String() != test.network {
			t.Errorf("%s: %+v", test.ip, o)
		}
	}
	if o := OriginOf(netip.Addr{}); o != (Origin{}) {
		t.Errorf("no address: %+v", o)
	}
}

// TestStory tells one day of a table of four places.
func TestStory(t *testing.T) {
	tab := New[string](Limits{Most: 4, PerAddress: 2, PerNetwork: 3, Counts: 1, Keeps: 2, Ranks: 3})
	enter := func(name, ip string, want ...string) {
		t.Helper()
		out, ok := tab.Enter(name, from(ip))
		if !ok || !slices.Equal(out, want) {
			t.Fatalf("%s from %s: %v out, %v; want %v", name, ip, out, ok, want)
		}
	}
	enter("a", "192.0.2.1")
	enter("b", "192.0.2.1")
	enter("c", "192.0.2.1", "a") // two an address
	enter("d", "192.0.2.2")
	enter("e", "192.0.2.3", "b") // three a network, and .1 has most of it
	tab.Rank("c", 1)             // does not count any more
	enter("f", "192.0.2.1")
	enter("g", "198.51.100.1", "d") // all taken: of 192.0.2, whose addresses have one each, .2 has had it longest
}

func TestNobodyWhoIsKeptMakesRoom(t *testing.T) {
	tab := New[int](Limits{Most: 2, Counts: 1, Keeps: 2, Ranks: 3})
	for i := range 2 {
		tab.Enter(i, from("192.0.2.1"))
		tab.Rank(i, 2)
	}
	if out, ok := tab.Enter(2, from("192.0.2.2")); ok || out != nil {
		t.Errorf("%v, %v", out, ok)
	}
	tab.Rank(1, 1)
	if out, ok := tab.Enter(2, from("192.0.2.2")); !ok || !slices.Equal(out, []int{1}) {
		t.Errorf("%v, %v", out, ok)
	}
	if out, ok := tab.Enter(2, from("192.0.2.2")); ok || out != nil {
		t.Errorf("twice: %v, %v", out, ok)
	}
	tab.Leave(2)
	tab.Leave(2)
	if tab.Len() != 1 {
		t.Errorf("%d are left", tab.Len())
	}
}

func TestExempt(t *testing.T) {
	tab := New[int](Limits{Most: 3, PerAddress: 1, PerNetwork: 1, Counts: 1, Keeps: 1, Ranks: 2})
	local := from("127.0.0.1")
	local.Exempt = true
	for i := range 3 {
		if out, ok := tab.Enter(i, local); !ok || out != nil {
			t.Fatalf("%v, %v", out, ok)
		}
	}
	if out, ok := tab.Enter(3, local); !ok || !slices.Equal(out, []int{0}) {
		t.Errorf("%v, %v", out, ok)
	}
}

// TestAgainstModel compares a table with one that looks at every entry.
func TestAgainstModel(t *testing.T) {
	ips := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1", "198.51.100.2", "203.0.113.9"}
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{Most: rapid.IntRange(1, 12).Draw(t, "most"), PerAddress: rapid.IntRange(0, 4).Draw(t, "address"),
			PerNetwork: rapid.IntRange(0, 6).Draw(t, "network"), Counts: rapid.IntRange(0, 3).Draw(t, "counts"), Keeps: rapid.IntRange(0, 3).Draw(t, "keeps"), Ranks: 3}
		tab, m := New[int](l), &model{limits: l}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				o := from(rapid.SampledFrom(ips).Draw(t, "from"))
				o.Exempt = rapid.IntRange(0, 9).Draw(t, "exempt") == 0
				next, full := tab.Next(o)
				out, ok := tab.Enter(i, o)
				if full != (len(out) > 0) || full && next != out[0] {
					t.Fatalf("%d would have made room (%v), %v did", next, full, out)
				}
				if err := m.enter(i, o, out, ok); err != "" {
					t.Fatalf("enter %d from %s: %v, %v: %s", i, o.Address, out, ok, err)
				}
			case 2:
				if len(m.list) > 0 {
					k, rank := rapid.IntRange(0, len(m.list)-1).Draw(t, "who"), rapid.IntRange(0, 2).Draw(t, "rank")
					e := m.list[k]
					tab.Rank(e.key, rank)
					if e.rank != rank {
						m.list = append(slices.Delete(m.list, k, k+1), modelEntry{e.key, e.origin, rank})
					}
				}
			case 3:
				if len(m.list) > 0 {
					k := rapid.IntRange(0, len(m.list)-1).Draw(t, "who")
					tab.Leave(m.list[k].key)
					m.list = slices.Delete(m.list, k, k+1)
				}
			}
			if tab.Len() != len(m.list) {
				t.Fatalf("%d entries, want %d", tab.Len(), len(m.list))
			}
		}
		for _, e := range m.list {
			tab.Leave(e.key)
		}
		for i := range tab.shelves {
			if s := &tab.shelves[i]; len(s.entries)+len(s.addresses)+len(s.networks.groups)+s.networks.top != 0 {
				t.Fatalf("rank %d is not empty: %+v", i, s)
			}
		}
	})
}

type modelEntry struct {
	key    int
	origin Origin
	rank   int
}

// model is a list of entries, the longest in their rank first.
type model struct {
	limits Limits
	list   []modelEntry
}

// enter says what is wrong with how a table gave a place.
func (m *model) enter(key int, o Origin, out []int, ok bool) string {
	counted := func(same func(Origin) bool) (n int) {
		for _, e := range m.list {
			if e.rank < m.limits.Counts && same(e.origin) {
				n++
			}
		}
		return n
	}
	sameAddress := func(p Origin) bool { return p.Address == o.Address }
	sameNetwork := func(p Origin) bool { return p.Network == o.Network }
	if !o.Exempt {
		var err string
		if m.limits.PerAddress > 0 && counted(sameAddress) >= m.limits.PerAddress {
			out, err = m.leave(out, m.limits.Counts, sameAddress)
		} else if m.limits.PerNetwork > 0 && counted(sameNetwork) >= m.limits.PerNetwork {
			out, err = m.leave(out, m.limits.Counts, sameNetwork)
		}
		if err != "" {
			return err
		}
	}
	if len(m.list) >= m.limits.Most {
		if !slices.ContainsFunc(m.list, func(e modelEntry) bool { return e.rank < m.limits.Keeps }) {
			if ok || len(out) > 0 {
				return "nobody had to make room"
			}
			return ""
		}
		var err string
		if out, err = m.leave(out, m.limits.Keeps, func(Origin) bool { return true }); err != "" {
			return err
		}
	}
	if !ok || len(out) > 0 {
		return "there was room"
	}
	m.list = append(m.list, modelEntry{key, o, 0})
	return ""
}

// leave checks that the first of out is one that had to go: of the lowest rank
// below a bound, of the largest network and address there, and the oldest of its
// address.
func (m *model) leave(out []int, below int, of func(Origin) bool) ([]int, string) {
	if len(out) == 0 {
		return nil, "nobody made room"
	}
	at := slices.IndexFunc(m.list, func(e modelEntry) bool { return e.key == out[0] })
	if at < 0 || !of(m.list[at].origin) || m.list[at].rank >= below {
		return nil, "the wrong one made room"
	}
	gone := m.list[at]
	networks, addresses := make(map[netip.Prefix]int), make(map[netip.Addr]int)
	for i, e := range m.list {
		if !of(e.origin) {
			continue
		}
		if e.rank < gone.rank || e.rank == gone.rank && e.origin.Address == gone.origin.Address && i < at {
			return nil, "another had a lower rank or was older"
		}
		if e.rank == gone.rank {
			networks[e.origin.Network]++
			addresses[e.origin.Address]++
		}
	}
	for network, n := range networks {
		if n > networks[gone.origin.Network] {
			return nil, "a larger network was there"
		}
		for address, k := range addresses {
			if network == gone.origin.Network && network.Contains(address) && k > addresses[gone.origin.Address] {
				return nil, "a larger address was there"
			}
		}
	}
	m.list = slices.Delete(m.list, at, at+1)
	return out[1:], ""
}

func BenchmarkEnterFull(b *testing.B) {
	tab := New[int](Limits{Most: 4096, PerAddress: 256, PerNetwork: 1024, Counts: 2, Keeps: 2, Ranks: 3})
	for i := range b.N {
		tab.Enter(i, OriginOf(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})))
	}
}
