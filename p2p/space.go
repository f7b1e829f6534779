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
	// privatePeers lets strangers tell of private addresses, see
	// Config.PrivatePeers.
	privatePeers bool
}

// oneself is the address by which the programs of one machine commonly reach
// each other.
var oneself = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// insidePrefixes lead into somebody's own network too: shared address space
// (RFC 6598), and IPv4 addresses behind a translator (RFC 6052, RFC 8215).
var insidePrefixes = []netip.Prefix{sharedSpace, translator, netip.MustParsePrefix("64:ff9b:1::/48")}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// nowherePrefixes are no host's: "this network" (RFC 1122, to some systems it is
// the machine itself), what is reserved (RFC 1112), IPv4 addresses in IPv6 as they
// were once written, and local addresses of old.
var nowherePrefixes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"),
}

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
	a = a.Unmap().WithZone("")
	switch within := func(p netip.Prefix) bool { return p.Contains(a) }; {
	case s.plays(a):
		return true
	case !a.IsGlobalUnicast() || a.IsPrivate() || slices.ContainsFunc(insidePrefixes, within) || slices.ContainsFunc(nowherePrefixes, within):
		return false
	}
	v4, tunnel := innerIPv4(a) // 6to4 or Teredo
	return !tunnel || s.isPublic(v4)
}

// mayDial reports whether an address may be dialled that strangers have told of,
// or to which a name leads that they have told: never one of this machine, or of
// the link that it is on, where a cloud keeps its secrets.
func (s space) mayDial(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return s.isPublic(a) || s.privatePeers && (a.IsPrivate() || sharedSpace.Contains(a))
}

// mayTell reports whether a peer at an address can know of a URL: only one inside
// a private network knows addresses there.
func (s space) mayTell(from netip.Addr, url string) bool {
	ip, name := hostInURL(url)
	if name != "" {
		return !s.isPrivateURL(url)
	}
	return s.isPublic(ip) || s.isPrivate(from) && s.mayDial(ip)
}

// isPrivate reports whether a host is known to be inside some network.
func (s space) isPrivate(host netip.Addr) bool { return host.IsValid() && !s.isPublic(host) }

// tellable reports whether a URL is of use to a peer at an address.
func (s space) tellable(to netip.Addr, url string) bool {
	return !s.isPrivateURL(url) || s.isPrivate(to)
}

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
