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
	"slices"
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
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	var limited net.Listener = &limitListener{Listener: l, slots: make(chan struct{}, maxInbound+maxUnfinished)}
	if n.cfg.TLS != nil {
		limited = tls.NewListener(limited, n.cfg.TLS)
	}
	err := server.Serve(limited)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("listening for peers on %s: %w", l.Addr(), err)
}

// limitListener closes at once what comes while all of its slots are taken.
type limitListener struct {
	net.Listener
	slots chan struct{}
}

// Accept waits for the next connection that gets a slot.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			_ = c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close gives the slot back.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// publicOnly marks the context of a dial to an address that a peer from the
// public network told us: it must not lead into this machine's own network.
type publicOnly struct{}

var errPrivate = errors.New("a public peer's address leads into a private network")

func dialControl(ctx context.Context) func(network, address string, _ syscall.RawConn) error {
	if ctx.Value(publicOnly{}) == nil {
		return nil
	}
	return func(_, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err != nil || !isPublic(to.Addr()) {
			return errPrivate
		}
		return nil
	}
}

// insidePrefixes lead into somebody's own network too: shared address space
// (RFC 6598), and IPv4 addresses behind a translator (RFC 6052, RFC 8215).
var insidePrefixes = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), translator, netip.MustParsePrefix("64:ff9b:1::/48")}

// translator holds IPv4 addresses in its last 32 bits (RFC 6052).
var translator = netip.MustParsePrefix("64:ff9b::/96")

func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(insidePrefixes, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

// hostOf is the IP address in a socket address; the zero Addr if there is none.
func hostOf(a net.Addr) netip.Addr { return hostOfString(a.String()) }

func hostOfString(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
