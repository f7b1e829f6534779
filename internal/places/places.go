// Package places gives a bounded number of places to what strangers take up:
// connections, names. Nobody can keep others out by being there first: what has
// proven least makes room for the next, the one that has been there longest of the
// address and the network that take up most.
//
// A table is pure: no clock, lock or socket. Every step takes constant time.
package places

import (
	"container/list"
	"net/netip"
)

// Origin is where something comes from: an address and the network around it.
// In IPv6 an address is a network of 64 bits, as who has one address has all of
// them.
type Origin struct {
	Address netip.Addr
	Network netip.Prefix // 24 bits, in IPv6 48
	Exempt  bool         // from the limits of an address and a network
}

// OriginOf is that of an IP address; the zero address counts as one, too.
func OriginOf(a netip.Addr) Origin {
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		a, bits = netip.PrefixFrom(a, 64).Masked().Addr(), 48
	}
	network, _ := a.Prefix(bits) // the zero address has the zero network
	return Origin{Address: a, Network: network}
}

// Limits bound a table. A rank says what somebody has proven: 0 is nothing.
type Limits struct {
	Most       int // in all
	PerAddress int // of ranks below Counts; 0 for no limit
	PerNetwork int // likewise
	Counts     int // ranks from here on do not count for the limits of an address and a network
	Keeps      int // ranks from here on make no room
	Ranks      int // how many ranks there are
}

// Table is who has a place. An entry enters with rank 0, changes its rank, and
// leaves by itself or to make room.
//
//	event              what happens
//	Enter, limits kept it has a place
//	Enter, its address over its limit   the lowest rank of the address makes room
//	Enter, its network over its limit   the lowest rank of the network does
//	Enter, all places taken             the lowest rank of all does; if all ranks
//	                                    are kept, it is refused
//	Rank               it becomes the newest of the rank
//	Leave              its place is free
//
// The one that makes room is, of the lowest rank, the oldest of the address with
// most entries of the network with most entries; of equal ones, that which has had
// so many for longest.
type Table[K comparable] struct {
	limits  Limits
	entries map[K]*entry[K]
	shelves []shelf[K] // by rank
}

type entry[K comparable] struct {
	key    K
	origin Origin
	rank   int
	at     *list.Element // in the list of its address
}

// New prepares a table.
func New[K comparable](l Limits) *Table[K] {
	t := &Table[K]{limits: l, entries: make(map[K]*entry[K]), shelves: make([]shelf[K], max(1, l.Ranks))}
	for i := range t.shelves {
		t.shelves[i] = newShelf[K]()
	}
	return t
}

// Len is how many places are taken.
func (t *Table[K]) Len() int { return len(t.entries) }

// Enter gives key a place. Those in out have lost theirs. It is refused if nobody
// makes room, or if it is there already.
func (t *Table[K]) Enter(key K, from Origin) (out []K, ok bool) {
	if _, there := t.entries[key]; there {
		return nil, false
	}
	if e := t.nearby(from); e != nil {
		t.remove(e)
		out = append(out, e.key)
	}
	if len(t.entries) >= t.limits.Most {
		e := t.lowest(t.limits.Keeps, (*shelf[K]).heaviest)
		if e == nil {
			return out, false
		}
		t.remove(e)
		out = append(out, e.key)
	}
	e := &entry[K]{key: key, origin: from}
	t.entries[key] = e
	t.shelves[0].add(e)
	return out, true
}

// Next is one that would make room if somebody entered now; false if there is free
// room, or nobody makes any.
func (t *Table[K]) Next(from Origin) (key K, ok bool) {
	e := t.nearby(from)
	if e == nil && len(t.entries) >= t.limits.Most {
		e = t.lowest(t.limits.Keeps, (*shelf[K]).heaviest)
	}
	if e == nil {
		return key, false
	}
	return e.key, true
}

// nearby is who makes room so that the limits of an address and its network are
// kept for one more; nil if they are.
func (t *Table[K]) nearby(from Origin) *entry[K] {
	if from.Exempt {
		return nil
	}
	ofAddress := func(s *shelf[K]) *entry[K] { return s.oldest(from.Address) }
	ofNetwork := func(s *shelf[K]) *entry[K] { return s.heaviestOf(from.Network) }
	address, network := 0, 0
	for i := range t.shelves[:min(t.limits.Counts, len(t.shelves))] {
		address += t.shelves[i].ofAddress(from.Address)
		network += t.shelves[i].networks.count(from.Network)
	}
	switch {
	case t.limits.PerAddress > 0 && address >= t.limits.PerAddress:
		return t.lowest(t.limits.Counts, ofAddress)
	case t.limits.PerNetwork > 0 && network >= t.limits.PerNetwork:
		return t.lowest(t.limits.Counts, ofNetwork)
	}
	return nil
}

// lowest finds an entry of the lowest rank below a bound that has one.
func (t *Table[K]) lowest(below int, find func(*shelf[K]) *entry[K]) *entry[K] {
	for i := range t.shelves[:min(below, len(t.shelves))] {
		if e := find(&t.shelves[i]); e != nil {
			return e
		}
	}
	return nil
}

// Rank says what key has proven by now. Nothing happens if it has no place.
func (t *Table[K]) Rank(key K, rank int) {
	e := t.entries[key]
	if e == nil || e.rank == rank {
		return
	}
	t.shelves[e.rank].remove(e)
	e.rank = min(max(rank, 0), len(t.shelves)-1)
	t.shelves[e.rank].add(e)
}

// Leave frees the place of key. Nothing happens if it has none.
func (t *Table[K]) Leave(key K) {
	if e := t.entries[key]; e != nil {
		t.remove(e)
	}
}

func (t *Table[K]) remove(e *entry[K]) {
	delete(t.entries, e.key)
	t.shelves[e.rank].remove(e)
}

// shelf is the entries of one rank.
type shelf[K comparable] struct {
	networks  tally[netip.Prefix]
	addresses map[netip.Prefix]*tally[netip.Addr] // of each network
	entries   map[netip.Addr]*list.List           // of each address, the oldest first
}

func newShelf[K comparable]() shelf[K] {
	return shelf[K]{newTally[netip.Prefix](), make(map[netip.Prefix]*tally[netip.Addr]), make(map[netip.Addr]*list.List)}
}

func (s *shelf[K]) add(e *entry[K]) {
	network, address := e.origin.Network, e.origin.Address
	if s.entries[address] == nil {
		s.entries[address] = list.New()
	}
	if s.addresses[network] == nil {
		t := newTally[netip.Addr]()
		s.addresses[network] = &t
	}
	e.at = s.entries[address].PushBack(e)
	s.networks.add(network)
	s.addresses[network].add(address)
}

func (s *shelf[K]) remove(e *entry[K]) {
	network, address := e.origin.Network, e.origin.Address
	if s.entries[address].Remove(e.at); s.entries[address].Len() == 0 {
		delete(s.entries, address)
	}
	s.networks.drop(network)
	if s.addresses[network].drop(address); s.networks.count(network) == 0 {
		delete(s.addresses, network)
	}
}

// heaviest is the oldest entry of the largest address of the largest network; nil
// if there is none.
func (s *shelf[K]) heaviest() *entry[K] {
	network, ok := s.networks.largest()
	if !ok {
		return nil
	}
	return s.heaviestOf(network)
}

// heaviestOf is the oldest entry of the largest address of a network.
func (s *shelf[K]) heaviestOf(network netip.Prefix) *entry[K] {
	addresses := s.addresses[network]
	if addresses == nil {
		return nil
	}
	address, _ := addresses.largest()
	return s.oldest(address)
}

func (s *shelf[K]) oldest(address netip.Addr) *entry[K] {
	l := s.entries[address]
	if l == nil {
		return nil
	}
	return l.Front().Value.(*entry[K])
}

func (s *shelf[K]) ofAddress(address netip.Addr) int {
	if l := s.entries[address]; l != nil {
		return l.Len()
	}
	return 0
}

// tally counts the members of groups, and knows the largest.
type tally[G comparable] struct {
	groups map[G]*group[G]
	with   []*list.List // groups by their number of members, who came to it first in front
	top    int          // the largest number
}

type group[G comparable] struct {
	name  G
	count int
	at    *list.Element
}

func newTally[G comparable]() tally[G] { return tally[G]{groups: make(map[G]*group[G])} }

func (t *tally[G]) count(name G) int {
	if g := t.groups[name]; g != nil {
		return g.count
	}
	return 0
}

func (t *tally[G]) add(name G) {
	g := t.groups[name]
	if g == nil {
		g = &group[G]{name: name}
		t.groups[name] = g
	} else {
		t.with[g.count].Remove(g.at)
	}
	t.put(g, g.count+1)
	t.top = max(t.top, g.count)
}

func (t *tally[G]) drop(name G) {
	g := t.groups[name]
	if t.with[g.count].Remove(g.at); t.with[t.top].Len() == 0 {
		t.top-- // where g is now, or nobody
	}
	if g.count == 1 {
		delete(t.groups, name)
		return
	}
	t.put(g, g.count-1)
}

func (t *tally[G]) put(g *group[G], count int) {
	for len(t.with) <= count {
		t.with = append(t.with, list.New())
	}
	g.count, g.at = count, t.with[count].PushBack(g)
}

// largest is the group with most members, of equal ones the one that has had so many
// for longest; false if there is none.
func (t *tally[G]) largest() (name G, ok bool) {
	if t.top == 0 {
		return name, false
	}
	return t.with[t.top].Front().Value.(*group[G]).name, true
}
