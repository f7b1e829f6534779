package p2p

import (
	"container/list"
	"net/netip"
	"time"
)

// meter limits how often something may happen for each of many keys: a bucket of
// burst tokens a key, into which one more comes at every interval. A key is known
// only as long as its bucket is not full, and at most so many keys are: of more,
// the one that was not seen for longest is forgotten. Nothing it does depends on
// how many there are.
type meter[K comparable] struct {
	burst int
	every time.Duration // between two tokens
	most  int           // keys

	known map[K]*list.Element
	order list.List // of *bucket[K]; the one not seen for longest comes first
}

// bucket tells how many tokens there are by when there will be all of them.
type bucket[K comparable] struct {
	key  K
	full time.Time
}

// take reports whether there is a token for the key, and takes it.
func (m *meter[K]) take(key K, now time.Time) bool {
	m.free(now)
	e, ok := m.known[key]
	if !ok {
		if m.order.Len() >= m.most {
			m.forget(m.order.Front())
		}
		if m.known == nil {
			m.known = make(map[K]*list.Element)
		}
		e = m.order.PushBack(&bucket[K]{key, now})
		m.known[key] = e
	}
	m.order.MoveToBack(e)
	b := e.Value.(*bucket[K])
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.Sub(now) > time.Duration(m.burst-1)*m.every {
		return false
	}
	b.full = b.full.Add(m.every)
	return true
}

// free forgets the keys whose buckets are full, of those that were not seen for
// longest. Nobody stays who was not seen for as long as it takes to fill a bucket.
func (m *meter[K]) free(now time.Time) {
	for e := m.order.Front(); e != nil && !e.Value.(*bucket[K]).full.After(now); e = m.order.Front() {
		m.forget(e)
	}
}

func (m *meter[K]) forget(e *list.Element) {
	delete(m.known, e.Value.(*bucket[K]).key)
	m.order.Remove(e)
}

// knocks limits how often strangers may connect, by their address and by their
// part of the network: who has one address has no other, and who was given
// millions of IPv6 addresses has them in one part.
type knocks struct {
	hosts  meter[netip.Prefix]
	groups meter[string] // see netGroup
}

func newKnocks() knocks {
	return knocks{
		hosts:  meter[netip.Prefix]{burst: hostBurst, every: hostInterval, most: maxMetered},
		groups: meter[string]{burst: groupBurst, every: groupInterval, most: maxMetered},
	}
}

// take reports whether somebody at an address may connect now.
func (k *knocks) take(host netip.Addr, now time.Time) bool {
	return k.hosts.take(hostKey(host), now) && k.groups.take(netGroup(host), now)
}

// hostKey is what one host has: an IPv4 address, or 64 bits of an IPv6 address.
func hostKey(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	if v4, ok := innerIPv4(ip); ok {
		ip = v4
	}
	if !ip.IsValid() {
		return netip.Prefix{}
	}
	prefix, _ := ip.Prefix(min(ip.BitLen(), 64)) // in range by construction
	return prefix
}
