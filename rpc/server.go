// Package rpc serves Bitcoin Core's JSON-RPC: its methods, parameters, results
// and error codes, so that tools written for it work here.
package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/miner"
)

// Config is what the server reports on and acts upon.
type Config struct {
	Spec      *consensus.Spec
	Chain     *chain.Chain
	Pool      *mempool.Pool
	Network   Network
	Clock     Clock
	Version   string // as in "0.1.0"
	UserAgent string // as peers see it
	Templates *miner.Templates
	Mining    Mining // nil while the node does not mine
	Stop      func() // asks the node to stop
	Log       *slog.Logger

	Dir            string     // where relative paths begin
	User, Password string     // what a caller must know, see WriteCookie
	AllowHosts     []string   // names besides the loopback's that callers may use for this server
	Miners         MiningPool // nil if the node serves no pool
	OpenMetrics    bool       // /metrics answers not only callers on loopback
	MaxConnections int        // callers, let in or not; 0 means DefaultConnections
}

// Mining is what the server tells of a miner in the same process.
type Mining interface {
	Stats() miner.Stats
}

// Clock is the node's time, which tests may set where the network allows it.
type Clock interface {
	Now() time.Time
	Set(t time.Time) // zero for the real time again
}

// Server answers HTTP requests.
type Server struct {
	cfg     Config
	table   map[string]*method
	started time.Time
	slots   chan struct{} // bounds the requests that are worked on at once
	waiting chan struct{} // bounds those that wait for something to happen
	guessed atomic.Int64  // Unix nanoseconds of the last warning of a wrong password
	metrics http.Handler

	templateTxs templateTxs
}

const (
	maxBody    = 32 << 20 // a block in hex takes 8 MB
	guessDelay = 250 * time.Millisecond
)

// New prepares a server; Serve runs it.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = DefaultConnections
	}
	s := &Server{cfg: cfg, started: time.Now(), slots: make(chan struct{}, maxRequests), waiting: make(chan struct{}, cfg.maxLongPolls())}
	s.table, s.metrics = s.methods(), s.newMetrics()
	return s
}

// Serve answers on the listener until ctx ends, and then lets calls in progress
// finish for a moment.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second, // of a request; for writing see writeTimeout: a call may take long
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // what would not finish is cut
		}
	}()
	err := srv.Serve(newLimitListener(l, s.cfg.MaxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		<-done
		return nil
	}
	return err
}

// ServeHTTP checks who asks before it looks at what is asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !s.hostAllowed(r.Host):
		// A page of another site that has its name point here (DNS rebinding).
		http.Error(w, "this server is not known by that name; allow it with --rpc-allow-host", http.StatusForbidden)
		return
	case !originAllowed(r):
		http.Error(w, "requests from other web pages are refused", http.StatusForbidden)
		return
	case r.URL.Path == "/metrics":
		s.serveMetrics(w, r)
		return
	case r.URL.Path != "/":
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "JSONRPC server handles only POST requests", http.StatusMethodNotAllowed)
		return
	case !s.authorized(r):
		// Makes guessing slow, and costs whoever knows the password nothing;
		// nor whoever only asks which kind of authentication is wanted.
		if r.Header.Get("Authorization") != "" {
			s.warnOfGuess(r.RemoteAddr)
			select {
			case <-time.After(guessDelay):
			case <-r.Context().Done():
			}
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	slot, ctx, ok := s.take(r.Context())
	if !ok {
		http.Error(w, "too many calls at once", http.StatusServiceUnavailable)
		return
	}
	defer slot.release()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		http.Error(w, fmt.Sprintf("the request is larger than %d bytes", maxBody), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the request could not be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.serveRPC(w, r.WithContext(ctx), body)
}

// warnOfGuess logs a wrong password, but not each of a thousand.
func (s *Server) warnOfGuess(from string) {
	now, last := time.Now().UnixNano(), s.guessed.Load()
	if now-last > int64(10*time.Second) && s.guessed.CompareAndSwap(last, now) {
		s.cfg.Log.Warn("RPC call with a wrong password", "from", from)
	}
}

// hostAllowed reports whether host, with or without a port, is a name under
// which this server may be reached: an address, localhost, or one that was
// allowed.
func (s *Server) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true // a page cannot make an address mean another machine
	}
	for _, allowed := range s.cfg.AllowHosts {
		if name == strings.ToLower(allowed) {
			return true
		}
	}
	return false
}

// originAllowed reports whether r comes from no web page, or from this server's
// own.
func originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func (s *Server) authorized(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	sameUser, samePassword := equal(user, s.cfg.User), equal(password, s.cfg.Password)
	return ok && s.cfg.Password != "" && sameUser && samePassword
}

// equal takes the same time wherever the difference is.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
