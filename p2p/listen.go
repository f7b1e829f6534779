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
	"syscall"
	"time"
)

const (
	headerTimeout = 10 * time.Second // for the HTTP request of a new peer, or its first bytes on TCP
	headerBytes   = 8 << 10
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
	server.SetKeepAlivesEnabled(false) // whoever is refused has to connect again for the next try
	var limited net.Listener = &gateListener{l, n.gate, n.refused}
	if n.cfg.TLS != nil {
		limited = tls.NewListener(limited, n.cfg.TLS)
	}
	err := server.Serve(limited)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("listening for peers on %s: %w", l.Addr(), err)
}

// hearsay, with the space that tells what may be dialled, marks the context of a
// dial to an address that the operator did not name: it must lead neither to this
// machine nor into its network. It is looked at when it is known, after any name
// is resolved.
type hearsay struct{}

var errInside = errors.New("an address that others told leads into a private network, or to this machine")

func dialControl(ctx context.Context) func(network, address string, _ syscall.RawConn) error {
	within, ok := ctx.Value(hearsay{}).(space)
	if !ok {
		return nil
	}
	return func(_, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err != nil || !within.mayDial(to.Addr()) {
			return errInside
		}
		return nil
	}
}
