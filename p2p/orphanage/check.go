package orphanage

import "fmt"

// Check reports what must never be so. It looks at everything, and is for tests.
func (o *Orphanage[P]) Check() error {
	weight, score, coins, turns := 0, 0, 0, 0
	for wtxid, x := range o.orphans {
		weight, score = weight+x.weight, score+x.inputs
		if len(x.announced) == 0 || wtxid != x.WTxID || x.turn != nil && x.by(x.turn.peer) != x.turn {
			return fmt.Errorf("orphan %s is broken, with %d announcements", wtxid, len(x.announced))
		}
		for _, a := range x.announced {
			if a.orphan != x || o.peers[a.peer.key] != a.peer || a.place.Value != a || (a.ready != nil) != (x.turn == a) {
				return fmt.Errorf("orphan %s: an announcement is broken", wtxid)
			}
		}
		for i := range x.Tx.In {
			if list := o.spenders[x.Tx.In[i].PrevOut]; int(x.places[i]) >= len(list) || list[x.places[i]] != (input[P]{x, int32(i)}) {
				return fmt.Errorf("orphan %s is not found by input %d", wtxid, i)
			}
			coins++
		}
	}
	for _, list := range o.spenders {
		coins -= len(list)
		if len(list) == 0 {
			return fmt.Errorf("an output without spenders is remembered")
		}
	}
	for key, p := range o.peers {
		if err := p.check(); err != nil {
			return fmt.Errorf("peer %v: %w", key, err)
		}
		score += p.announced.Len()
		if p.turn != nil {
			turns++
		}
	}
	if weight != o.weight || score != o.score || coins != 0 || turns != o.turns.Len() {
		return fmt.Errorf("weight %d, counted as %d; score %d, counted as %d; %d inputs too many; %d turns, listed %d",
			weight, o.weight, score, o.score, -coins, turns, o.turns.Len())
	}
	if o.score > o.maxScore || o.weight > o.reserved*max(1, len(o.peers)) {
		return fmt.Errorf("too much: weight %d and score %d of %d peers", o.weight, o.score, len(o.peers))
	}
	return nil
}

func (p *peer[P]) check() error {
	weight, score, ready, last := 0, 0, 0, uint64(0)
	for e := p.announced.Front(); e != nil; e = e.Next() {
		a := e.Value.(*announcement[P])
		if a.peer != p || a.number <= last || a.orphan.by(p) != a {
			return fmt.Errorf("announcement %d is broken", a.number)
		}
		last = a.number
		weight, score = weight+a.orphan.weight, score+1+a.orphan.inputs
		if a.ready != nil {
			ready++
		}
	}
	if weight != p.weight || score != p.score || ready != p.ready.Len() || score == 0 || (p.turn != nil) != (ready > 0) {
		return fmt.Errorf("weight %d, counted as %d; score %d, counted as %d; %d ready, listed %d",
			weight, p.weight, score, p.score, ready, p.ready.Len())
	}
	return nil
}
