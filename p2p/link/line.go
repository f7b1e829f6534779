// Package link makes connections as slow and as unreliable as a network between
// cities, for networks that run on one machine. Each side delays what it sends, so a
// link's properties are in one direction, and a round trip takes the latencies of both.
//
// What is lost is sent again, as by TCP: the bytes of a stream come late, and hold up
// what is behind them, but they come.
//
// Files: line.go decides when bytes arrive (no clock, lock or goroutine inside),
// config.go reads the settings, conn.go does it to a connection.
package link

import "time"

const (
	segment = 1460 // bytes that are lost or arrive together
	// leastRetry is the least time after which TCP sends again what was lost
	// (RFC 6298 has a second, Linux 200 ms).
	leastRetry = 200 * time.Millisecond
	// mostRetries bounds how often one segment is lost in a row.
	mostRetries = 6
)

// line is one direction of a connection: it says when what is sent arrives. Bytes
// leave one after the other at the rate, are on the way for latency and jitter, and
// arrive in order.
type line struct {
	Config
	chance func() float64 // in [0, 1)

	free time.Time // when all that was sent so far has left
	last time.Time // when it has arrived
}

// send is when n bytes that are given to the line now have arrived.
func (l *line) send(now time.Time, n int) time.Time {
	if l.free.Before(now) {
		l.free = now
	}
	if l.Rate > 0 {
		l.free = l.free.Add(time.Duration(float64(n) * 8 / float64(l.Rate) * float64(time.Second)))
	}
	arrives := l.free.Add(l.Latency + time.Duration(l.chance()*float64(l.Jitter)))
	for left := n; left > 0; left -= segment {
		retry := max(leastRetry, 2*l.Latency)
		for lost := 0; lost < mostRetries && l.chance() < l.Loss; lost++ {
			arrives = arrives.Add(retry)
			retry *= 2
		}
	}
	if arrives.Before(l.last) {
		arrives = l.last
	}
	l.last = arrives
	return arrives
}
