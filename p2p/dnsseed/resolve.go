package dnsseed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds of what is taken of an answer.
const (
	maxAddresses = 32 // of all kinds
	maxTargets   = 16 // of SRV records, each of which is asked for
	maxName      = 253
)

// ErrName is a seed that is none.
var ErrName = errors.New("want dns:HOST or dns:HOST:PORT")

// Name is a seed of a node: `dns:HOST[:PORT]`. The port is that of nodes that A and
// AAAA name; 0 for the network's.
type Name struct {
	Host string
	Port uint16
}

// ParseName reads a seed, and reports whether the text is meant to be one by DNS.
func ParseName(text string) (n Name, ok bool, err error) {
	host, ok := strings.CutPrefix(text, "dns:")
	if !ok {
		return n, false, nil
	}
	if h, port, found := strings.Cut(host, ":"); found {
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil || p == 0 {
			return n, true, fmt.Errorf("%q: %w", text, ErrName)
		}
		host, n.Port = h, uint16(p)
	}
	n.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !isName(n.Host) {
		return n, true, fmt.Errorf("%q: %w", text, ErrName)
	}
	return n, true, nil
}

// isName reports whether a text is a host name and no address.
func isName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil || s == "" || len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if !(c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z') {
				return false
			}
		}
	}
	return true
}

// Resolver is what of net.Resolver is used.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Resolve asks a seed, and gives the URLs of nodes in random order. The port is that of
// the network, for WebSocket.
func Resolve(ctx context.Context, r Resolver, seed Name, port uint16) ([]string, error) {
	if seed.Port != 0 {
		port = seed.Port
	}
	seen := make(map[string]bool)
	add := func(scheme, host string, port uint16) {
		if port != 0 {
			seen[scheme+"://"+net.JoinHostPort(host, strconv.Itoa(int(port)))+"/p2p"] = true
		}
	}
	ips, err := r.LookupNetIP(ctx, "ip", seed.Host)
	rand.Shuffle(len(ips), func(i, j int) { ips[i], ips[j] = ips[j], ips[i] })
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		add("ws", ip.Unmap().WithZone("").String(), port)
	}
	for service, scheme := range map[string]string{"lode": "ws", "lode-tls": "wss"} {
		_, records, failed := r.LookupSRV(ctx, service, "tcp", seed.Host)
		if failed != nil {
			continue // most seeds have none
		}
		rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for _, record := range records[:min(len(records), maxTargets)] {
			target := strings.ToLower(strings.TrimSuffix(record.Target, "."))
			if !isName(target) {
				continue
			}
			if scheme == "wss" { // the certificate has the name
				add(scheme, target, record.Port)
				continue
			}
			of, failed := r.LookupNetIP(ctx, "ip", target)
			if failed == nil && len(of) > 0 {
				add(scheme, of[0].Unmap().WithZone("").String(), record.Port)
			}
		}
	}
	if len(seen) == 0 {
		if err == nil {
			err = errors.New("it names no node")
		}
		return nil, fmt.Errorf("the seed %s: %w", seed.Host, err)
	}
	urls := make([]string, 0, len(seen))
	for url := range seen {
		urls = append(urls, url)
	}
	rand.Shuffle(len(urls), func(i, j int) { urls[i], urls[j] = urls[j], urls[i] })
	return urls[:min(len(urls), maxAddresses)], nil
}

// ServerResolver asks one server, at HOST:PORT, instead of those of the system.
func ServerResolver(server string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
}
