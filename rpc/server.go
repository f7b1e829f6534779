// Package rpc serves Bitcoin Core's JSON-RPC: its methods, parameters, results
// and error codes, so that tools written for it work here.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/clock"
	"lode/internal/pause"
	"lode/mempool"
	"lode/miner"
	"lode/rpc/explain"
	"lode/rpc/httpd"
	"lode/rpc/web"
	"lode/wallet/descriptor"
)

// Config is what the server reports on and acts upon.
type Config struct {
	Spec      *consensus.Spec
	Chain     *chain.Chain
	Pool      *mempool.Pool
	Network   Network
	Clock     *clock.Clock
	Version   string // as in "0.1.0"
	UserAgent string // as peers see it
	Templates *miner.Templates
	Mining    Mining // nil while the node does not mine
	Stop      func() // asks the node to stop
	Log       *slog.Logger
	LogFile   string  // empty if the log goes to no file
	Logging   Logging // nil if the parts of the log cannot be told apart

	Dir            string                // where relative paths begin
	User, Password string                // what a caller must know, see WriteCookie; no password lets nobody in by it
	Users          []Credential          // who else is let in
	Whitelist      Whitelist             // what they may call
	MaxConnections int                   // callers, let in or not; who has not authenticated makes room; 0 means DefaultConnections
	MaxCalls       int                   // at once, with those that wait; 0 means 64, and half of the connections that wait
	Timeout        time.Duration         // for what a caller says; 0 means the defaults of package httpd
	AllowCallers   []netip.Prefix        // networks besides the loopback's that calls may come from; none for all
	AllowHosts     []string              // names besides the loopback's that callers may use for this server; .SUFFIX for all below it
	Miners         MiningPool            // nil if the node serves no pool
	BanTime        time.Duration         // for how long setban bans; 0 means DefaultBan
	OpenMetrics    bool                  // /metrics answers not only callers on loopback
	Wallets        Wallets               // nil if the node serves none
	Esplora        http.Handler          // of what is below /api; nil if the node serves none
	Faucet         http.Handler          // of /faucet; nil if the node gives nothing away
	Submitted      func(context.Context) // after a call that has brought a transaction; nil for nothing
	REST           bool                  // what is below /rest is served
	OpenEsplora    bool                  // /api answers not only callers on loopback
	AllowOrigins   []string              // of web pages that may use /api, and nothing else
	Events         Events                // nil if the node tells of none
	OpenPage       bool                  // the page and /events answer not only callers on loopback
	Page           bool                  // there is one

	ZMQ []ZMQNotification // what getzmqnotifications lists
}

// Logging turns parts of the log on and off, by Bitcoin Core's names for them.
type Logging interface {
	State() map[string]bool
	Set(include, exclude []string) (unknown string, ok bool)
}

// Events is the stream of what happens, see package stream.
type Events interface {
	ServeWS(w http.ResponseWriter, r *http.Request)     // to who was let in
	ServeEvents(w http.ResponseWriter, r *http.Request) // to who may see the page
}

// Mining is what the server tells of a miner in the same process, and has it do.
type Mining interface {
	Stats() miner.Stats
	Pause(on bool)
	Limit(hashesPerSecond uint64) // 0 for no limit
}

// Server answers HTTP requests.
type Server struct {
	cfg     Config
	table   map[string]*method
	started time.Time
	users   []Credential
	working *shares      // the requests that are worked on at once
	waiting *shares      // those that wait for something to happen
	bodies  *shares      // bytes of bodies
	spools  *spools      // answers to batches
	warned  atomic.Int64 // Unix nanoseconds of the last warning of what a caller did wrong
	metrics http.Handler
	page    http.Handler // nil if there is none

	templateTxs templateTxs
	scan        coinScan
	filterScan  filterScan
	running     running
	explainer   *explain.Explainer
	rest        *rest
	descriptors descriptor.Network
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
	s := &Server{cfg: cfg, descriptors: descriptor.NetworkOf(cfg.Spec), started: cfg.Clock.Wall.Now(), users: cfg.Users}
	if cfg.Password != "" {
		own, err := NewCredential(cfg.User, cfg.Password)
		if err != nil {
			cfg.Log.Error("the cookie lets nobody in", "error", err)
		} else {
			s.users = append([]Credential{own}, cfg.Users...)
		}
	}
	users := len(s.users)
	s.working, s.waiting = newSlots(maxRequests, users), newSlots(cfg.maxLongPolls(), users)
	if most := int64(cfg.MaxCalls); most > 0 {
		s.working = newSlots(most, users)
		s.waiting = s.working // a call that waits keeps its place
	}
	s.bodies, s.spools = newShares(allBodies, userBodies, users), newSpools(cfg.Dir, users)
	s.explainer = explain.New(cfg.Chain, cfg.Pool)
	s.rest = newREST()
	s.table, s.metrics = s.methods(), s.newMetrics()
	if cfg.Page {
		s.page = s.newPage()
	}
	return s
}

// Serve answers on the listeners until ctx ends, and then lets calls in progress
// finish for a moment.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	return httpd.New(httpd.Config{
		Handler: s, Log: s.cfg.Log, MaxConnections: s.cfg.MaxConnections, WriteTimeout: writeTimeout,
		HeadTimeout: s.cfg.Timeout, BodyTimeout: s.cfg.Timeout, IdleTimeout: s.cfg.Timeout,
	}).Serve(ctx, listeners...)
}

// ServeHTTP checks who asks before it looks at what is asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !s.callerAllowed(r):
		http.Error(w, "calls from this address are not allowed; allow them with --rpc-allow-ip", http.StatusForbidden)
		return
	case !s.serves(r.URL.Path): // of which nobody learns anything by another name either
		http.NotFound(w, r)
		return
	case !s.hostAllowed(r):
		// A page of another site that has its name point here (DNS rebinding).
		s.refuseHost(w, r)
		return
	case s.cfg.Esplora != nil && strings.HasPrefix(r.URL.Path, apiPath):
		s.serveAPI(w, r)
		return
	case !originAllowed(r):
		http.Error(w, "requests from other web pages are refused", http.StatusForbidden)
		return
	case s.cfg.REST && strings.HasPrefix(r.URL.Path, restPath):
		s.serveREST(w, r)
		return
	case s.cfg.Faucet != nil && r.URL.Path == faucetPath:
		if s.cfg.OpenPage || isLocal(r) {
			limitWrite(w)
			s.cfg.Faucet.ServeHTTP(w, r)
			return
		}
		http.Error(w, "/faucet is for this machine alone; allow others with --open-page", http.StatusForbidden)
		return
	case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
		s.serveHealth(w, r)
		return
	case r.URL.Path == "/metrics":
		s.serveMetrics(w, r)
		return
	case s.servesPage(r.URL.Path) && (r.Method != http.MethodPost || r.URL.Path != "/"):
		s.servePage(w, r)
		return
	case r.URL.Path == "/ws" && s.cfg.Events != nil:
		s.serveWS(w, r)
		return
	case r.URL.Path == "/events" && s.cfg.Events != nil:
		s.serveEvents(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "JSONRPC server handles only POST requests", http.StatusMethodNotAllowed)
		return
	}
	user, ok := s.authorized(r)
	if !ok {
		s.unauthorized(w, r)
		return
	}
	httpd.Trust(r.Context())
	name, named := strings.CutPrefix(r.URL.Path, walletPath)
	s.serveCaller(w, r, caller{user, WalletPath{name, named}})
}

// faucetPath is where coins are asked for.
const faucetPath = "/faucet"

// serves reports whether anything is at a path.
func (s *Server) serves(path string) bool {
	switch {
	case path == "/" || path == "/metrics" || path == "/healthz" || path == "/readyz" || strings.HasPrefix(path, walletPath) || s.servesPage(path):
		return true
	case s.cfg.Esplora != nil && strings.HasPrefix(path, apiPath), s.cfg.REST && strings.HasPrefix(path, restPath), s.cfg.Faucet != nil && path == faucetPath:
		return true
	}
	return s.cfg.Events != nil && (path == "/ws" || path == "/events")
}

func (s *Server) servesPage(path string) bool { return s.page != nil && web.Serves(path) }

// refuseHost answers a request for a name that this server may not have. Programs that
// call the node by the name of its container read JSON alone.
func (s *Server) refuseHost(w http.ResponseWriter, r *http.Request) {
	const why = "this server is not known by that name; allow it with --rpc-allow-host"
	if r.Method != http.MethodPost {
		http.Error(w, why, http.StatusForbidden)
		return
	}
	writeJSON(w, http.StatusForbidden, (&request{id: nullID}).answer(nil, &Error{codeInvalidRequest, why}))
}

// walletPath begins the paths of wallets in Bitcoin Core: calls to the node are
// answered there, too.
const walletPath = "/wallet/"

// unauthorized refuses a caller. That makes guessing slow, and costs whoever knows
// the password nothing; nor whoever only asks which kind of authentication is wanted.
func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request) {
	httpd.Distrust(r.Context())
	if r.Header.Get("Authorization") != "" {
		s.warn("RPC call with a wrong password", "from", r.RemoteAddr)
		_ = pause.For(r.Context(), guessDelay)
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
}

// serveCaller answers a caller that has authenticated.
func (s *Server) serveCaller(w http.ResponseWriter, r *http.Request, who caller) {
	slot, ctx, ok := s.take(r.Context(), who.user)
	if !ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "Work queue depth exceeded") // bitcoin-cli shows it, and ends the line
		return
	}
	defer slot.release()
	body, taken, err := readBody(r, s.bodies, who.user)
	defer s.bodies.give(who.user, taken)
	switch {
	case errors.Is(err, errBodySize):
		http.Error(w, fmt.Sprintf("the request is larger than %d bytes", maxBody), http.StatusRequestEntityTooLarge)
	case errors.Is(err, errBodies):
		http.Error(w, "too many large calls at once", http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, "the request could not be read: "+err.Error(), http.StatusBadRequest)
	default:
		s.serveRPC(w, r.WithContext(ctx), who, body)
	}
}

// What bodies of all requests may take, and of those of one user.
const (
	allBodies  = 4 * maxBody
	userBodies = 2 * maxBody
)

// Why a body was not read.
var (
	errBodySize = errors.New("too large")
	errBodies   = errors.New("too much at once")
)

// readBody reads the body of a request into memory that it takes from bodies; the
// caller gives it back, also after an error. Only what has come takes memory,
// whatever the length that was said.
func readBody(r *http.Request, bodies *shares, user string) (body []byte, taken int64, err error) {
	most := int64(maxBody)
	if r.ContentLength > most {
		return nil, 0, errBodySize
	}
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	for {
		if len(body) == cap(body) {
			size := min(max(4*int64(cap(body)), 4<<10), most+1) // one more finds the end
			if !bodies.take(user, size-taken) {
				return nil, taken, errBodies
			}
			taken = size
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > maxBody:
			return nil, taken, errBodySize
		case err == io.EOF:
			return body, taken, nil
		case err != nil:
			return nil, taken, err
		}
	}
}

// warn logs what a caller did wrong, but not each of a thousand times.
func (s *Server) warn(text string, args ...any) {
	now, last := s.cfg.Clock.Steady.Now().UnixNano(), s.warned.Load()
	if now-last > int64(10*time.Second) && s.warned.CompareAndSwap(last, now) {
		s.cfg.Log.Warn(text, args...)
	}
}

// callerAllowed reports whether the request comes from an address that may call.
func (s *Server) callerAllowed(r *http.Request) bool {
	if len(s.cfg.AllowCallers) == 0 {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := from.Addr().Unmap().WithZone("")
	return ip.IsLoopback() || slices.ContainsFunc(s.cfg.AllowCallers, func(net netip.Prefix) bool { return net.Contains(ip) })
}

// hostAllowed reports whether the request is for a name under which this server may
// be reached, with or without a port: an address, localhost, or one that was
// allowed. A request without a name comes from a program that knows none, such as
// those for Bitcoin Core: browsers say the name, and other things about themselves.
func (s *Server) hostAllowed(r *http.Request) bool {
	if r.Host == "" {
		return !fromBrowser(r.Header)
	}
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true // a page cannot make an address mean another machine
	}
	for _, allowed := range s.cfg.AllowHosts {
		allowed = strings.ToLower(allowed)
		if below := strings.HasPrefix(allowed, "."); below && len(name) > len(allowed) && strings.HasSuffix(name, allowed) || !below && name == allowed {
			return true
		}
	}
	return false
}

// fromBrowser reports whether a browser says by the fields of a request who had it
// make it.
func fromBrowser(h http.Header) bool {
	for name := range h {
		if name == "Origin" || strings.HasPrefix(name, "Sec-") {
			return true
		}
	}
	return false
}

// originAllowed reports whether r comes from no web page, or from this server's
// own.
func originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// authorized gives the name of the user that makes a request.
func (s *Server) authorized(r *http.Request) (user string, ok bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", false
	}
	for _, c := range s.users {
		if c.matches(user, password) {
			return user, true
		}
	}
	return "", false
}
