package electrum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"lode/internal/pause"
	"lode/internal/places"
	"lode/internal/poke"
)

// conn is the connection of one client. One goroutine reads requests and works on
// them, one after the other; another writes what is ready. No request is taken while
// much waits to be read.
type conn struct {
	s       *Server
	t       transport
	from    string // for the log
	origin  places.Origin
	account *account // nil for an exempt one
	cut     context.CancelCauseFunc
	budget  budget // used by its reader alone
	session session

	ready chan struct{} // there is something to write
	read  chan struct{} // something was written

	mu      sync.Mutex // guards what follows
	name    string     // what the client calls itself
	out     []outgoing // answers
	unread  int        // bytes of them
	told    []*subscription
	subs    map[target]*subscription
	headers *subscription
}

// outgoing is an answer, and what it settles.
type outgoing struct {
	message []byte
	taken   int // bytes of Server.answers
}

func newConn(s *Server, t transport, from net.Addr, cut context.CancelCauseFunc) *conn {
	c := &conn{
		s: s, t: t, from: from.String(), cut: cut, budget: newBudget(connBurst, connRefill, time.Now()),
		ready: make(chan struct{}, 1), read: make(chan struct{}, 1), subs: make(map[target]*subscription),
	}
	c.session = session{c: c, version: oldest}
	if a, err := netip.ParseAddrPort(c.from); err == nil {
		c.origin = places.OriginOf(a.Addr())
		c.origin.Exempt = s.cfg.Local(a.Addr().Unmap())
	}
	return c
}

// client is what the client calls itself.
func (c *conn) client() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// run serves the connection until ctx ends, and says why it has ended; nil if the
// client has left.
func (c *conn) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer context.AfterFunc(ctx, c.t.close)()
	wg.Go(func() { c.write(ctx) })
	err := c.serve(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		c.flush(ctx)
	}
	c.cut(nil)
	wg.Wait()
	for _, o := range c.out {
		c.s.release(c, o.taken)
	}
	switch cause := context.Cause(ctx); {
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// serve answers requests.
func (c *conn) serve(ctx context.Context) error {
	defer c.t.forget()
	idle := min(helloTimeout, c.s.cfg.IdleTimeout)
	for first := true; ; first = false {
		line, err := c.t.read(idle)
		if err != nil {
			return err
		}
		if first && !isObject(line) {
			return errForm
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if first {
			c.s.spoke(c)
			idle = c.s.cfg.IdleTimeout
		}
		began := time.Now()
		if err := c.s.calls.Acquire(ctx, 1); err != nil {
			return err
		}
		reply, err := c.session.handle(ctx, line)
		c.s.calls.Release(1)
		if reply.message != nil {
			c.enqueue(reply)
		}
		if err != nil {
			return err
		}
		cost := reply.cost + float64(time.Since(began))/float64(unit)
		if wait := c.s.charge(c, cost); wait > 0 {
			_ = pause.For(ctx, wait)
		}
		if err := c.drained(ctx); err != nil {
			return err
		}
	}
}

// drained waits until not too much waits to be read.
func (c *conn) drained(ctx context.Context) error {
	for {
		c.mu.Lock()
		unread := c.unread
		c.mu.Unlock()
		if unread <= maxUnread {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.read:
		}
	}
}

// flush waits a moment for the last answer, which says why the connection ends, to be
// written.
func (c *conn) flush(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, lastTimeout)
	defer stop()
	for {
		c.mu.Lock()
		unread := c.unread
		c.mu.Unlock()
		if unread == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.read:
		}
	}
}

// enqueue hands an answer to the writer. Subscriptions that it answers are told of
// changes from here on, so that no notification overtakes the answer.
func (c *conn) enqueue(r reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, outgoing{r.message, r.taken})
	c.unread += len(r.message)
	for _, a := range r.settles {
		a.sub.settle(a.state)
	}
	c.wake()
}

func (c *conn) wake() { poke.Send(c.ready) }

// write writes what is ready, until ctx ends.
func (c *conn) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ready:
		}
		out, told := c.take()
		messages := make([][]byte, 0, len(out)+len(told))
		size, taken := 0, 0
		for _, o := range out {
			messages = append(messages, o.message)
			size, taken = size+len(o.message), taken+o.taken
		}
		messages = append(messages, told...)
		c.s.counts.Notifications.Add(uint64(len(told)))
		err := c.t.write(messages)
		c.s.release(c, taken)
		c.mu.Lock()
		c.unread -= size
		c.mu.Unlock()
		poke.Send(c.read)
		if err != nil {
			c.cut(err)
			return
		}
	}
}

// take takes what is ready: the answers, then the notifications of what was told to
// the connection since, with the state as it is now. Those that do not fit into one
// go stay for the next.
func (c *conn) take() (out []outgoing, told [][]byte) {
	const most = 1000
	c.mu.Lock()
	defer c.mu.Unlock()
	out, c.out = c.out, nil
	n := min(most, len(c.told))
	for _, sub := range c.told[:n] {
		if sub.queued = false; !sub.gone {
			told = append(told, sub.message())
		}
	}
	if c.told = c.told[n:]; len(c.told) > 0 {
		c.wake()
	} else {
		c.told = nil
	}
	return out, told
}

var errMany = fmt.Errorf("it made %d wrong requests", maxErrors)
