package txrequest

import (
	"math"
	"slices"
	"time"
)

// by finds the announcement of x by a peer.
func (x *tx[P]) by(p *peer[P]) *announcement[P] {
	i := slices.IndexFunc(x.announced, func(a *announcement[P]) bool { return a.peer == p })
	if i < 0 {
		return nil
	}
	return x.announced[i]
}

// touch has the next Requests look whom to ask for x.
func (t *Tracker[P]) touch(x *tx[P]) {
	if !x.dirty {
		x.dirty = true
		t.dirty = append(t.dirty, x)
	}
}

// mature ends the delay of a.
func (t *Tracker[P]) mature(a *announcement[P], now time.Duration) {
	a.state = ready
	if a.peer.Preferred && a.waits > now {
		a.due = a.waits
		t.timers.add(a)
	}
	t.touch(a.tx)
}

// choose finds whom to ask for x next; nil for nobody.
func (t *Tracker[P]) choose(x *tx[P], now time.Duration) (best *announcement[P]) {
	idle := x.preferred+x.others == 0
	more := idle || x.preferred == 0 && x.others <= int16(x.inVain)
	equals := 0 // to best
	for _, a := range x.announced {
		if a.state != ready || !more && !(a.peer.Preferred && a.waits <= now) {
			continue
		}
		switch {
		case best == nil || a.peer.Preferred && !best.peer.Preferred:
			best, equals = a, 1
		case a.peer.Preferred == best.peer.Preferred:
			if equals++; t.random.IntN(equals) == 0 {
				best = a
			}
		}
	}
	return best
}

func (t *Tracker[P]) request(a *announcement[P], now time.Duration) {
	t.timers.remove(a)
	a.state, a.due = requested, now+Timeout
	t.timers.add(a)
	a.peer.inFlight++
	if a.peer.Preferred {
		a.tx.preferred++
	} else {
		a.tx.others++
	}
}

// settle takes a request off the accounts.
func (a *announcement[P]) settle() {
	if a.state != requested {
		return
	}
	a.peer.inFlight--
	if a.peer.Preferred {
		a.tx.preferred--
	} else {
		a.tx.others--
	}
}

// fail notes that the peer of a will not give what it has announced. If nobody else
// can be asked all announcements of the transaction are dropped.
func (t *Tracker[P]) fail(a *announcement[P]) {
	if a.state == failed {
		return
	}
	if a.state == requested && !a.peer.Preferred && a.tx.inVain < math.MaxUint8 {
		a.tx.inVain++
	}
	a.settle()
	t.timers.remove(a)
	a.state = failed
	if a.tx.alive--; a.tx.alive == 0 {
		t.drop(a.tx)
		return
	}
	t.touch(a.tx)
}

// drop removes a transaction with all of its announcements.
func (t *Tracker[P]) drop(x *tx[P]) {
	for len(x.announced) > 0 {
		t.remove(x.announced[len(x.announced)-1])
	}
	delete(t.txs, x.hash)
}

// remove takes a out of the lists that it is in.
func (t *Tracker[P]) remove(a *announcement[P]) {
	a.settle()
	t.timers.remove(a)
	if a.state != failed {
		a.tx.alive--
	}
	p, x := a.peer, a.tx
	if p.ordinary() {
		t.announced--
	}
	last := p.announced[len(p.announced)-1]
	p.announced[a.ofPeer], last.ofPeer = last, a.ofPeer
	p.announced[len(p.announced)-1] = nil
	p.announced = p.announced[:len(p.announced)-1]
	last = x.announced[len(x.announced)-1]
	x.announced[a.ofTx], last.ofTx = last, a.ofTx
	x.announced[len(x.announced)-1] = nil
	x.announced = x.announced[:len(x.announced)-1]
	a.ofPeer, a.ofTx = -1, -1
}
