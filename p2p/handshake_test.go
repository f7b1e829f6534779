package p2p

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(a, b)
		w.until("shaken", func() bool { in, _ := b.ConnectionCount(); return in == 1 })
		p := a.Peers()[0]
		if p.SubVer != "/test:b/" || p.Version != ProtocolVersion || !p.WTxIDRelay || !p.AddrV2 || p.Inbound || p.URL != b.url ||
			p.Services != serviceNetwork|serviceWitness || p.Kind != string(kindManual) {
			t.Errorf("a sees %+v", p)
		}
		if q := b.Peers()[0]; !q.Inbound || q.SubVer != "/test:a/" || q.ID != 0 {
			t.Errorf("b sees %+v", q)
		}
		w.until("pinged", func() bool { return a.Peers()[0].Ping > 0 })
		if got := a.Peers()[0].Ping; got != 20*time.Millisecond {
			t.Errorf("ping %v, want 20ms", got)
		}
		received, sent := a.NetTotals()
		if received == 0 || sent == 0 {
			t.Error("no traffic was counted")
		}
		if err := a.Disconnect(p.ID, ""); err != nil {
			t.Error(err)
		}
		w.until("disconnected", func() bool { return len(b.Peers()) == 0 })
		if r, s := a.NetTotals(); r < received || s < sent {
			t.Error("traffic of a peer that left is not counted any more")
		}
		w.until("connected again", func() bool { return len(b.Peers()) == 1 })
	})
}

func TestHandshakeRefusals(t *testing.T) {
	for name, play := range map[string]func(a *actor){
		"too old":               func(a *actor) { a.say(actorVersion(minProtocolVersion - 1)) },
		"message first":         func(a *actor) { a.say(msgPing(1)) },
		"second version":        func(a *actor) { a.say(actorVersion(ProtocolVersion)); a.say(actorVersion(ProtocolVersion)) },
		"late wtxidrelay":       func(a *actor) { a.shake(ProtocolVersion); a.say(msgEmpty(cmdWTxIDRelay)) },
		"late sendaddrv2":       func(a *actor) { a.shake(ProtocolVersion); a.say(msgEmpty(cmdSendAddrV2)) },
		"late sendaddrurl":      func(a *actor) { a.shake(ProtocolVersion); a.say(msgEmpty(cmdSendAddrURL)) },
		"nothing at all":        func(*actor) {},
		"no verack":             func(a *actor) { a.say(actorVersion(ProtocolVersion)) },
		"unknown messages only": func(a *actor) { _ = a.WriteMessage("hello", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				a := w.call(s, "203.0.113.1:1")
				start := time.Now()
				play(a)
				a.isCut()
				if took := time.Since(start); took > DefaultPeerTimeout+time.Second {
					t.Errorf("only after %v", took)
				}
				if s.bans.banned(hostOfString("203.0.113.1:1")) {
					t.Error("banned")
				}
			})
		})
	}
}

// What Bitcoin Core and btcd send besides what is known here must not hurt.
func TestUnknownMessagesAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.say(actorVersion(ProtocolVersion))
		_ = a.WriteMessage("sendtxrcncl", make([]byte, 12))
		a.say(msgEmpty(cmdVerack))
		a.hear(cmdVerack)
		_ = a.WriteMessage("sendcmpct", make([]byte, 9))
		a.say(msgPing(99))
		if got := a.hear(cmdPong); got != msgPong(99) {
			t.Errorf("got %v", got)
		}
		w.until("counted", func() bool { return s.Peers()[0].Received.PerMessage["*other*"] > 0 })
	})
}

func TestSelfConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		s.book.learn(s.url, 0, time.Now(), "x")
		if err := s.Connect(t.Context(), s.url); err != nil {
			t.Fatal(err)
		}
		w.until("refused", func() bool { return len(s.Peers()) == 0 })
		if len(s.book.sample(10)) != 0 {
			t.Error("the node's own address is still in its book")
		}
	})
}

func TestSilentPeerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		start := time.Now()
		a.isCut()
		if took := time.Since(start); took < pongTimeout || took > pongTimeout+time.Minute {
			t.Errorf("dropped after %v", took)
		}
	})
}

// Where all places are taken one of those with many connections makes room.
func TestInboundLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		for range maxInbound {
			w.call(s, "203.0.113.1:1").shake(ProtocolVersion)
		}
		w.until("full", func() bool { in, _ := s.ConnectionCount(); return in == maxInbound })
		late := w.call(s, "198.51.100.1:1")
		late.shake(ProtocolVersion)
		late.say(msgPing(1))
		late.hear(cmdPong)
		if in, out := s.ConnectionCount(); in != maxInbound || out != 0 {
			t.Errorf("%d in, %d out", in, out)
		}
	})
}
