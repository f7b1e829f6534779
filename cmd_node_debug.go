package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/urfave/cli/v2"
)

// debugFlags are the flags of a node for whoever looks for what takes its time or memory.
func debugFlags() []cli.Flag {
	return withEnv(&cli.StringFlag{Name: "pprof", DefaultText: "off", Usage: "serve profiles of this process (go tool pprof) at `IP:PORT`, of loopback only"})
}

func (n *nodeConfig) readDebugFlags(c *cli.Context) error {
	n.pprof = c.String("pprof")
	if n.pprof == "" || n.pprof == "off" {
		n.pprof = ""
		return nil
	}
	if at, err := netip.ParseAddrPort(n.pprof); err != nil || !at.Addr().IsLoopback() {
		return usageError(c.Command.HelpName, "--pprof %.80q: want IP:PORT of loopback, such as 127.0.0.1:6060: profiles show what the memory holds", n.pprof)
	}
	return nil
}

// serveProfiles serves profiles until ctx ends.
func (n *nodeConfig) serveProfiles(ctx context.Context) error {
	if n.pprof == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", n.pprof)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	n.log.Info("profiles are served", "at", "http://"+l.Addr().String()+"/debug/pprof/")
	server := &http.Server{Handler: onlyLocalNames(mux), ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// onlyLocalNames refuses what a page of another site has a browser ask for.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) || r.Header.Get("Origin") != "" {
			http.Error(w, "this is for this machine alone", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
