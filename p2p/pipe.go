package p2p

import (
	"net"
	"slices"
	"sync"
	"time"
)

// pipeDepth is how many messages may be under way in one direction of a pipe.
const pipeDepth = 32

// Pipe gives the two ends of a connection in memory, for tests and simulations:
// a's other side is at the address bAddr, and the other way round. Each message
// arrives after latency.
func Pipe(aAddr, bAddr net.Addr, latency time.Duration) (a, b Conn) {
	there, back := make(chan pipeMessage, pipeDepth), make(chan pipeMessage, pipeDepth)
	end := &pipeEnd{closed: make(chan struct{})}
	return &pipe{in: back, out: there, end: end, remote: bAddr, latency: latency},
		&pipe{in: there, out: back, end: end, remote: aAddr, latency: latency}
}

type pipeMessage struct {
	command string
	payload []byte
	due     time.Time
}

// pipeEnd is shared by both ends.
type pipeEnd struct {
	once   sync.Once
	closed chan struct{}
}

type pipe struct {
	in, out chan pipeMessage
	end     *pipeEnd
	remote  net.Addr
	latency time.Duration
}

// ReadMessage implements Conn.
func (p *pipe) ReadMessage() (string, []byte, error) {
	var m pipeMessage
	select {
	case m = <-p.in:
	case <-p.end.closed:
		return "", nil, errClosed
	}
	if wait := time.Until(m.due); wait > 0 {
		select {
		case <-time.After(wait):
		case <-p.end.closed:
			return "", nil, errClosed
		}
	}
	if f, ok := formats[m.command]; !ok {
		m.payload = nil
	} else if len(m.payload) > f.max {
		return "", nil, tooLong(m.command, f.max)
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
	select {
	case p.out <- pipeMessage{command, slices.Clone(payload), time.Now().Add(p.latency)}:
		return nil
	case <-p.end.closed:
		return errClosed
	}
}

// Close implements Conn.
func (p *pipe) Close(string) error {
	p.end.once.Do(func() { close(p.end.closed) })
	return nil
}

// RemoteAddr implements Conn.
func (p *pipe) RemoteAddr() net.Addr { return p.remote }

// Transport implements Conn.
func (p *pipe) Transport() string { return "pipe" }
