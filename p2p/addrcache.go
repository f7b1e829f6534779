package p2p

import (
	"math/rand/v2"
	"time"
)

const (
	// cacheTime is how long the same answer is given to getaddr at least, and
	// cacheSpread how much longer at random, as in Bitcoin Core
	// (CachedAddrResponse, net.h).
	cacheTime   = 21 * time.Hour
	cacheSpread = 6 * time.Hour
	// maxCaches is how many listening sockets have an answer of their own.
	maxCaches = 16
	// leastCached is how many addresses an answer has that is kept: a node that
	// knows few has nothing to hide, and others should hear of what it learns.
	leastCached = 100
)

// addrCache holds the answers to getaddr, one for each socket on which peers come in:
// who asks again and again, from wherever, learns no more than who asks once, and who
// asks on two sockets does not see that they are of one node.
type addrCache struct {
	answers map[string]addrAnswer
}

type addrAnswer struct {
	list  []address
	until time.Time
}

// get gives the answer for a socket; fresh makes a new one when the last is too old.
func (c *addrCache) get(socket string, now time.Time, fresh func() []address) []address {
	if a, ok := c.answers[socket]; ok && now.Before(a.until) {
		return a.list
	}
	list := fresh()
	if delete(c.answers, socket); len(list) < leastCached || len(c.answers) >= maxCaches {
		return list
	}
	if c.answers == nil {
		c.answers = make(map[string]addrAnswer)
	}
	c.answers[socket] = addrAnswer{list, now.Add(cacheTime + rand.N(cacheSpread))}
	return list
}
