package stratum

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"lode/internal/places"
)

// Shares is what became of the shares of a worker.
type Shares struct {
	Accepted, Stale, Duplicate, Low, Invalid uint64
}

// worker is one name under which shares come: address or address.rig. It may have
// several connections.
type worker struct {
	name, payee string

	kept  atomic.Bool // it has proven work and cannot lose its place; changed under workers.mu
	conns int         // guarded by workers.mu
	first *conn       // guarded by workers.mu: whose name it was first; nil once that has left

	mu     sync.Mutex // guards what follows
	shares Shares
	score  uint64    // of accepted shares
	last   time.Time // of the last accepted share; zero before
	rate   decay     // hashes
}

// workers are those who are connected, and who were. A name that loses its place
// is only not listed any more: with its next share it comes back.
type workers struct {
	least uint64 // score that proves work

	mu     sync.Mutex // guards what follows
	places *places.Table[string]
	byName map[string]*worker
	gone   Shares // of those who are forgotten
	nobody uint64 // names that were refused, and shares under such
}

const (
	maxWorkers = 10_000
	maxName    = 128 // characters
	// Names that have proven nothing yet: as many as an address may have connections
	// that have not, and a network four times as many.
	maxNewNames        = 256
	maxNewNamesNetwork = 1024
)

// The ranks of a name.
const (
	nameUnproven = iota // no share was accepted
	nameTried           // less than the least, or who had proven work has left
	nameProven
	nameRanks
)

func newWorkers(most int, least uint64) workers {
	return workers{least: least, byName: make(map[string]*worker), places: places.New[string](places.Limits{
		Most: most, PerAddress: maxNewNames, PerNetwork: maxNewNamesNetwork, Counts: nameTried, Keeps: nameProven, Ranks: nameRanks,
	})}
}

// join finds or makes a worker; nil if all places are those of others who work.
// Who has made room is in out.
func (ws *workers) join(name, payee string, c *conn, now time.Time) (w *worker, out []*conn) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w = ws.byName[name]; w == nil {
		var ok bool
		if out, ok = ws.enter(name, c); !ok {
			return nil, out
		}
		w = &worker{name: name, payee: payee, first: c}
		w.rate.begin(now)
		ws.byName[name] = w
	}
	if w.first == nil {
		w.first = c
	}
	w.conns++
	return w, out
}

// enter gives a name a place, and says whose names have made room for it. The
// caller holds mu.
func (ws *workers) enter(name string, c *conn) (out []*conn, ok bool) {
	lost, ok := ws.places.Enter(name, c.origin)
	for _, other := range lost {
		w := ws.byName[other]
		if w.first != nil {
			out = append(out, w.first)
		}
		ws.forget(w)
	}
	return out, ok
}

// forget takes a worker off the list. The caller holds mu.
func (ws *workers) forget(w *worker) {
	delete(ws.byName, w.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	ws.gone.add(w.shares)
	w.shares = Shares{} // if it comes back, it does not count twice
}

// prove is for a worker with an accepted share, which has a place again if it had
// lost it and there is one.
func (ws *workers) prove(w *worker, c *conn) (out []*conn) {
	if w.kept.Load() {
		return nil
	}
	w.mu.Lock()
	score := w.score
	w.mu.Unlock()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch ws.byName[w.name] {
	case nil:
		var ok bool
		if out, ok = ws.enter(w.name, c); !ok {
			return out
		}
		ws.byName[w.name] = w
	case w:
	default:
		return nil // another connection has brought the name back
	}
	if score >= ws.least {
		w.kept.Store(true)
		ws.places.Rank(w.name, nameProven)
	} else {
		ws.places.Rank(w.name, nameTried)
	}
	return out
}

// leave is for a connection that had w among its names.
func (ws *workers) leave(w *worker, c *conn) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.first == c {
		w.first = nil
	}
	if w.conns--; w.conns > 0 || ws.byName[w.name] != w {
		return
	}
	w.mu.Lock()
	worked := w.score > 0
	w.mu.Unlock()
	w.kept.Store(false)
	if worked {
		ws.places.Rank(w.name, nameTried)
		return
	}
	ws.places.Leave(w.name)
	ws.forget(w)
}

// refuse counts a name that is no worker's.
func (ws *workers) refuse() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.nobody++
}

// total is the hash rate and the shares of all.
func (ws *workers) total(now time.Time) (rate float64, t Shares) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	t = ws.gone
	for _, w := range ws.byName {
		w.mu.Lock()
		rate += w.rate.perSecond(now)
		t.add(w.shares)
		w.mu.Unlock()
	}
	return rate, t
}

func (s *Shares) add(t Shares) {
	s.Accepted += t.Accepted
	s.Stale += t.Stale
	s.Duplicate += t.Duplicate
	s.Low += t.Low
	s.Invalid += t.Invalid
}

// accepted counts a share that stands for so many hashes.
func (w *worker) accepted(hashes float64, score uint64, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shares.Accepted++
	w.score = addUpTo(w.score, score)
	w.last = now
	w.rate.add(hashes, now)
}

func addUpTo(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// refused counts one that was not accepted.
func (w *worker) refused(e *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Code {
	case codeNoJob:
		w.shares.Stale++
	case codeDuplicate:
		w.shares.Duplicate++
	case codeLowDifficulty:
		w.shares.Low++
	default:
		w.shares.Invalid++
	}
}

// decay is a rate over the last minutes, of which the past counts less and less.
type decay struct {
	sum         float64
	began, last time.Time
}

const decayTime = 5 * time.Minute

func (d *decay) begin(now time.Time) { d.began, d.last = now, now }

func (d *decay) add(n float64, now time.Time) {
	d.sum = d.sum*d.kept(now) + n
	d.last = now
}

func (d *decay) kept(now time.Time) float64 {
	return math.Exp(-max(0, now.Sub(d.last)).Seconds() / decayTime.Seconds())
}

// perSecond is the rate. What has lasted for less than a while is not taken for
// more than it was.
func (d *decay) perSecond(now time.Time) float64 {
	seen := decayTime.Seconds() * -math.Expm1(-now.Sub(d.began).Seconds()/decayTime.Seconds())
	return d.sum * d.kept(now) / max(seen, 1)
}

// bucket is a budget that fills up again with time.
type bucket struct {
	mu              sync.Mutex // guards what follows
	level           float64
	size, perSecond float64
	last            time.Time
}

func (b *bucket) set(size, perSecond float64) { b.size, b.perSecond, b.level = size, perSecond, size }

// take uses one up; it reports false if there is none.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.level = min(b.size, b.level+b.perSecond*max(0, now.Sub(b.last)).Seconds())
	}
	b.last = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
