package p2p

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"lode/consensus"
)

// dnsSource begins the source of what a DNS seed told of.
const dnsSource = "dns:"

// maxLearned is how many addresses are taken from an answer of a DNS seed.
const maxLearned = 32

func fromDNS(a *address) bool { return strings.HasPrefix(a.Source, dnsSource) }

// LearnSeeds takes URLs into the address book that a DNS seed has told of, with the seed
// as their source, so that they have few places there, and seen some days ago, as in
// Bitcoin Core. Of the outbound places they get half at most. It says how many are new.
func (n *Node) LearnSeeds(seed string, urls []string) (kept int) {
	now := n.wall.Now()
	for _, url := range urls[:min(len(urls), maxLearned)] {
		url, err := n.checkURL(url)
		if err != nil || !isGossip(url) || n.isOwnURL(url) {
			continue
		}
		if ip, name := hostInURL(url); name == "" && !n.space.mayDial(ip) {
			continue
		}
		seen := now.Add(-3*24*time.Hour - rand.N(4*24*time.Hour))
		if n.book.learn(url, serviceNetwork|serviceWitness, seen, dnsSource+seed) {
			kept++
		}
	}
	if kept > 0 {
		poke(n.dialWake)
	}
	return kept
}

func (n *Node) isOwnURL(url string) bool {
	for _, own := range n.cfg.Advertise {
		if own == url {
			return true
		}
	}
	return false
}

// IsPublic reports whether an IP address leads to the same host from everywhere.
func IsPublic(a netip.Addr) bool { return space{}.isPublic(a) }

// SubProtocol names the network of rules in the WebSocket handshake.
func SubProtocol(r *consensus.Rules) string { return subProtocol(r) }
