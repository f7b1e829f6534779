package p2p

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// space tells where addresses lead. The zero value is the internet as it is.
type space struct {
	// loopbackIsPublic makes all of 127.0.0.0/8 but 127.0.0.1 count as public
	// addresses of different hosts: tests on one machine play strangers from
	// there.
	loopbackIsPublic bool
}

// oneself is the address by which the programs of one machine commonly reach
// each other.
var oneself = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// insidePrefixes lead into somebody's own network too: shared address space
// (RFC 6598), and IPv4 addresses behind a translator (RFC 6052, RFC 8215).
var insidePrefixes = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), translator, netip.MustParsePrefix("64:ff9b:1::/48")}

// translator holds IPv4 addresses in its last 32 bits (RFC 6052).
var translator = netip.MustParsePrefix("64:ff9b::/96")

// isLoopback reports whether an address leads to this machine itself.
func (s space) isLoopback(a netip.Addr) bool { return a.Unmap().IsLoopback() && !s.plays(a.Unmap()) }

// plays reports whether an address of this machine counts as a public one.
func (s space) plays(a netip.Addr) bool {
	return s.loopbackIsPublic && a.Is4() && a.IsLoopback() && a != oneself
}

// isPublic reports whether an address leads to the same host from everywhere.
func (s space) isPublic(a netip.Addr) bool {
	a = a.Unmap()
	return s.plays(a) || a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(insidePrefixes, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

// isPrivate reports whether a host is known to be inside some network.
func (s space) isPrivate(host netip.Addr) bool { return host.IsValid() && !s.isPublic(host) }

// isPrivateURL reports whether a URL names an address that is only reachable
// from inside some network, such as 127.0.0.1.
func (s space) isPrivateURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return true
	}
	if u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && !s.isPublic(ip)
}

// slotGroup names what only one of the outbound peers may come from; it is empty
// where there is no such limit, inside a private network.
func (s space) slotGroup(ip netip.Addr, name string) string {
	switch {
	case ip.IsValid() && s.isPublic(ip):
		return netGroup(ip)
	case ip.IsValid() || !strings.Contains(name, "."):
		return ""
	}
	return domain(name)
}

// hostOf is the IP address in a socket address; the zero Addr if there is none.
func hostOf(a net.Addr) netip.Addr { return hostOfString(a.String()) }

func hostOfString(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
