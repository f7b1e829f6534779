package p2p

import (
	"net/netip"
	"testing"
)

// With the hook for tests the addresses of this machine, but for 127.0.0.1, are
// those of strangers; without it none is.
func TestLoopbackIsPublic(t *testing.T) {
	real, test := space{}, space{loopbackIsPublic: true}
	for _, c := range []struct {
		address string
		played  bool // public in the test alone
	}{
		{"127.0.0.1", false}, {"::ffff:127.0.0.1", false}, {"::1", false}, {"10.0.0.1", false}, {"0.0.0.0", false}, {"169.254.1.1", false},
		{"127.0.0.2", true}, {"127.1.0.1", true}, {"127.255.255.254", true}, {"::ffff:127.9.9.9", true},
	} {
		a := netip.MustParseAddr(c.address)
		if real.isPublic(a) || test.isPublic(a) != c.played {
			t.Errorf("%s is public: %v, with the hook %v, want only the latter to be %v", a, real.isPublic(a), test.isPublic(a), c.played)
		}
		if loop := a.Unmap().IsLoopback(); real.isLoopback(a) != loop || test.isLoopback(a) != (loop && !c.played) {
			t.Errorf("%s is loopback: %v, with the hook %v", a, real.isLoopback(a), test.isLoopback(a))
		}
	}
	var bans banList
	if bans.discourage(netip.MustParseAddr("127.0.0.2")) {
		t.Error("an address of this machine is discouraged")
	}
	bans.space = test
	if !bans.discourage(netip.MustParseAddr("127.0.0.2")) || bans.discourage(oneself) {
		t.Error("with the hook, want 127.0.0.2 discouraged and 127.0.0.1 not")
	}
}
