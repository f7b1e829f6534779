package stratum

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
)

// Places in the window are few, and trivial shares under ever new addresses must
// not take them: a place costs work, and goes to those who have done more of it.

const (
	maxPayees    = 5000 // in the window; and of those who are not, with something carried over
	maxAspirants = 5000 // who have done too little for a place in the window
	// placeShare is which part of a full window a place costs. Of a block worth 5
	// coins that is about a third of what is dust.
	placeShare = 1 << 22
)

// payees is who works: those with a place in the window, and those who wait for
// one. It is pure.
//
//	state    becomes   when
//	unknown  waiting   its first share comes; the one that waits with least makes room
//	waiting  placed    it has done the least that a place costs, and there is a free
//	                   place or one of somebody who has done less
//	placed   waiting   somebody who has done more needs its place
//	placed   unknown   its shares have fallen out of the window
//	waiting  unknown   as much work as fills a window has come some times since
type payees struct {
	window  *window
	least   uint64 // score that a place costs
	most    int    // places
	floor   uint64 // nobody in the window has less; 0 if that is not known
	waiting waiters
	aged    uint64 // score that has come since those who wait lost half of theirs
}

func newPayees(windowSize uint64) *payees {
	return &payees{window: newWindow(windowSize), least: max(1, windowSize/placeShare), most: maxPayees, waiting: newWaiters(maxAspirants)}
}

// add counts a share.
func (p *payees) add(payee string, score uint64) {
	p.age(score)
	if _, placed := p.window.scores[payee]; placed {
		p.credit(payee, score)
		return
	}
	score += p.waiting.score(payee)
	if score < p.least || !p.makeRoom(score) {
		p.waiting.set(payee, score)
		return
	}
	p.waiting.remove(payee)
	p.floor = min(p.floor, score)
	p.credit(payee, score)
}

func (p *payees) credit(payee string, score uint64) {
	if p.window.add(payee, score) {
		p.floor = 0 // something has fallen out
	}
}

// makeRoom has a free place for somebody with a score, if there is one or somebody
// has less.
func (p *payees) makeRoom(score uint64) bool {
	if len(p.window.scores) < p.most {
		return true
	}
	if score <= p.floor {
		return false
	}
	worst, least := "", uint64(0)
	for payee, s := range p.window.scores {
		if worst == "" || s < least || s == least && payee < worst {
			worst, least = payee, s
		}
	}
	p.floor = least
	if score <= least {
		return false
	}
	p.window.remove(worst)
	p.waiting.set(worst, least)
	return true
}

// age lets the score of those who wait fall as what is in the window does: by half
// with each window full of work.
func (p *payees) age(score uint64) {
	if p.aged += score; p.aged >= p.window.size {
		p.aged = 0
		p.waiting.halve()
	}
}

// restore puts back what was saved. Who has too little for a place waits.
func (p *payees) restore(parts []map[string]uint64, waiting map[string]uint64) {
	for _, scores := range parts {
		p.window.restore(scores)
	}
	for _, payee := range byScore(p.window.scores) {
		if s := p.window.scores[payee]; s < p.least || len(p.window.scores) > p.most {
			p.window.remove(payee)
			p.waiting.set(payee, s)
		}
	}
	for payee, score := range waiting {
		if _, placed := p.window.scores[payee]; !placed {
			p.waiting.set(payee, score)
		}
	}
}

// byScore is the payees, who has least first.
func byScore(scores map[string]uint64) []string {
	return slices.SortedFunc(maps.Keys(scores), func(a, b string) int {
		return cmp.Or(cmp.Compare(scores[a], scores[b]), cmp.Compare(a, b))
	})
}

// waiters is a bounded set of payees by their score. The one with least makes room.
type waiters struct {
	most int
	of   map[string]*waiter
	heap waiterHeap
	next uint64
}

type waiter struct {
	payee string
	score uint64
	seq   uint64 // among equals the oldest is first
	at    int    // in the heap
}

func newWaiters(most int) waiters { return waiters{most: most, of: make(map[string]*waiter)} }

func (w *waiters) score(payee string) uint64 {
	if e := w.of[payee]; e != nil {
		return e.score
	}
	return 0
}

func (w *waiters) set(payee string, score uint64) {
	if e := w.of[payee]; e != nil {
		e.score = score
		heap.Fix(&w.heap, e.at)
		return
	}
	if len(w.of) >= w.most {
		w.remove(w.heap[0].payee)
	}
	w.next++
	e := &waiter{payee: payee, score: score, seq: w.next}
	w.of[payee] = e
	heap.Push(&w.heap, e)
}

func (w *waiters) remove(payee string) {
	if e := w.of[payee]; e != nil {
		heap.Remove(&w.heap, e.at)
		delete(w.of, payee)
	}
}

// halve halves all scores, and forgets those of whom nothing is left.
func (w *waiters) halve() {
	kept := w.heap[:0]
	for _, e := range w.heap {
		if e.score /= 2; e.score == 0 {
			delete(w.of, e.payee)
			continue
		}
		e.at = len(kept)
		kept = append(kept, e)
	}
	clear(w.heap[len(kept):])
	w.heap = kept
	heap.Init(&w.heap)
}

// scores is a copy of the scores by payee.
func (w *waiters) scores() map[string]uint64 {
	scores := make(map[string]uint64, len(w.of))
	for payee, e := range w.of {
		scores[payee] = e.score
	}
	return scores
}

type waiterHeap []*waiter

// Len, Less, Swap, Push and Pop are for container/heap.
func (h waiterHeap) Len() int { return len(h) }

func (h waiterHeap) Less(i, j int) bool {
	if h[i].score != h[j].score {
		return h[i].score < h[j].score
	}
	return h[i].seq < h[j].seq
}

func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *waiterHeap) Push(x any) {
	e := x.(*waiter)
	e.at = len(*h)
	*h = append(*h, e)
}

func (h *waiterHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
