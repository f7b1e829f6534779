package p2p

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"lode/consensus"
	"lode/mempool"
)

// seeded gives random numbers, and tells the seed if the test fails. The
// environment's LODE_TEST_SEED repeats them; what the nodes themselves draw, and
// which goroutine comes first, is not repeated.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("LODE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("LODE_TEST_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// lie is what a station that lies does in place of giving a message to the
// connection c. It may be called for several connections at a time.
type lie func(c Conn, command string, payload []byte) error

// liarConn is the connection of such a station.
type liarConn struct {
	Conn
	lie lie
}

// WriteMessage implements Conn.
func (c liarConn) WriteMessage(command string, payload []byte) error {
	return c.lie(c.Conn, command, payload)
}

// says has the station's end of a connection say what the station says.
func (s *station) says(c Conn) Conn {
	if s.lie == nil {
		return c
	}
	return liarConn{c, s.lie}
}

// network is stations with links between them, each of which one side dials
// again and again.
type network struct {
	w        *world
	stations []*station
	links    map[*station][]*station // who dials whom
	degree   map[*station]int
}

// network links stations at random, each to about degree others. Those of one
// group are on a circle, so that the group hangs together by itself, even
// without any one of them.
func (w *world) network(random *rand.Rand, degree int, groups ...[]*station) *network {
	w.t.Helper()
	n := &network{w: w, links: make(map[*station][]*station), degree: make(map[*station]int)}
	for _, group := range groups {
		circle := slices.Clone(group)
		random.Shuffle(len(circle), func(i, j int) { circle[i], circle[j] = circle[j], circle[i] })
		for i, s := range circle {
			n.link(s, circle[(i+1)%len(circle)])
		}
		n.stations = append(n.stations, group...)
	}
	for _, s := range n.stations {
		for tries := 0; n.degree[s] < degree && tries < 100; tries++ {
			if other := n.stations[random.IntN(len(n.stations))]; n.degree[other] < degree {
				n.link(s, other)
			}
		}
	}
	for _, s := range n.stations {
		n.dial(s)
	}
	n.awaitLinks(n.stations...)
	return n
}

// link notes that a is to dial b, or does nothing if they are linked.
func (n *network) link(a, b *station) {
	if a == b || slices.Contains(n.links[a], b) || slices.Contains(n.links[b], a) {
		return
	}
	n.links[a] = append(n.links[a], b)
	n.degree[a]++
	n.degree[b]++
}

// dial has a station that has just begun dial those that it is linked to.
func (n *network) dial(s *station) {
	for _, other := range n.links[s] {
		if err := s.AddNode(other.url); err != nil {
			n.w.t.Fatal(err)
		}
	}
}

// awaitLinks waits until all links of stations are open.
func (n *network) awaitLinks(stations ...*station) {
	n.w.t.Helper()
	n.w.until("all links are open", func() bool {
		for _, s := range stations {
			if in, out := s.ConnectionCount(); in+out != n.degree[s] {
				return false
			}
		}
		return true
	})
}

// kill ends a station. Nobody reaches it from here on.
func (w *world) kill(s *station) {
	w.mu.Lock()
	delete(w.stations, s.url)
	w.mu.Unlock()
	s.stop()
}

// crash ends a station as if its process were killed: all that it begins with
// again is what is on disk now.
func (w *world) crash(s *station) {
	w.t.Helper()
	synctest.Wait() // nobody is writing
	now := filepath.Join(w.t.TempDir(), "now")
	if err := os.CopyFS(now, os.DirFS(s.dir)); err != nil {
		w.t.Fatal(err)
	}
	w.kill(s)
	s.dir = now
}

// wipe ends a station and takes away all that it has.
func (w *world) wipe(s *station) {
	w.t.Helper()
	w.kill(s)
	if err := os.RemoveAll(s.dir); err != nil {
		w.t.Fatal(err)
	}
}

// mineHere has a station find a block with what its pool gives, and take it.
func (s *station) mineHere(w *world, salt byte) *consensus.Block {
	s.t.Helper()
	rules := &w.spec.Rules
	chosen, err := s.pool.Select(rules.MaxBlockWeight-4000, rules.MaxBlockSigopsCost-400)
	if err != nil {
		s.t.Fatal(err)
	}
	var txs []*consensus.Tx
	for _, e := range chosen.Txs {
		txs = append(txs, e.Tx)
	}
	block := mineOn(w.spec, chosen.Tip, salt, txs...)
	s.feed(block)
	return block
}

// sameCoins makes sure that all stations are at one tip and have the same coins
// there.
func (w *world) sameCoins(stations ...*station) {
	w.t.Helper()
	for i, hash := range []string{"hash_serialized_3", "muhash"} {
		seen := make(map[string][]string)
		for _, s := range stations {
			stats := s.ledger.UTXOStats
			if i == 1 {
				stats = s.ledger.UTXOMuHash
			}
			set, err := stats(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			what := fmt.Sprintf("%d coins of %d sat at %s: %s", set.Coins, set.Total, set.Tip, set.Hash)
			seen[what] = append(seen[what], s.name)
		}
		if len(seen) != 1 {
			w.t.Errorf("%s: %v", hash, seen)
		}
	}
}

// nobodyBlamed makes sure that no station has warned of another.
func (w *world) nobodyBlamed() {
	w.t.Helper()
	if lines := w.complaints.lines(); len(lines) > 0 {
		w.t.Errorf("%d warnings, the first %s", len(lines), lines[0])
	}
}

// unconfirmed lists the transactions of a station's pool.
func (s *station) unconfirmed() map[consensus.Hash]*mempool.Info {
	list := make(map[consensus.Hash]*mempool.Info)
	for _, info := range s.pool.All() {
		list[info.TxID] = &info
	}
	return list
}

// everywhere waits until the pools of all stations have a transaction.
func (w *world) everywhere(what string, stations []*station, txs ...*consensus.Tx) {
	w.t.Helper()
	w.until(what, func() bool {
		for _, s := range stations {
			for _, tx := range txs {
				if !s.has(tx) {
					return false
				}
			}
		}
		return true
	})
}
