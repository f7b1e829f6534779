package stratum

import (
	"math"
	"sync"
	"time"
)

// Shares is what became of the shares of a worker.
type Shares struct {
	Accepted, Stale, Duplicate, Low, Invalid uint64
}

// worker is one name under which shares come: address or address.rig. It may have
// several connections.
type worker struct {
	name, payee string

	conns int // guarded by workers.mu

	mu     sync.Mutex // guards what follows
	shares Shares
	last   time.Time // of the last accepted share; zero before
	rate   decay     // hashes
}

// workers are those who are connected, and who were.
type workers struct {
	mu     sync.Mutex // guards what follows
	byName map[string]*worker
	gone   Shares // of those who are forgotten
	nobody uint64 // names that were refused, and shares under such
}

const (
	maxWorkers  = 10_000
	maxName     = 128 // characters
	forgetAfter = time.Hour
)

// join finds or makes a worker; nil if there are too many.
func (ws *workers) join(name, payee string, now time.Time) *worker {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byName[name]
	if w == nil {
		if len(ws.byName) >= maxWorkers {
			ws.forget(now)
		}
		if len(ws.byName) >= maxWorkers {
			return nil
		}
		w = &worker{name: name, payee: payee}
		w.rate.begin(now)
		ws.byName[name] = w
	}
	w.conns++
	return w
}

// forget removes those who have left long ago. The caller holds mu.
func (ws *workers) forget(now time.Time) {
	for name, w := range ws.byName {
		w.mu.Lock()
		if w.conns == 0 && now.Sub(w.last) > forgetAfter {
			delete(ws.byName, name)
			ws.gone.add(w.shares)
		}
		w.mu.Unlock()
	}
}

func (ws *workers) leave(w *worker) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.conns--
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
func (w *worker) accepted(hashes float64, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shares.Accepted++
	w.last = now
	w.rate.add(hashes, now)
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
