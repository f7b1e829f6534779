package p2p

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What a peer says of this node and what waits for it, as Peers tells.
func TestPeerInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.TxInterval = 1000 * time.Hour })
		coins := rich(w, 2, s)
		v := actorVersion(ProtocolVersion)
		v.to.port = 7
		copy(v.to.ip[:], net.IPv4(198, 51, 100, 1).To16())
		w.call(s, "203.0.113.1:1").shakeAs(v)
		w.call(s, "203.0.113.2:1").shake(ProtocolVersion)
		synctest.Wait()
		before := s.pool.Changes()
		s.submit(spend(coins[0], 1000))
		s.submit(spend(coins[1], 1000))
		list := s.Peers()
		if got := list[0]; got.SeenAs != "198.51.100.1:7" || got.TxsToAnnounce != 2 || got.LastInv != before || got.PresyncHeight != -1 {
			t.Errorf("%+v", got)
		}
		if got := list[1]; got.SeenAs != "" {
			t.Errorf("seen as %q", got.SeenAs)
		}
		s.announceTxs(time.Now().Add(1e6 * time.Hour))
		if got := s.Peers()[0]; got.TxsToAnnounce != 0 || got.LastInv != s.pool.Changes() {
			t.Errorf("%d wait, announced at change %d of %d", got.TxsToAnnounce, got.LastInv, s.pool.Changes())
		}
	})
}
