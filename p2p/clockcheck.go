package p2p

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"lode/consensus"
)

const (
	// minOffsets is how many outbound peers must have told their time before it
	// means something, and maxOffsets how many are remembered. From maxSkew on,
	// or the network's drift if that is less, the operator is warned. As in
	// Bitcoin Core (timeoffsets.cpp), but one peer counts once.
	minOffsets = 5
	maxOffsets = 50
	maxSkew    = 10 * time.Minute
	// clockJump is how far this machine's clock may move against the time that
	// passes before what was learnt of it is forgotten: somebody has set it, or
	// the machine was asleep.
	clockJump = 30 * time.Second
	// clockReminder is how often the log says again that the clock is wrong.
	clockReminder = time.Hour
)

// offsets are by how much the clocks of outbound peers are ahead of this one. They
// judge the clock and change nothing.
type offsets struct {
	list []offset // one of each peer, the latest last

	known  bool // of what follows
	wall   time.Time
	passed time.Duration
}

type offset struct {
	url   string
	ahead time.Duration
}

// look compares the clock, wall, with the time that has passed since some instant,
// and forgets all if they do not agree since the last look.
func (o *offsets) look(wall time.Time, passed time.Duration) {
	if jump := wall.Sub(o.wall) - (passed - o.passed); o.known && jump.Abs() > clockJump {
		o.list = nil
	}
	o.known, o.wall, o.passed = true, wall, passed
}

// add records by how much the clock of the peer at a URL is ahead.
func (o *offsets) add(url string, ahead time.Duration) {
	o.list = slices.DeleteFunc(o.list, func(one offset) bool { return one.url == url })
	o.list = append(o.list, offset{url, ahead})
	o.list = o.list[max(0, len(o.list)-maxOffsets):]
}

// median is by how much the peers are ahead; ok is false while they are too few.
func (o *offsets) median() (ahead time.Duration, ok bool) {
	if len(o.list) < minOffsets {
		return 0, false
	}
	var all []time.Duration
	for _, one := range o.list {
		all = append(all, one.ahead)
	}
	slices.Sort(all)
	return all[len(all)/2], true
}

// clockCheck tells the operator of a wrong clock. Nothing waits for it, or is
// refused because of it.
type clockCheck struct {
	drift time.Duration // how far ahead blocks may be
	begun time.Time     // by the clock that always goes on

	mu      sync.Mutex // guards what follows
	offsets offsets
	warned  time.Time // when the log last said so; zero while the clock seems right
	future  time.Time // when it last spoke of a block from the future
}

// warning is what there is to say of the clock; empty for nothing. The caller
// holds mu.
func (c *clockCheck) warning() string {
	ahead, ok := c.offsets.median()
	if !ok || ahead.Abs() <= min(maxSkew, c.drift) {
		return ""
	}
	by, of := ahead.Abs().Round(time.Second), len(c.offsets.list)
	if ahead > 0 {
		return fmt.Sprintf("The clock of this machine seems to be %v behind (the median of %d outbound peers): "+
			"blocks of others are from the future and are not taken until then. Please set it.", by, of)
	}
	return fmt.Sprintf("The clock of this machine seems to be %v ahead (the median of %d outbound peers): "+
		"others may refuse the blocks that it makes. Please set it.", by, of)
}

// step looks at the clock, after ahead was told by the peer at a URL if that is not
// empty. say is what the log shall say now, news of a clock that seems right again
// included; empty for nothing.
func (c *clockCheck) step(wall, now time.Time, url string, ahead time.Duration) (say string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offsets.look(wall, now.Sub(c.begun))
	if url != "" {
		c.offsets.add(url, ahead)
	}
	warning := c.warning()
	switch {
	case warning == "" && c.warned.IsZero():
	case warning == "":
		c.warned, say = time.Time{}, "The clock of this machine seems right again."
	case c.warned.IsZero() || now.Sub(c.warned) >= clockReminder:
		c.warned, say = now, warning
	}
	return say
}

// checkClock looks at the clock when time has passed, or when a peer has told its
// own: url is empty, or where it was dialled.
func (n *Node) checkClock(url string, ahead time.Duration) {
	if say := n.drift.step(n.wall.Now(), n.steady.Now(), url, ahead); say != "" {
		n.log.Warn(say)
	}
}

// fromFuture has the peer asked again for a header that this node's clock does not
// allow yet, and says so in the log: the operator may have set the clock wrong, and
// nothing else tells while the peers are few.
func (n *Node) fromFuture(p *peer, h *consensus.Header) {
	n.sync.tooEarly(p)
	if p.inbound() {
		return // anybody could fill the log
	}
	now := n.steady.Now()
	n.drift.mu.Lock()
	due := n.drift.future.IsZero() || now.Sub(n.drift.future) >= maxSkew
	if due {
		n.drift.future = now
	}
	n.drift.mu.Unlock()
	if due {
		n.log.Warn("blocks of a peer are from the future and are not taken yet: if the clock of this machine is wrong, set it",
			"peer", p.String(), "ahead", time.Unix(int64(h.Time), 0).Sub(n.wall.Now()).Round(time.Second))
	}
}

// Warnings are what an operator should know of the network, in sentences.
func (n *Node) Warnings() (list []string) {
	n.drift.mu.Lock()
	defer n.drift.mu.Unlock()
	if w := n.drift.warning(); w != "" {
		list = append(list, w)
	}
	return list
}
