package p2p

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"lode/consensus"
)

const (
	// trickleInterval is the mean time between two messages with addresses that are
	// passed on to a peer, as in Bitcoin Core (AVG_ADDRESS_BROADCAST_INTERVAL).
	trickleInterval = 30 * time.Second
	// maxKnownAddrs is how many addresses are remembered per peer as known to it.
	maxKnownAddrs = 5000
)

// addrTrickle is what one peer is to be told of addresses that others have told, and
// when: at random times, so that nobody learns from them where an address came from.
//
//	state    it has                  leaves by
//	idle     nothing that waits      add → waiting
//	waiting  at most maxAddrs        due at its time → idle
//
// The times go on whether something waits or not. What the peer knows is not told to it.
// The zero value is idle.
type addrTrickle struct {
	next  time.Time
	out   []addrV2
	known *recentSet // nil until there is one
}

// addrKey tells addresses apart, whatever else is said of them.
func addrKey(a *addrV2) consensus.Hash {
	b := append([]byte{a.network}, a.addr...)
	return sha256.Sum256(binary.BigEndian.AppendUint16(b, a.port))
}

// knows notes that the peer knows an address.
func (t *addrTrickle) knows(a *addrV2) {
	if t.known == nil {
		t.known = newRecentSet(maxKnownAddrs)
	}
	t.known.add(addrKey(a))
}

// add has the peer told of an address. Where too many wait, it takes the place of one.
func (t *addrTrickle) add(a addrV2) {
	switch {
	case t.known != nil && t.known.has(addrKey(&a)):
	case len(t.out) < maxAddrs:
		t.out = append(t.out, a)
	default:
		t.out[rand.IntN(len(t.out))] = a
	}
}

// due gives what is to be sent now.
func (t *addrTrickle) due(now time.Time) (list []addrV2) {
	first := t.next.IsZero()
	if !first && now.Before(t.next) {
		return nil
	}
	t.next = now.Add(exponential(trickleInterval))
	if first {
		return nil
	}
	for _, a := range t.out {
		if t.known == nil || !t.known.has(addrKey(&a)) {
			t.knows(&a)
			list = append(list, a)
		}
	}
	t.out = nil
	return list
}

const (
	// passTo is how many peers a new address is passed on to, passDays how long to
	// the same ones, so that who tells it again and again reaches no more.
	passTo   = 2
	passTerm = 24 * time.Hour
)

// destinations chooses whom an address is passed on to: for passTerm the same two of ids,
// or one of them half the time if it is of a network that cannot be reached from here.
// Nobody without the key can tell which. As in Bitcoin Core (RelayAddress).
func destinations(key *bookKey, a *addrV2, reachable bool, ids []int64, now time.Time) (chosen []int64) {
	h := addrKey(a)
	shift := binary.LittleEndian.Uint64(h[:8]) % uint64(passTerm/time.Second)
	term := (uint64(now.Unix()) + shift) / uint64(passTerm/time.Second)
	seed := string(h[:]) + string(binary.LittleEndian.AppendUint64(nil, term))
	count := passTo
	if !reachable && key.hash(2, "pass", seed) == 0 {
		count = 1
	}
	for range min(count, len(ids)) {
		best, least := int64(0), -1
		for _, id := range ids {
			n := key.hash(1<<31-1, "pass to", seed, string(binary.LittleEndian.AppendUint64(nil, uint64(id))))
			if (least < 0 || n < least) && (len(chosen) == 0 || chosen[0] != id) {
				best, least = id, n
			}
		}
		chosen = append(chosen, best)
	}
	return chosen
}
