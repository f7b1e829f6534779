package p2p

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	headerTimeout = 10 * time.Second // for the HTTP request of a new peer, or its first bytes on TCP
	headerBytes   = 8 << 10
	// maxUnfinished is how many sockets may be open beyond the inbound peers:
	// those whose HTTP request, or first bytes on TCP, have not come yet.
	maxUnfinished = 64
)

// serve accepts peers on l until ctx ends.
func (n *Node) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           n.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      headerTimeout,
		IdleTimeout:       headerTimeout,
		MaxHeaderBytes:    headerBytes,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateHijacked {
				settle(c)
			}
		},
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	var limited net.Listener = newLimitListener(l)
	if n.cfg.TLS != nil {
		limited = tls.NewListener(limited, n.cfg.TLS)
	}
	err := server.Serve(limited)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("listening for peers on %s: %w", l.Addr(), err)
}

// limitListener bounds the open sockets. While they are too many, one that has
// not become a peer yet is closed for each that comes: of the network group that
// has most of those, the one that has been silent for the longest time. So who
// opens many sockets and says nothing cannot keep others out.
type limitListener struct {
	net.Listener
	limit int

	mu   sync.Mutex // guards what follows
	open map[*limitedConn]struct{}
	next int
}

func newLimitListener(l net.Listener) *limitListener {
	return &limitListener{Listener: l, limit: maxInbound + maxUnfinished, open: make(map[*limitedConn]struct{})}
}

// Accept waits for the next connection that finds room.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		one := &limitedConn{Conn: c, l: l, group: netGroup(hostOf(c.RemoteAddr()))}
		if victim := l.add(one); victim != nil {
			_ = victim.Conn.Close()
			if victim == one {
				continue
			}
		}
		return one, nil
	}
}

// add takes a connection in, and gives one that has to go for it, if any.
func (l *limitListener) add(c *limitedConn) (victim *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.number = l.next
	l.next++
	l.open[c] = struct{}{}
	if len(l.open) <= l.limit {
		return nil
	}
	members := make(map[string]int)
	for one := range l.open {
		if !one.settled {
			members[one.group]++
		}
	}
	for one := range l.open {
		if one.settled {
			continue
		}
		if victim == nil || members[one.group] > members[victim.group] ||
			members[one.group] == members[victim.group] && one.number < victim.number {
			victim = one
		}
	}
	delete(l.open, victim) // at least c itself is not settled
	return victim
}

// limitedConn is a socket that counts.
type limitedConn struct {
	net.Conn
	l       *limitListener
	group   string
	number  int  // in the order of coming; set by add
	settled bool // guarded by l.mu: it is a peer's
}

// settle marks the socket under c as that of a peer.
func settle(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if one, ok := c.(*limitedConn); ok {
		one.l.mu.Lock()
		defer one.l.mu.Unlock()
		one.settled = true
	}
}

// Close makes room for another.
func (c *limitedConn) Close() error {
	c.l.mu.Lock()
	delete(c.l.open, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// publicOnly, with the space that tells, marks the context of a dial to an address that a peer from the
// public network told us: it must not lead into this machine's own network.
type publicOnly struct{}

var errPrivate = errors.New("a public peer's address leads into a private network")

func dialControl(ctx context.Context) func(network, address string, _ syscall.RawConn) error {
	within, ok := ctx.Value(publicOnly{}).(space)
	if !ok {
		return nil
	}
	return func(_, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err != nil || !within.isPublic(to.Addr()) {
			return errPrivate
		}
		return nil
	}
}
