package p2p

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"lode/consensus"
)

// schemeTCP begins the URL of a peer that is reached by TCP, tcp://host:port.
const schemeTCP = "tcp"

// cleanURL gives the one way to write the URL of a peer, or refuses it. What it
// refuses could make a node that believes others fetch any page of any site.
func cleanURL(s string) (string, error) {
	if len(s) > maxAddrV2Len {
		return "", fmt.Errorf("peer URL of %d bytes, at most %d allowed", len(s), maxAddrV2Len)
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", fmt.Errorf("peer URL %.80q is not a URL", s)
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss" && u.Scheme != schemeTCP:
		return "", fmt.Errorf("peer URL %.80q: want ws://host:port, wss://host:port or tcp://host:port", s)
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return "", fmt.Errorf("peer URL %.80q: want a host, and nothing but a path after it", s)
	}
	if port := u.Port(); port != "" && !isPort(port) {
		return "", fmt.Errorf("peer URL %.80q: want a port from 1 to 65535", s)
	}
	u.Host = strings.ToLower(u.Host)
	if ip, ok := shortIPv4(u.Hostname()); ok {
		u.Host = ip.String() + strings.TrimPrefix(u.Host, u.Hostname())
	}
	if u.Scheme == schemeTCP {
		if u.Host, err = cleanTCP(u); err != nil {
			return "", fmt.Errorf("peer URL %.80q: %w", s, err)
		}
	} else if u.Path == "" || u.Path == "/" {
		u.Path, u.RawPath = socketPath, ""
	}
	if clean := u.String(); len(clean) <= maxAddrV2Len {
		return clean, nil
	}
	return "", fmt.Errorf("peer URL %.80q is too long", s)
}

// shortIPv4 reads an IPv4 address as inet_aton does, which resolvers use: of one to four
// numbers, decimal, octal or hexadecimal, the last of which fills what is left, such as
// 127.1. Else one host would have several URLs.
func shortIPv4(host string) (ip netip.Addr, ok bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return ip, false
	}
	var all uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if part == "" || part[0] < '0' || part[0] > '9' || strings.Contains(part, "_") {
			return ip, false
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil || strings.HasPrefix(part, "0b") || strings.HasPrefix(part, "0o") {
			return ip, false
		}
		all = all<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}

// isGossip reports whether a clean URL is one that peers tell each other: nothing
// but a host and a port is theirs to choose, or they could have this node make
// requests of some other service.
func isGossip(clean string) bool {
	u, err := url.Parse(clean)
	return err == nil && (u.Scheme == schemeTCP || u.EscapedPath() == socketPath)
}

// errPath says why a URL cannot be advertised.
var errPath = errors.New("others dial no path but " + socketPath)

// CheckAdvertised is CheckURL for a URL that others are told.
func CheckAdvertised(s string, ports consensus.Ports) (string, error) {
	clean, err := CheckURL(s, ports)
	if err == nil && !isGossip(clean) {
		err = fmt.Errorf("peer URL %.80q: %w", s, errPath)
	}
	return clean, err
}

func isPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port != 0
}

// cleanTCP gives the one way to write the host and port of a tcp:// URL.
func cleanTCP(u *url.URL) (string, error) {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err != nil:
		return "", errors.New("want a port from 1 to 65535")
	case u.Path != "":
		return "", errors.New("want nothing after the port")
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return "", errors.New("want an address without a zone")
		}
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

// CheckURL gives the one way to write the URL of a peer that an operator wrote.
// A host alone, or with a port, is a peer by TCP where the network has a TCP
// port, as users of Bitcoin Core expect, and a WebSocket elsewhere. tcp://host without
// a port has that one, too.
func CheckURL(s string, ports consensus.Ports) (string, error) {
	if host, ok := strings.CutPrefix(s, schemeTCP+"://"); ok && ports.TCP != 0 {
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
		s = schemeTCP + "://" + WithPort(host, ports.TCP)
	}
	if !strings.Contains(s, "://") {
		scheme, port := "ws://", ports.WebSocket
		if ports.TCP != 0 {
			scheme, port = schemeTCP+"://", ports.TCP
		}
		s = scheme + WithPort(s, port)
	}
	return cleanURL(s)
}

// WithPort adds a port to a host, an IPv6 address included, that has none.
func WithPort(host string, port uint16) string {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ":") && host != "" {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return host
}

// checkURL is CheckURL for the network of n.
func (n *Node) checkURL(s string) (string, error) { return CheckURL(s, n.cfg.Spec.Defaults.Ports) }

// tcpAddr is the IP address and port in a tcp:// URL, if that is all it has.
func tcpAddr(s string) (netip.AddrPort, bool) {
	hostport, ok := strings.CutPrefix(s, schemeTCP+"://")
	if !ok {
		return netip.AddrPort{}, false
	}
	ap, err := netip.ParseAddrPort(hostport)
	return ap, err == nil
}

// wireAddr is a URL in an addrv2 message: IP addresses as BIP155 has them, so
// that every node of Bitcoin can use them, and others in a network of our own.
func wireAddr(url string, services uint64, seen time.Time) addrV2 {
	a := addrV2{time: uint32(max(0, seen.Unix())), services: services}
	switch ap, ok := tcpAddr(url); {
	case !ok:
		a.network, a.addr = networkURL, []byte(url)
	case ap.Addr().Is4():
		a.network, a.addr, a.port = networkIPv4, ap.Addr().AsSlice(), ap.Port()
	default:
		a.network, a.addr, a.port = networkIPv6, ap.Addr().AsSlice(), ap.Port()
	}
	return a
}

// url is where an address of an addrv2 message is reached; ok is false for
// networks that are unknown here, and for what is no address of its network.
func (a *addrV2) url() (s string, ok bool) {
	s = string(a.addr)
	if a.network == networkIPv4 || a.network == networkIPv6 {
		ip, _ := netip.AddrFromSlice(a.addr)
		if ip.Is4In6() { // has an id of its own (BIP155)
			return "", false
		}
		s = schemeTCP + "://" + netip.AddrPortFrom(ip, a.port).String()
	} else if a.network != networkURL {
		return "", false
	}
	s, err := cleanURL(s)
	return s, err == nil && isGossip(s)
}

// isForeign reports whether it is of a network that is passed on but not used here.
func (a *addrV2) isForeign() bool {
	return a.network == networkTor3 || a.network == networkI2P || a.network == networkCJDNS
}

// v1 is the address as addr messages hold it, if it is an IP address.
func (a *addrV2) v1() (t timedAddr, ok bool) {
	if a.network != networkIPv4 && a.network != networkIPv6 {
		return timedAddr{}, false
	}
	ip, _ := netip.AddrFromSlice(a.addr)
	return timedAddr{a.time, netAddr{services: a.services, ip: ip.As16(), port: a.port}}, true
}

// v2 is an address of an addr message as addrv2 messages hold it.
func (t *timedAddr) v2() addrV2 {
	a := addrV2{time: t.time, services: t.services, network: networkIPv6, addr: t.ip[:], port: t.port}
	if ip := netip.AddrFrom16(t.ip); ip.Is4In6() {
		a.network, a.addr = networkIPv4, t.ip[12:]
	}
	return a
}
