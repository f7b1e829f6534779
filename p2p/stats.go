package p2p

import (
	"maps"
	"time"
)

// Traffic counts bytes, in all and by command: of TCP with the head of each
// message, of a WebSocket with the command and without the frames around it.
// Commands that are not understood count together as "*other*", as in Bitcoin Core.
type Traffic struct {
	Total      uint64
	PerMessage map[string]uint64
	Last       time.Time // of the last message; zero before the first
}

func (t *Traffic) count(now time.Time, command string, size int) {
	if _, ok := formats[command]; !ok {
		command = "*other*"
	}
	if t.PerMessage == nil {
		t.PerMessage = make(map[string]uint64)
	}
	t.Total += uint64(size)
	t.PerMessage[command] += uint64(size)
	t.Last = now
}

func (t *Traffic) clone() Traffic {
	c := *t
	c.PerMessage = maps.Clone(t.PerMessage)
	return c
}

// peerStats is what is measured of a peer.
type peerStats struct {
	sent, received     Traffic
	ping, minPing      time.Duration // 0 before the first pong
	lastBlock, lastTx  time.Time     // that was new and valid; zero before the first
	addrsIn, addrsKept int
	addrsLimited       int // not looked at, there were too many
}
