package link

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// window is how many bytes may be on the way at a time, before a sender has to wait.
const window = 4 << 20

// lingers is how long what was sent before Close may go on being delivered.
const lingers = 2 * time.Minute

// Listener gives the connections of l over a link.
func Listener(l net.Listener, c Config) net.Listener {
	if c.IsZero() {
		return l
	}
	return listener{l, c}
}

type listener struct {
	net.Listener
	config Config
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(c, l.config), nil
}

// conn delays what is written to a connection. A goroutine of its own delivers, and
// ends when the connection is closed and everything is delivered, or has failed.
type conn struct {
	net.Conn
	ended chan struct{} // closed by Close

	mu       sync.Mutex // guards what follows
	changed  sync.Cond
	line     line
	queue    []packet
	held     int // bytes of queue, and of what is being delivered
	closed   bool
	failed   error
	deadline time.Time // of writing; zero for none
	alarm    *time.Timer
}

type packet struct {
	bytes   []byte
	arrives time.Time
}

// New gives a connection whose writes arrive as the link has it; nothing changes for
// what is read.
func New(c net.Conn, config Config) net.Conn {
	if config.IsZero() {
		return c
	}
	slow := &conn{Conn: c, ended: make(chan struct{}), line: line{Config: config, chance: rand.Float64}}
	slow.changed.L = &slow.mu
	go slow.deliver()
	return slow
}

// Write implements net.Conn. It waits while the window is full.
func (c *conn) Write(b []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(b) > 0 {
		for c.held >= window && c.failed == nil && !c.closed && !c.late() {
			c.changed.Wait()
		}
		switch {
		case c.closed:
			return n, net.ErrClosed
		case c.failed != nil:
			return n, c.failed
		case c.late():
			return n, os.ErrDeadlineExceeded
		}
		part := b[:min(len(b), window/4)]
		c.queue = append(c.queue, packet{append([]byte(nil), part...), c.line.send(time.Now(), len(part))})
		c.held += len(part)
		n, b = n+len(part), b[len(part):]
		c.changed.Broadcast()
	}
	return n, nil
}

func (c *conn) late() bool { return !c.deadline.IsZero() && !time.Now().Before(c.deadline) }

// deliver writes what is due to the connection.
func (c *conn) deliver() {
	for {
		p, ok := c.next()
		if !ok || !c.wait(p.arrives) {
			_ = c.Conn.Close()
			return
		}
		_, err := c.Conn.Write(p.bytes)
		c.mu.Lock()
		c.held -= len(p.bytes)
		if err != nil && c.failed == nil {
			c.failed, c.queue = err, nil
		}
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}

// wait waits until t. It is false for what would arrive too long after Close.
func (c *conn) wait(t time.Time) bool {
	due := time.NewTimer(time.Until(t))
	defer due.Stop()
	select {
	case <-due.C:
		return true
	case <-c.ended:
	}
	if time.Until(t) > lingers {
		return false
	}
	<-due.C
	return true
}

// next waits for something to deliver; there is none any more once the connection is
// closed or has failed.
func (c *conn) next() (packet, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed && c.failed == nil {
		c.changed.Wait()
	}
	if len(c.queue) == 0 {
		return packet{}, false
	}
	p := c.queue[0]
	c.queue = c.queue[1:]
	return p, true
}

// Close implements net.Conn. What was written before still arrives; nothing is read
// any more.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	close(c.ended)
	if c.alarm != nil {
		c.alarm.Stop()
	}
	c.changed.Broadcast()
	err := c.Conn.SetReadDeadline(time.Unix(1, 0))
	return errors.Join(err, c.Conn.SetWriteDeadline(time.Now().Add(lingers)))
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			return n, net.ErrClosed
		}
	}
	return n, err
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn. It bounds the wait for the window, as the
// deadline of a socket bounds the wait for its buffer.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.deadline = t
	if c.alarm != nil {
		c.alarm.Stop()
		c.alarm = nil
	}
	if !t.IsZero() {
		c.alarm = time.AfterFunc(time.Until(t), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	return nil
}
