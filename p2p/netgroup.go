package p2p

import (
	"net/netip"
	"net/url"
	"strings"
)

// netGroup names the part of the network that an address is in: what one
// organization commonly holds, 16 bits of an IPv4 address and 32 of an IPv6
// address, as in Bitcoin Core. To be in many groups costs an attacker more than
// to have many addresses.
func netGroup(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if v4, ok := innerIPv4(ip); ok {
		ip = v4
	}
	bits := 32
	switch {
	case !ip.IsValid():
		return "unknown"
	case ip.Is4():
		bits = 16
	case tunnelBroker.Contains(ip):
		bits = 36
	}
	prefix, _ := ip.Prefix(bits) // in range by construction
	return prefix.String()
}

// tunnelBroker gives out networks of 36 bits to anybody, as Bitcoin Core knows.
var tunnelBroker = netip.MustParsePrefix("2001:470::/32")

// innerIPv4 is the address that somebody really holds who uses an IPv6 address of
// a tunnel or translator: 6to4 (RFC 3964), NAT64 (RFC 6052), Teredo (RFC 4380).
func innerIPv4(ip netip.Addr) (v4 netip.Addr, ok bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case translator.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0:
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

// hostInURL is the host of a clean URL: an IP address, or else a name.
func hostInURL(s string) (ip netip.Addr, name string) {
	u, err := url.Parse(s)
	if err != nil {
		return netip.Addr{}, ""
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return ip.Unmap(), ""
	}
	return netip.Addr{}, u.Hostname()
}

// domain is the end of a host name that somebody had to register, about: its
// last two labels.
func domain(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}
