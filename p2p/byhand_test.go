package p2p

import (
	"errors"
	"testing"
	"testing/synctest"
)

// Two nodes whose operators send each other the longest message at the same time, as in
// Bitcoin Core's p2p_net_deadlock, stay connected; a second one has to wait for the
// first.
func TestLongMessagesByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(a, b)
		w.until("connected", func() bool { return len(a.ready()) == 1 && len(b.ready()) == 1 })
		long := make([]byte, maxPayload)
		for _, s := range []*station{a, b} {
			if err := s.Send(0, "unknown", long); err != nil {
				t.Error(err)
			}
		}
		for _, s := range []*station{a, b} {
			w.until("it came", func() bool {
				p := s.Peers()
				return len(p) == 1 && p[0].Received.PerMessage["*other*"] > 0
			})
		}
		if err := a.Send(0, "unknown", make([]byte, maxByHand+1)); !errors.Is(err, errNotSent) {
			t.Errorf("longer than may be: %v", err)
		}
		if err := a.Send(0, cmdAddr, make([]byte, maxPayload+1)); err != nil {
			t.Error(err)
		}
		w.until("who sends more than a message may have is cut", func() bool { return len(b.Peers()) == 0 })
	})
}

func TestOneLongMessageWaits(t *testing.T) {
	q := newSendQueue()
	long := outMessage{"unknown", make([]byte, maxQueuedBytes+1)}
	if q.push(long) {
		t.Error("a long message was queued that nobody sent by hand")
	}
	if !q.pushByHand(long) || q.pushByHand(long) {
		t.Error("want one long message to wait, and no second")
	}
	if !q.push(outMessage{cmdPing, make([]byte, 8)}) {
		t.Error("a short one has no room beside it")
	}
	if m, ok := q.nextMessage(); !ok || len(m.payload) != len(long.payload) {
		t.Error("the long one does not come first")
	}
	if !q.pushByHand(long) {
		t.Error("there is room for the next long one")
	}
	_, _ = q.nextMessage()
	_, _ = q.nextMessage()
	if q.bytes != 0 || q.long {
		t.Errorf("%d bytes are left in an empty queue, long: %v", q.bytes, q.long)
	}
}
