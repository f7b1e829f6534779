package txrequest

import "fmt"

// Check reports what must never be so. It looks at everything, and is for tests.
func (t *Tracker[P]) Check() error {
	size, timed, wtxids, ordinary, announced := 0, 0, 0, 0, 0
	for key, p := range t.peers {
		if p.WTxIDs {
			wtxids++
		}
		size += len(p.announced)
		if p.ordinary() {
			ordinary++
			announced += len(p.announced)
		}
		inFlight := 0
		for i, a := range p.announced {
			if a.peer != p || int(a.ofPeer) != i || t.txs[a.tx.hash] != a.tx || a.tx.announced[a.ofTx] != a {
				return fmt.Errorf("peer %v: its announcement %d is not where it says", key, i)
			}
			if a.state == requested {
				inFlight++
			}
		}
		if inFlight != p.inFlight || !p.Unlimited && len(p.announced) > MaxAnnouncements {
			return fmt.Errorf("peer %v: %d in flight, counted as %d, of %d", key, inFlight, p.inFlight, len(p.announced))
		}
	}
	for hash, x := range t.txs {
		if err := x.check(); err != nil {
			return fmt.Errorf("%s: %w", hash, err)
		}
		size -= len(x.announced)
		for _, a := range x.announced {
			if (a.timer >= 0) != (a.state == delayed || a.state == requested || a.timer >= 0 && a.state == ready && a.peer.Preferred) {
				return fmt.Errorf("%s: state %d, timer %d", hash, a.state, a.timer)
			}
			if a.timer >= 0 {
				timed++
			}
		}
	}
	for i, a := range t.timers {
		if int(a.timer) != i || i > 0 && t.timers.before(i, (i-1)/2) {
			return fmt.Errorf("timer %d is out of order", i)
		}
	}
	if size != 0 || timed != len(t.timers) || wtxids != t.wtxids {
		return fmt.Errorf("%d announcements too many with peers; %d timers of %d; %d peers with wtxids, counted as %d",
			size, len(t.timers), timed, wtxids, t.wtxids)
	}
	if ordinary != t.ordinary || announced != t.announced {
		return fmt.Errorf("%d ordinary peers with %d announcements, counted as %d and %d", ordinary, announced, t.ordinary, t.announced)
	}
	return nil
}

func (x *tx[P]) check() error {
	var alive, preferred, others int16
	seen := make(map[*peer[P]]bool)
	for i, a := range x.announced {
		if a.tx != x || int(a.ofTx) != i || seen[a.peer] {
			return fmt.Errorf("announcement %d is not where it says, or twice", i)
		}
		seen[a.peer] = true
		if a.state != failed {
			alive++
		}
		if a.state == requested && a.peer.Preferred {
			preferred++
		} else if a.state == requested {
			others++
		}
	}
	if alive == 0 || alive != x.alive || preferred != x.preferred || others != x.others {
		return fmt.Errorf("alive %d, requested %d and %d, counted as %d, %d and %d",
			alive, preferred, others, x.alive, x.preferred, x.others)
	}
	return nil
}
