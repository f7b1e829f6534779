package p2p

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// Of those that come through a trusted proxy each address is counted that it
// names, and the proxy is not.
func TestForwardedAddressesAreCounted(t *testing.T) {
	n := New(Config{Spec: regtest(t), Pool: anyPool{}, TrustProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}})
	knock := func(from, forwarded string) int {
		r := httptest.NewRequest(http.MethodGet, socketPath, nil)
		r.RemoteAddr = from
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Protocol", subProtocol(&n.cfg.Spec.Rules))
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for i := range 2 * hostBurst {
		want := http.StatusBadRequest // let in, and then found to have no key
		if i >= hostBurst {
			want = http.StatusTooManyRequests
		}
		if got := knock("10.0.0.1:5", "203.0.113.7"); got != want {
			t.Errorf("try %d: status %d, want %d", i, got, want)
		}
	}
	for _, forwarded := range []string{"203.0.113.8", "2001:db8::1", ""} {
		if got := knock("10.0.0.1:5", forwarded); got != http.StatusBadRequest {
			t.Errorf("%q: status %d", forwarded, got)
		}
	}
	if !n.gate.exempt(netip.MustParseAddr("10.0.0.1")) || n.gate.exempt(netip.MustParseAddr("10.0.0.2")) {
		t.Error("want the proxy exempt at the socket, and nobody else")
	}
}

// Whom the operator vouches for connects as often as it likes, keeps its place,
// and is not punished; who comes from elsewhere is.
func TestNoBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		friends := netip.MustParsePrefix("198.51.0.0/16")
		s := w.add("s", func(c *Config) { c.Grants = []Grant{{Net: friends, May: MayNotBeBanned, In: true}} })
		if host := netip.MustParseAddr("198.51.1.1"); !s.gate.exempt(host) || s.gate.exempt(netip.MustParseAddr("198.52.1.1")) {
			t.Error("who is not limited is not who was named")
		}
		var all []*actor
		for i := range maxInbound {
			a := w.call(s, fmt.Sprintf("198.51.1.%d:1", i))
			a.shake(ProtocolVersion)
			all = append(all, a)
		}
		from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("8.8.8.8:1"))
		a, b := Pipe(from, s.addr, w.latency)
		s.Accept(b)
		if _, _, err := a.ReadMessage(); err == nil {
			t.Error("a friend had to make room")
		}
		for _, p := range s.Peers() {
			if !p.May.Has(MayNotBeBanned) {
				t.Errorf("%s is no friend", p.Addr)
			}
		}
		// What it says of the chain does not end it, however wrong.
		block := greedy(w.spec)
		all[1].say(msgBlock{block})
		all[1].say(msgHeaders{block.Header})
		changed := mineOn(w.spec, w.spec.Rules.GenesisState(), 7)
		changed.Txs = append(changed.Txs, changed.Txs[0])
		all[1].say(msgBlock{changed})
		all[1].say(msgBlock{mine(w.spec, w.spec.Rules.GenesisState(), 9, 2)[1]}) // without a parent
		time.Sleep(time.Second)                                                  // virtual
		all[1].stillThere()
		// Nor does a message that is longer than its command may have, or names what there
		// is not; no message of more bytes than any may have is read.
		bad := func(a *actor) { _ = a.WriteMessage(cmdPing, make([]byte, minPayloadLimit+1)) }
		bad(all[1])
		tooMany := make([]invItem, maxInv+1)
		for i := range tooMany {
			tooMany[i] = invItem{invTx, consensus.Hash{1}}
		}
		all[1].say(&msgInv{cmdInv, tooMany})
		all[1].say(&msgGetBlockTxn{w.spec.Rules.GenesisHash(), []uint16{1}})
		all[1].stillThere()
		_ = all[0].WriteMessage(cmdBlock, make([]byte, maxPayload+1))
		all[0].isCut()
		synctest.Wait()
		if s.bans.banned(netip.MustParseAddr("198.51.1.0")) {
			t.Error("a friend is discouraged")
		}
		stranger := w.call(s, "9.9.9.9:1")
		stranger.shake(ProtocolVersion)
		bad(stranger)
		stranger.isCut()
		synctest.Wait()
		if !s.bans.banned(netip.MustParseAddr("9.9.9.9")) {
			t.Error("a stranger is not discouraged")
		}
	})
}
