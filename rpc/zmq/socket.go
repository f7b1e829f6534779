package zmq

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what strangers take.
const (
	maxSubscribers = 64       // of an address
	maxTopics      = 64       // of a subscriber
	maxQueue       = 32 << 20 // bytes that wait for one subscriber
	maxQueues      = 128 << 20
	greetTime      = 10 * time.Second
	stuckTime      = time.Minute // after which one that takes nothing is cut off
)

// DefaultHWM is how many messages wait for a subscriber before more are left out, as in
// Bitcoin Core.
const DefaultHWM = 1000

// socket is a PUB socket: what is sent goes to all who have subscribed to the beginning
// of its first part. A subscriber that does not read has its own queue run full, and
// then misses messages, which the numbers in them show; nobody waits for it.
type socket struct {
	log     *slog.Logger
	hwm     int // messages, 0 for no limit but that of bytes
	waiting atomic.Int64

	mu   sync.Mutex // guards what follows
	subs map[*subscriber]struct{}
}

func newSocket(log *slog.Logger, hwm int) *socket {
	return &socket{log: log, hwm: hwm, subs: make(map[*subscriber]struct{})}
}

// subscriber is one connection.
type subscriber struct {
	conn  net.Conn
	awake chan struct{} // something was put into the queue

	mu     sync.Mutex // guards what follows
	topics map[string]int
	queue  [][]byte
	bytes  int
}

// send gives a message to those who want it, and never waits.
func (s *socket) send(topic string, message []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs {
		sub.offer(s, topic, message)
	}
}

func (sub *subscriber) offer(s *socket, topic string, message []byte) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if !sub.wants(topic) {
		return
	}
	if s.hwm > 0 && len(sub.queue) >= s.hwm {
		return
	}
	sub.put(s, message)
}

// put queues a message if there is room. The caller holds mu.
func (sub *subscriber) put(s *socket, message []byte) {
	n := len(message)
	if len(sub.queue) > 0 && sub.bytes+n > maxQueue || s.waiting.Load()+int64(n) > maxQueues {
		return
	}
	sub.queue, sub.bytes = append(sub.queue, message), sub.bytes+n
	s.waiting.Add(int64(n))
	select {
	case sub.awake <- struct{}{}:
	default:
	}
}

func (sub *subscriber) wants(topic string) bool {
	for t := range sub.topics {
		if strings.HasPrefix(topic, t) {
			return true
		}
	}
	return false
}

// serve takes subscribers until ctx ends.
func (s *socket) serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("a subscriber could not connect", "error", err)
			select {
			case <-time.After(time.Second): // out of file descriptors, perhaps
			case <-ctx.Done():
				return
			}
			continue
		}
		sub := &subscriber{conn: conn, awake: make(chan struct{}, 1), topics: make(map[string]int)}
		if !s.enter(sub) {
			conn.Close()
			continue
		}
		group.Go(func() {
			defer s.leave(sub)
			s.talk(ctx, sub)
		})
	}
}

func (s *socket) enter(sub *subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subs) >= maxSubscribers {
		return false
	}
	s.subs[sub] = struct{}{}
	return true
}

func (s *socket) leave(sub *subscriber) {
	s.mu.Lock()
	delete(s.subs, sub)
	s.mu.Unlock()
	sub.conn.Close()
	sub.mu.Lock()
	defer sub.mu.Unlock()
	s.waiting.Add(-int64(sub.bytes))
	sub.queue, sub.bytes = nil, 0
}

// talk shakes hands, and then reads what the subscriber wants while another goroutine
// sends.
func (s *socket) talk(ctx context.Context, sub *subscriber) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { sub.conn.Close() })()
	_ = sub.conn.SetDeadline(time.Now().Add(greetTime))
	if err := sub.greet(); err != nil {
		s.log.Debug("a subscriber is refused", "from", sub.conn.RemoteAddr(), "error", err)
		return
	}
	_ = sub.conn.SetDeadline(time.Time{})
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		defer cancel()
		s.write(ctx, sub)
	})
	for {
		f, err := readFrame(sub.conn)
		if err != nil {
			return
		}
		if w, ok := readWish(f); ok && !sub.follow(s, w) {
			return
		}
	}
}

func (sub *subscriber) greet() error {
	if _, err := sub.conn.Write(greeting()); err != nil {
		return err
	}
	head := make([]byte, greetingSize)
	if _, err := io.ReadFull(sub.conn, head); err != nil {
		return err
	}
	if err := checkGreeting(head); err != nil {
		return err
	}
	if _, err := sub.conn.Write(ready()); err != nil {
		return err
	}
	f, err := readFrame(sub.conn)
	if err != nil {
		return err
	}
	return checkReady(f)
}

// follow does what a subscriber wants; it is false if it wants too much.
func (sub *subscriber) follow(s *socket, w wish) bool {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	switch {
	case w.ping != nil:
		sub.put(s, w.ping)
	case w.subscribe:
		if sub.topics[w.topic]++; len(sub.topics) > maxTopics {
			return false
		}
	case sub.topics[w.topic] > 1:
		sub.topics[w.topic]--
	default:
		delete(sub.topics, w.topic)
	}
	return true
}

// write sends what is queued until ctx ends or the subscriber takes nothing any more.
func (s *socket) write(ctx context.Context, sub *subscriber) {
	for {
		select {
		case <-sub.awake:
		case <-ctx.Done():
			return
		}
		for {
			message, ok := sub.next()
			if !ok {
				break
			}
			err := sub.send(message)
			s.waiting.Add(-int64(len(message)))
			if err != nil {
				return
			}
		}
	}
}

func (sub *subscriber) next() (message []byte, ok bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if len(sub.queue) == 0 {
		return nil, false
	}
	message = sub.queue[0]
	sub.queue[0] = nil
	if sub.queue = sub.queue[1:]; len(sub.queue) == 0 {
		sub.queue = nil
	}
	sub.bytes -= len(message)
	return message, true
}

// piece is how much must pass within stuckTime.
const piece = 64 << 10

func (sub *subscriber) send(message []byte) error {
	for len(message) > 0 {
		n := min(len(message), piece)
		_ = sub.conn.SetWriteDeadline(time.Now().Add(stuckTime))
		if _, err := sub.conn.Write(message[:n]); err != nil {
			return fmt.Errorf("sending to a subscriber: %w", err)
		}
		message = message[n:]
	}
	return nil
}
