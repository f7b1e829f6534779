package p2p

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// ipURL is one of many addresses in one of many network groups.
func ipURL(group, i int) string {
	return fmt.Sprintf("ws://%d.%d.%d.%d:9555/p2p", 1+group/256, group%256, i/256, i%256)
}

func buckets(t table, in func(*address) bool) map[int]bool {
	found := make(map[int]bool)
	for place, a := range t {
		if a != nil && in(a) {
			found[place/bucketSize] = true
		}
	}
	return found
}

func anyAddress(*address) bool { return true }

// check looks for a book whose parts do not agree.
func (b *addrBook) check(t interface{ Fatalf(string, ...any) }) {
	inNew, inTried := make(map[*address]int), make(map[*address]int)
	for place, a := range b.fresh {
		if a != nil {
			if inNew[a]++; !slices.Contains(a.places, place) {
				t.Fatalf("%s does not know that it is at %d", a.URL, place)
			}
		}
	}
	for place, a := range b.tried {
		if a != nil {
			if inTried[a]++; b.key.triedPlace(a) != place {
				t.Fatalf("%s is not where it belongs", a.URL)
			}
		}
	}
	for url, a := range b.byURL {
		n, m := inNew[a], inTried[a]
		if a.URL != url || a.InTried != (m == 1) || m > 1 || n+m == 0 || n > 0 && m > 0 || n > maxPlaces || n != len(a.places) {
			t.Fatalf("%s: %d places in new, %d in tried, %v", url, n, m, a.InTried)
		}
		delete(inNew, a)
		delete(inTried, a)
	}
	if len(inNew)+len(inTried) > 0 || len(b.byURL) > maxBook || len(b.collisions) > maxCollisions {
		t.Fatalf("%d addresses are unknown, %d known, %d collisions", len(inNew)+len(inTried), len(b.byURL), len(b.collisions))
	}
}

// However many addresses come from however many peers of few network groups,
// they reach few buckets, and an honest address is found soon.
func TestBookUnderFlood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, _ := openBook("", space{})
		attackers := rapid.IntRange(1, 4).Draw(t, "source groups of the attacker")
		names := rapid.Bool().Draw(t, "names")
		for i := range 3000 {
			url := ipURL(i%1500, i)
			if names {
				url = fmt.Sprintf("wss://h%d.example.org/p2p", i)
			}
			b.learn(url, 9, time.Now(), fmt.Sprint("attacker ", i%attackers))
		}
		b.check(t)
		if n := len(buckets(b.fresh, anyAddress)); n > attackers*newPerSource {
			t.Fatalf("%d source groups fill %d buckets", attackers, n)
		}
		// One that answers in each group of a hundred sources, told once.
		var honest []string
		for i := range 100 {
			url := fmt.Sprintf("ws://200.%d.7.7:9555/p2p", i)
			if b.learn(url, 9, time.Now(), fmt.Sprint("honest ", i)) {
				honest = append(honest, url)
			}
		}
		if len(honest) < 40 { // all but those that fall on a full bucket, a quarter at most
			t.Fatalf("%d of 100 honest addresses have found a place", len(honest))
		}
		picks, found := 0, 0
		for ; picks < 200 && found == 0; picks++ {
			if a, ok := b.pick(time.Now(), anyAddress); ok && slices.Contains(honest, a.URL) {
				found++
			}
		}
		if found == 0 {
			t.Fatalf("no honest address in %d picks", picks)
		}
	})
}

// The same for those that answer: an attacker with many nodes in few network
// groups, or with many names, has a small part of the tried table.
func TestTriedTableUnderFlood(t *testing.T) {
	b, _ := openBook("", space{})
	answer := func(url, source string) {
		b.learn(url, 9, time.Now(), source)
		b.good(url, 9, time.Now())
	}
	for i := range 5000 {
		answer(ipURL(i%2, i), fmt.Sprint("source ", i))
	}
	b.check(t)
	if n := len(buckets(b.tried, anyAddress)); n > 2*triedPerGroup {
		t.Errorf("two network groups fill %d buckets", n)
	}
	for i := range 5000 {
		answer(fmt.Sprintf("wss://h.attacker%d.example/p2p", i), fmt.Sprint("source ", i))
	}
	b.check(t)
	if n := len(buckets(b.tried, func(a *address) bool { return a.name != "" })); n > nameGroups*triedPerGroup {
		t.Errorf("names fill %d buckets", n)
	}
}

// Whatever happens to a book, its parts agree, also after it was saved and read.
func TestBookAgrees(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	rapid.Check(t, func(t *rapid.T) {
		b := newBook()
		b.file = file
		now := time.Now()
		groups := rapid.IntRange(1, 40).Draw(t, "groups")
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			url := ipURL(rand.IntN(groups), rand.IntN(50))
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2:
				b.learn(url, 9, now, fmt.Sprint(rand.IntN(20)))
			case 3:
				b.good(url, 9, now)
			case 4:
				b.ended(url, now, true, now)
			case 5:
				b.forget(url)
			case 6:
				now = now.Add(time.Hour)
				b.toTest(now, anyAddress)
			}
		}
		b.check(t)
		b.dirty = true
		if err := b.save(); err != nil {
			t.Fatal(err)
		}
		again, err := openBook(file, space{})
		if err != nil {
			t.Fatal(err)
		}
		again.check(t)
		if len(buckets(again.tried, anyAddress)) != len(buckets(b.tried, anyAddress)) || again.key != b.key {
			t.Fatalf("another book was read than was saved")
		}
	})
}

// colliding gives a book with an address in the tried table and another that
// wants its place.
func colliding(now time.Time) (b *addrBook, old, other string) {
	b = newBook()
	old = ipURL(1, 1)
	b.learn(old, 9, now, "a")
	b.good(old, 9, now)
	place := b.key.triedPlace(b.byURL[old])
	for i := 2; ; i++ {
		other = ipURL(1, i)
		if b.learn(other, 9, now, "b"); b.byURL[other] != nil && b.key.triedPlace(b.byURL[other]) == place {
			b.good(other, 9, now)
			return b, old, other
		}
		b.forget(other)
	}
}

// Who has a place in the tried table is tried before it is given to another.
func TestTriedBeforeEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, old, other := colliding(time.Now())
		if !b.byURL[old].InTried || b.byURL[other].InTried || !b.collisions[other] {
			t.Fatal("the newcomer has not to wait")
		}
		b.toTest(time.Now(), anyAddress)
		if !b.byURL[old].InTried || len(b.collisions) != 0 {
			t.Error("an address that answered just now had to go")
		}

		b, old, other = colliding(time.Now())
		time.Sleep(stillGood + time.Minute) // virtual
		b.good(other, 9, time.Now())
		if a, ok := b.toTest(time.Now(), anyAddress); !ok || a.URL != old {
			t.Fatalf("%s is to be tried, want %s", a.URL, old)
		}
		begun := time.Now()
		b.good(old, 9, time.Now())
		b.ended(old, begun, true, time.Now())
		b.toTest(time.Now(), anyAddress)
		if !b.byURL[old].InTried || b.byURL[other].InTried {
			t.Error("an address that answered the test had to go")
		}

		b, old, other = colliding(time.Now())
		time.Sleep(stillGood + time.Minute) // virtual
		b.ended(old, time.Now(), true, time.Now())
		b.toTest(time.Now(), anyAddress)
		if !b.byURL[old].InTried {
			t.Error("no time to answer")
		}
		time.Sleep(2 * time.Minute) // virtual
		b.toTest(time.Now(), anyAddress)
		if b.byURL[old].InTried || !b.byURL[other].InTried {
			t.Error("an address that failed the test has kept its place")
		}
		b.check(t)
	})
}

func TestBookBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, online := range []bool{true, false} {
			b, _ := openBook("", space{})
			const url = "ws://dead/p2p"
			b.learn(url, 0, time.Now(), "x")
			tries := 0
			for range 24 * 60 {
				if a, ok := b.pick(time.Now(), anyAddress); ok {
					tries++
					b.ended(a.URL, time.Now(), online, time.Now())
				}
				time.Sleep(time.Minute) // virtual
			}
			if online && (tries != maxFailures || len(b.byURL) != 0) {
				t.Errorf("%d tries in a day, %d addresses left", tries, len(b.byURL))
			}
			if !online && (tries < 700 || len(b.byURL) != 1) {
				t.Errorf("%d tries in a day without a line, %d addresses left", tries, len(b.byURL))
			}
		}
	})
}

// A book full of lies does not keep a node from its operator's seeds, and a seed
// is never forgotten.
func TestSeedsStay(t *testing.T) {
	b := newBook()
	for i := range 5000 {
		b.learn(ipURL(i%500, i), 9, time.Now(), fmt.Sprint(i))
	}
	const seed = "ws://seed.example:1/p2p"
	b.addSeed(seed)
	picks := 1
	for a, _ := b.pick(time.Now(), anyAddress); a.URL != seed; a, _ = b.pick(time.Now(), anyAddress) {
		picks++
	}
	if picks > 300 {
		t.Errorf("%d picks before the seed", picks)
	}
	for range 2 * maxFailures {
		b.ended(seed, time.Now(), true, time.Now())
	}
	if _, ok := b.pick(time.Now().Add(maxRetry), func(a *address) bool { return a.URL == seed }); !ok {
		t.Error("the seed is forgotten")
	}
	b.good(seed, 9, time.Now())
	if a := b.byURL[seed]; a == nil || !a.InTried {
		t.Error("a seed that answers is not told others")
	}
	b.check(t)
}

func TestBookIsSaved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	b, err := openBook(file, space{})
	if err != nil {
		t.Fatal(err)
	}
	b.learn("ws://1.2.3.4:5/p2p", 9, time.Now(), "x")
	b.good("ws://1.2.3.4:5/p2p", 9, time.Now())
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := openBook(file, space{})
	if err != nil || len(again.byURL) != 1 || !again.byURL["ws://1.2.3.4:5/p2p"].InTried {
		t.Errorf("read again: %v, %v", again.byURL, err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	key := strings.Repeat("ab", 32)
	for _, bad := range []string{"", "{", `{"version":1}`, `{"version":2,"key":"ab"}`, `{"version":2,"key":"` + key + `","addresses":"x"}`} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := openBook(file, (space{})); err == nil || b == nil || len(b.byURL) != 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	doc := `{"version":2,"key":"` + key + `","addresses":[null,{"url":"http://x"},{"url":"ws://no:1/p2p","failures":-1},{"url":"ws://ok:1/p2p"},{"url":"ws://ok:1/p2p"}]}`
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err = openBook(file, space{})
	if err != nil || len(b.byURL) != 1 {
		t.Errorf("%v, %v", b.byURL, err)
	}
	b.check(t)
}

func TestNetGroup(t *testing.T) {
	for _, c := range []struct{ ip, want string }{
		{"8.8.4.4", "8.8.0.0/16"},
		{"::ffff:8.8.4.4", "8.8.0.0/16"},
		{"2002:808:404::1", "8.8.0.0/16"},                      // 6to4
		{"64:ff9b::808:404", "8.8.0.0/16"},                     // NAT64
		{"2001:0:4136:e378:8000:63bf:f7f7:fbfb", "8.8.0.0/16"}, // Teredo
		{"2a00:1450:4001:81b::200e", "2a00:1450::/32"},
		{"2001:470:1f0b:1::2", "2001:470:1000::/36"},
		{"fe80::1%eth0", "fe80::/32"},
	} {
		if got := netGroup(netip.MustParseAddr(c.ip)); got != c.want {
			t.Errorf("%s is in %s, want %s", c.ip, got, c.want)
		}
	}
	if got := netGroup(netip.Addr{}); got != "unknown" {
		t.Errorf("no address is in %s", got)
	}
	for _, c := range []struct{ url, want string }{
		{"ws://8.8.4.4:1/p2p", "8.8.0.0/16"}, {"tcp://[2a00:1450::1]:1", "2a00:1450::/32"}, {"ws://10.0.0.1/p2p", ""},
		{"ws://node1:1/p2p", ""}, {"wss://a.b.example.org/p2p", "example.org"}, {"wss://example.org./p2p", "example.org"},
	} {
		ip, name := hostInURL(c.url)
		if got := (space{}).slotGroup(ip, name); got != c.want {
			t.Errorf("%s takes the slot of %q, want %q", c.url, got, c.want)
		}
	}
}

// A new node knows one seed and finds the others through it.
func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var stations []*station
		for i := range 6 {
			name := string(rune('a' + i))
			stations = append(stations, w.add(name, func(c *Config) {
				c.Advertise = []string{"ws://" + name + ":1"}
				c.Outbound = 3
				if i > 0 {
					c.Seeds = []string{"ws://a:1"}
				}
			}))
		}
		w.until("everybody has three outbound peers", func() bool {
			for _, s := range stations {
				if s.count(kindOutbound) != 3 {
					return false
				}
			}
			return true
		})
		for _, s := range stations {
			var urls []string
			for _, p := range s.Peers() {
				if p.Kind == string(kindOutbound) {
					urls = append(urls, p.URL)
				}
			}
			slices.Sort(urls)
			if len(slices.Compact(urls)) != 3 || slices.Contains(urls, s.url) {
				t.Errorf("%s dialled %v", s.name, urls)
			}
		}
	})
}

func TestGetAddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		s.book.learn("ws://8.8.8.8:1/p2p", 9, time.Now(), "x")
		s.book.learn("ws://10.0.0.77:1/p2p", 9, time.Now(), "x")
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(msgEmpty(cmdGetAddr))
		got := a.hear(cmdAddrV2).(msgAddrV2)
		if len(got) != 1 || string(got[0].addr) != "ws://8.8.8.8:1/p2p" || got[0].network != networkURL {
			t.Errorf("told %v: a stranger must hear of public addresses only", got)
		}
		a.say(msgEmpty(cmdGetAddr))
		if !a.silentOn(cmdAddrV2) {
			t.Error("answered twice")
		}
	})
}

func TestStrangersCannotPointInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(msgAddrV2{
			wireAddr("ws://127.0.0.1:6379/p2p", 9, time.Now()), wireAddr("ws://192.168.1.1/p2p", 9, time.Now()),
			wireAddr("http://8.8.8.8/", 9, time.Now()), wireAddr("ws://8.8.8.8:1/p2p", 9, time.Now()),
			{network: 1, addr: []byte{8, 8, 4, 4}, port: 8333},
		})
		w.until("learnt", func() bool { return s.Peers()[0].AddrsProcessed == 5 })
		list := s.book.sample(10)
		slices.SortFunc(list, func(a, b address) int { return strings.Compare(a.URL, b.URL) })
		if len(list) != 2 || list[0].URL != "tcp://8.8.4.4:8333" || list[1].URL != "ws://8.8.8.8:1/p2p" {
			t.Errorf("learnt %v", list)
		}
	})
}

func TestAddedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(a, b)
		if err := a.AddNode(b.url); err == nil {
			t.Error("added twice")
		}
		if got := a.AddedNodes(); !slices.Equal(got, []AddedNode{{b.url, b.url}}) {
			t.Errorf("added: %v", got)
		}
		if err := a.RemoveNode(b.url); err != nil {
			t.Error(err)
		}
		if err := a.RemoveNode(b.url); err == nil {
			t.Error("removed twice")
		}
		time.Sleep(2 * time.Minute) // virtual
		if len(a.Peers()) != 1 {
			t.Error("the connection has ended with it")
		}
		if err := a.Connect(t.Context(), "ws://b:1"); err != nil || len(a.Peers()) != 1 {
			t.Errorf("connected twice: %v", err)
		}
		if err := a.Disconnect(0, b.url); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute) // virtual
		if len(a.Peers()) != 0 {
			t.Error("dialled after it was removed")
		}
		if err := a.Connect(t.Context(), "ws://b:1"); err != nil {
			t.Error(err)
		}
		w.until("connected", func() bool { in, _ := b.ConnectionCount(); return in == 1 })
		if err := a.AddNode("ws://b:1"); err != nil {
			t.Error(err)
		}
		if got := a.AddedNodes(); !slices.Equal(got, []AddedNode{{"ws://b:1", b.url}}) {
			t.Errorf("added: %v", got)
		}
		time.Sleep(2 * time.Minute) // virtual
		if len(a.Peers()) != 1 {
			t.Error("dialled although it was connected")
		}
		if err := a.Disconnect(0, b.url); err != nil {
			t.Error(err)
		}
		w.until("connected again", func() bool { in, _ := b.ConnectionCount(); return in == 1 })
		if err := a.RemoveNode(b.url); err != nil {
			t.Error(err)
		}
		if err := a.Disconnect(0, b.url); err != nil {
			t.Error(err)
		}
		w.until("disconnected again", func() bool { return len(a.Peers()) == 0 })
		if err := a.Disconnect(99, ""); err == nil {
			t.Error("disconnected nobody")
		}
		if err := a.Connect(t.Context(), "ws://nobody:1"); err == nil {
			t.Error("connected to nobody")
		}
	})
}

// What can be drawn at random is what the book holds, whatever came, and a sample
// has no address twice.
func TestBookIsListed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, now := newBook(), time.Now()
		for range 300 {
			url := ipURL(rapid.IntRange(0, 3).Draw(t, "group"), rapid.IntRange(0, 30).Draw(t, "host"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				b.learn(url, 9, now, "source")
			case 2:
				b.good(url, 9, now)
			case 3:
				b.forget(url)
			case 4:
				b.sample(3)
			}
			if len(b.list) != len(b.byURL) {
				t.Fatalf("%d are listed of %d", len(b.list), len(b.byURL))
			}
			for i, a := range b.list {
				if a.index != i || b.byURL[a.URL] != a {
					t.Fatalf("%s is at %d, says %d", a.URL, i, a.index)
				}
			}
		}
		seen := make(map[string]bool)
		for _, a := range b.sample(maxAddrs) {
			if seen[a.URL] {
				t.Fatalf("%s is told twice", a.URL)
			}
			seen[a.URL] = true
		}
	})
}

func BenchmarkSample(b *testing.B) {
	book, now := newBook(), time.Now()
	for i := 0; len(book.list) < maxBook/2 && i < 10*maxBook; i++ {
		book.learn(ipURL(i%500, i/500), 9, now, "source "+ipURL(i%200, 1))
	}
	for b.Loop() {
		book.sample(maxAddrs)
	}
}

func BenchmarkDiscourage(b *testing.B) {
	var bans banList
	for i := 0; b.Loop(); i++ {
		bans.discourage(netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
}
