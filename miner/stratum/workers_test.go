package stratum

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"lode/internal/places"
)

// nameless is a connection from an address of which only that matters.
func nameless(ip string, cuts *int) *conn {
	return &conn{origin: places.OriginOf(netip.MustParseAddr(ip)), cut: func(error) { *cuts++ }}
}

// TestNamesWithoutWork has 157 connections authorize 64 names each, from as many
// networks, from one, or from one address.
func TestNamesWithoutWork(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		name string
		from func(i int) string
		most int // names
	}{
		{"networks", func(i int) string { return fmt.Sprintf("10.1.%d.1", i) }, maxWorkers},
		{"one network", func(i int) string { return fmt.Sprintf("10.1.1.%d", i) }, maxNewNamesNetwork},
		{"one address", func(int) string { return "10.1.1.1" }, maxNewNames},
	} {
		t.Run(test.name, func(t *testing.T) {
			ws, cuts := newWorkers(maxWorkers, 100), 0
			old := nameless("192.0.2.1", &cuts)
			veteran, _ := ws.join("veteran", "veteran", old, now)
			veteran.accepted(1, 50, now)
			ws.prove(veteran, old)
			for i := range 157 {
				c := nameless(test.from(i), &cuts)
				for k := range 64 {
					w, out := ws.join(fmt.Sprint(i, ".", k), "x", c, now)
					if w == nil {
						t.Fatalf("connection %d: no place for name %d", i, k)
					}
					cutUnproven(out)
				}
			}
			if n := len(ws.byName); n > test.most+1 || n != ws.places.Len() || ws.byName["veteran"] == nil {
				t.Errorf("%d names, %d places, want at most %d", n, ws.places.Len(), test.most+1)
			}
			if cuts == 0 {
				t.Error("no connection was cut whose names made room")
			}
			honest := nameless("192.0.2.2", &cuts)
			w, _ := ws.join("honest", "honest", honest, now)
			if w == nil {
				t.Fatal("no place for an honest name")
			}
			w.accepted(1, 50, now)
			ws.prove(w, honest)
			if ws.byName["honest"] != w || ws.byName["veteran"] != veteran {
				t.Error("who works has lost a place to names without work")
			}
		})
	}
}

// TestNameComesBack has a name lose its place on a connection that works under
// another, and hand in a share.
func TestNameComesBack(t *testing.T) {
	now, cuts := time.Unix(1_700_000_000, 0), 0
	ws := newWorkers(2, 100)
	c := nameless("192.0.2.1", &cuts)
	c.rank.Store(connProven)
	w, _ := ws.join("slow", "slow", c, now)
	other := nameless("192.0.2.2", &cuts)
	for _, name := range []string{"a", "b", "c"} {
		_, out := ws.join(name, name, other, now)
		cutUnproven(out)
	}
	if ws.byName["slow"] != nil && ws.byName["a"] != nil {
		t.Fatal("three names have two places")
	}
	w.accepted(1, 100, now)
	ws.prove(w, c)
	if ws.byName["slow"] != w || !w.kept.Load() {
		t.Fatal("a share does not bring it back")
	}
	other.rank.Store(connProven)
	d, _ := ws.join("d", "d", other, now)
	d.accepted(1, 100, now)
	ws.prove(d, other)
	if w, _ := ws.join("e", "e", other, now); w != nil {
		t.Error("who has proven work makes room for a name")
	}
	ws.leave(w, c)
	if e, _ := ws.join("e", "e", other, now); e == nil || ws.gone.Accepted != 1 {
		t.Errorf("who has left makes no room, or its shares are forgotten: %+v", ws.gone)
	}
	ws.leave(d, other)
	if ws.byName["d"] != d {
		t.Error("who has worked is forgotten when it leaves")
	}
}

// TestProvenForAWhile takes from a connection what it has proven when no share comes
// any more.
func TestProvenForAWhile(t *testing.T) {
	a, _ := open(t, t.TempDir(), &activeChain{})
	s := &Server{accounts: a, places: places.New[*conn](connPlaces(&Config{MaxConnections: 1, MaxPerAddress: 1})), conns: make(map[*conn]struct{})}
	cuts := 0
	enter := func() (*conn, error) {
		c := nameless("192.0.2.1", &cuts)
		c.s = s
		return c, s.enter(c)
	}
	c, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	c.credit(1, a.least()-1, now)
	if c.rank.Load() == connProven {
		t.Error("proven by less than the least")
	}
	c.credit(1, 1, now)
	if _, err := enter(); err == nil {
		t.Error("who works has made room")
	}
	c.review(now.Add(idleTimeout))
	if _, err := enter(); err == nil {
		t.Error("and after a while, too")
	}
	c.review(now.Add(idleTimeout + time.Second))
	if _, err := enter(); err != nil || cuts != 1 {
		t.Errorf("%v, %d cut: it keeps its place for ever", err, cuts)
	}
}
