package p2p

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lode/internal/clock"
)

// pipeWindow is how many bytes may be under way in one direction of a pipe or
// wait to be read, about what Linux gives a TCP connection (tcp_rmem), and
// pipeSmall what a short message counts, as Linux counts its buffers.
const (
	pipeWindow = 6 << 20
	pipeSmall  = 4 << 10
)

// Line is what a pipe is like, the same in both directions.
type Line struct {
	Latency time.Duration // one way
	Rate    int           // bytes a second; 0 means no limit
}

// Pipe gives the two ends of a connection in memory, for tests and simulations:
// a's other side is at the address bAddr, and the other way round. Each message
// arrives after latency.
func Pipe(aAddr, bAddr net.Addr, latency time.Duration) (a, b Conn) {
	return Line{Latency: latency}.Pipe(aAddr, bAddr)
}

// Pipe is the function Pipe for a line of limited rate. A message is as long as
// with Bitcoin's framing on TCP, see FrameSize. It occupies its direction of the
// line for that by the rate, for which WriteMessage waits, and then travels.
func (l Line) Pipe(aAddr, bAddr net.Addr) (a, b Conn) {
	there, back := newPipeLane(l), newPipeLane(l)
	end := &pipeEnd{closed: make(chan struct{})}
	return &pipe{in: back, out: there, end: end, remote: bAddr},
		&pipe{in: there, out: back, end: end, remote: aAddr}
}

// FrameSize is how many bytes a message takes on TCP besides its payload.
const FrameSize = frameSize

type pipeMessage struct {
	command string
	payload []byte
	due     time.Time
}

func (m *pipeMessage) size() int { return FrameSize + len(m.payload) }

// pipeLane is one direction.
type pipeLane struct {
	line        Line
	sent, taken chan struct{} // poked when a message is

	mu    sync.Mutex // guards what follows
	free  time.Time  // when the last message has left
	queue []pipeMessage
	bytes int // of queue, against pipeWindow
}

func newPipeLane(l Line) *pipeLane {
	return &pipeLane{line: l, sent: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// isFull reports whether the window has no room.
func (l *pipeLane) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes >= pipeWindow
}

// put sends a message as soon as the line is free, and tells when it has left.
func (l *pipeLane) put(m pipeMessage) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := clock.System.Now(); l.free.Before(now) {
		l.free = now
	}
	if l.line.Rate > 0 {
		l.free = l.free.Add(time.Duration(m.size()) * time.Second / time.Duration(l.line.Rate))
	}
	m.due = l.free.Add(l.line.Latency)
	l.queue, l.bytes = append(l.queue, m), l.bytes+max(m.size(), pipeSmall)
	poke(l.sent)
	return l.free
}

// take takes the first message, if there is one.
func (l *pipeLane) take() (m pipeMessage, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return m, false
	}
	m, l.queue[0] = l.queue[0], pipeMessage{}
	l.queue, l.bytes = l.queue[1:], l.bytes-max(m.size(), pipeSmall)
	poke(l.taken)
	return m, true
}

// pipeEnd is shared by both ends.
type pipeEnd struct {
	once   sync.Once
	closed chan struct{}
}

// until waits for c, or reports false if the pipe is closed.
func (e *pipeEnd) until(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-e.closed:
		return false
	}
}

// sleep waits for a time, or reports false if the pipe is closed.
func (e *pipeEnd) sleep(until time.Time) bool {
	wait := time.Until(until)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.closed:
		return false
	}
}

type pipe struct {
	in, out *pipeLane
	end     *pipeEnd
	remote  net.Addr
	deaf    atomic.Bool // closed on this side
}

// ReadMessage implements Conn.
func (p *pipe) ReadMessage() (string, []byte, error) {
	m, ok := p.in.take()
	for ; !ok; m, ok = p.in.take() {
		if !p.end.until(p.in.sent) {
			return "", nil, errClosed
		}
	}
	if !p.end.sleep(m.due) || p.deaf.Load() {
		return "", nil, errClosed
	}
	if len(m.payload) > maxPayload {
		return "", nil, errOversized
	}
	if _, ok := formats[m.command]; !ok {
		m.payload = nil
	} else if limit := payloadLimit(m.command); len(m.payload) > limit {
		return m.command, nil, tooLong(m.command, limit)
	}
	return m.command, m.payload, nil
}

// WriteMessage implements Conn.
func (p *pipe) WriteMessage(command string, payload []byte) error {
	select {
	case <-p.end.closed:
		return errClosed
	default:
	}
	for p.out.isFull() {
		if !p.end.until(p.out.taken) {
			return errClosed
		}
	}
	left := p.out.put(pipeMessage{command: command, payload: slices.Clone(payload)})
	if !p.end.sleep(left) {
		return errClosed
	}
	return nil
}

// Close implements Conn.
func (p *pipe) Close(string) error {
	p.deaf.Store(true)
	p.end.once.Do(func() { close(p.end.closed) })
	return nil
}

// RemoteAddr implements Conn.
func (p *pipe) RemoteAddr() net.Addr { return p.remote }

// Transport implements Conn.
func (p *pipe) Transport() string { return "pipe" }
