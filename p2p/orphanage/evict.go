package orphanage

import "slices"

// retry gives one of the announcers of x a turn, by lot, if it waits.
func (o *Orphanage[P]) retry(x *orphan[P]) {
	if x.turn != nil {
		return
	}
	a := x.announced[o.random.IntN(len(x.announced))]
	x.turn, a.ready = a, a.peer.ready.PushBack(a)
	if a.peer.turn == nil {
		a.peer.turn = o.turns.PushBack(a.peer)
	}
}

// wait ends the turn of x.
func (o *Orphanage[P]) wait(x *orphan[P]) {
	a := x.turn
	if a == nil {
		return
	}
	a.peer.ready.Remove(a.ready)
	x.turn, a.ready = nil, nil
	if a.peer.ready.Len() == 0 {
		o.turns.Remove(a.peer.turn)
		a.peer.turn = nil
	}
}

// retract removes an announcement, and its orphan with the last one.
func (o *Orphanage[P]) retract(a *announcement[P]) {
	x, p := a.orphan, a.peer
	again := x.turn == a
	if again {
		o.wait(x)
	}
	x.announced = slices.DeleteFunc(x.announced, func(b *announcement[P]) bool { return b == a })
	p.announced.Remove(a.place)
	a.place = nil
	p.weight, p.score = p.weight-x.weight, p.score-1-x.inputs
	o.score--
	if p.announced.Len() == 0 {
		delete(o.peers, p.key)
	}
	if len(x.announced) == 0 {
		o.unindex(x)
	} else if again {
		o.retry(x)
	}
}

// end removes an orphan with all of its announcements.
func (o *Orphanage[P]) end(x *orphan[P]) {
	o.wait(x)
	for len(x.announced) > 0 {
		o.retract(x.announced[len(x.announced)-1])
	}
}

// trim evicts announcements while there is too much.
func (o *Orphanage[P]) trim() {
	for o.score > o.maxScore || o.weight > o.reserved*max(1, len(o.peers)) {
		o.retract(o.worst().oldest())
	}
}

// worst is the peer that uses most of its share of weight or score; among equals the
// one that has come last.
func (o *Orphanage[P]) worst() (worst *peer[P]) {
	use := func(p *peer[P]) int64 { // of its share, in units that both have in common
		return max(int64(p.score)*int64(len(o.peers))*int64(o.reserved), int64(p.weight)*int64(o.maxScore))
	}
	most := int64(-1)
	for _, p := range o.peers {
		if n := use(p); n > most || n == most && p.number > worst.number {
			worst, most = p, n
		}
	}
	return worst
}

// oldest is the peer's announcement that it loses first.
func (p *peer[P]) oldest() *announcement[P] {
	for e := p.announced.Front(); e != nil; e = e.Next() {
		if a := e.Value.(*announcement[P]); a.ready == nil {
			return a
		}
	}
	return p.announced.Front().Value.(*announcement[P])
}
