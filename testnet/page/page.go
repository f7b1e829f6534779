// Package page is the page of `lode testnet page`: all nodes of a network side by side,
// the tree of their forks, and buttons for what `lode testnet` does. It is served on
// loopback, under a path that begins with a secret token; whoever has the address can
// do to the network what the commands can. The cookies of the nodes stay in the server.
//
//	page.go     the server: who may ask, files
//	watch.go    looks at the nodes while somebody watches, and tells what changed
//	tree.go     the forks of all nodes as one tree
//	do.go       the buttons
//	static/     the page; it uses modules of the explorer (rpc/web)
package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"lode/rpc/web"
	"lode/testnet/network"
)

// Bounds of what is asked for.
const (
	maxConnections = 64
	maxWatchers    = 16       // pages that are open
	maxBody        = 64 << 10 // bytes of what a button sends
	maxHeader      = 16 << 10 // bytes
)

// Server serves the page of one network.
type Server struct {
	options network.Options
	token   string // hex
	ctx     context.Context
	explore *http.Client // of the nodes' own pages, which are open on loopback

	mu       sync.Mutex    // guards what follows
	hosts    []string      // names under which the page may be asked for, with their port
	changed  chan struct{} // closed, and made anew, when something to tell has changed
	wake     chan struct{} // has the nodes looked at at once
	watchers int
	state    []byte // JSON; nil before the first look
	version  int    // of state
	story    []line // the last of them
	jobs     map[string]*job
	running  sync.WaitGroup
}

// New makes the page of a network. What its buttons start ends with ctx.
func New(ctx context.Context, o network.Options) (*Server, error) {
	if _, err := network.Look(o); err != nil {
		return nil, err
	}
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	return &Server{
		options: o, token: hex.EncodeToString(token), ctx: ctx,
		explore: &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		changed: make(chan struct{}), wake: make(chan struct{}, 1), jobs: make(map[string]*job),
	}, nil
}

// ErrNotLoopback is an address that others could reach.
var ErrNotLoopback = errors.New("the page is for this machine alone")

// Listen opens the port of the page, which must be on loopback, and gives the URL.
func (s *Server) Listen(address string) (net.Listener, string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", err
	}
	at := l.Addr().(*net.TCPAddr)
	if !at.IP.IsLoopback() {
		return nil, "", errors.Join(fmt.Errorf("%w: %s is not on loopback", ErrNotLoopback, address), l.Close())
	}
	s.mu.Lock()
	s.hosts = []string{at.String(), fmt.Sprintf("localhost:%d", at.Port)}
	s.mu.Unlock()
	return netutil.LimitListener(l, maxConnections), "http://" + at.String() + "/" + s.token + "/", nil
}

// Serve answers until the context of the server ends, and then waits for what buttons
// have started: a network that was cut for an attack is whole again.
func (s *Server) Serve(l net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
	}
	s.running.Go(s.watch)
	stop := context.AfterFunc(s.ctx, func() { _ = server.Close() }) // Serve says why it ended
	defer stop()
	err := server.Serve(l)
	s.running.Wait()
	if s.ctx.Err() != nil {
		return nil
	}
	return err
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", // the address is a secret
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		head.Set(name, value)
	}
	if !s.isHost(r.Host) { // a name that was made to mean this machine
		fail(w, http.StatusForbidden, "this page has another address")
		return
	}
	token, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
		fail(w, http.StatusNotFound, "not found")
		return
	}
	name, isButton := strings.CutPrefix(rest, "do/")
	switch {
	case isButton:
		s.press(w, r, name)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		fail(w, http.StatusMethodNotAllowed, "want GET")
	case rest == "events":
		s.events(w, r)
	default:
		serveFile(w, r, rest)
	}
}

func (s *Server) isHost(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

//go:embed static
var static embed.FS

// kinds are those of the page's own files.
var kinds = map[string]string{"": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}

// serveFile gives a file of the page, or of the explorer.
func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	kind, own := kinds[name]
	var content []byte
	if shared, isShared := strings.CutPrefix(name, "explorer/"); isShared {
		kind, content, own = web.File(shared)
	} else if own {
		if name == "" {
			name = "index.html"
		}
		content, _ = static.ReadFile("static/" + name) // it is part of the program
	}
	if !own {
		fail(w, http.StatusNotFound, "not found")
		return
	}
	w.Header().Set("Content-Type", kind)
	if r.Method == http.MethodGet {
		_, _ = w.Write(content) // the caller has gone if this fails
	}
}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"error": text})
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller has gone if this fails
}
