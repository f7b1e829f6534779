package stream

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"lode/internal/places"
)

// Server serves a log to subscribers.
type Server struct {
	log  *Log
	name string // of the network

	mu      sync.Mutex // guards what follows
	streams map[netip.Addr]int
	open    int // all of them
}

// How many streams may be open: of one address (in IPv6, of its 64 bits), and in all.
const (
	maxPerAddress = 128
	maxStreams    = 200
)

// How long a subscriber may take for a frame, and how often one that hears nothing is
// asked whether it is there.
const (
	writeTime = 10 * time.Second
	pingEvery = 25 * time.Second
)

// NewServer serves a log of a network.
func NewServer(l *Log, network string) *Server {
	return &Server{log: l, name: network, streams: make(map[netip.Addr]int)}
}

// enter gives an address one more stream, up to a number of its own.
func (s *Server) enter(remote string, most int) (leave func(), ok bool) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil, false
	}
	address := places.OriginOf(from.Addr()).Address
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[address] >= most || s.open >= maxStreams {
		return nil, false
	}
	s.streams[address]++
	s.open++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
		if s.streams[address]--; s.streams[address] == 0 {
			delete(s.streams, address)
		}
	}, true
}

// greeting is the first event of a connection: where it begins.
type greeting struct {
	Stream  string `json:"stream"`
	Seq     uint64 `json:"seq"` // of the last event that this client does not get
	Network string `json:"network"`
	Topics  string `json:"topics"`
	Why     string `json:"why,omitempty"` // it has to start over
}

// subscription is what a client has asked for.
type subscription struct {
	of    Set
	since *Position
}

func parseSubscription(q url.Values, lastID string, may Set) (s subscription, err error) {
	if s.of, err = ParseSet(q.Get("topics"), may); err != nil {
		return s, err
	}
	since := q.Get("since")
	if lastID != "" {
		since = lastID // what a browser says when it comes back
	}
	if since != "" {
		p, err := ParsePosition(since)
		if err != nil {
			return s, err
		}
		s.since = &p
	}
	return s, nil
}

// begin says where a subscription begins.
func (s *Server) begin(sub subscription) (at uint64, hello []byte) {
	now := s.log.Now()
	g := greeting{Stream: now.Stream, Seq: now.Seq, Network: s.name, Topics: sub.of.String()}
	kind := "start"
	if sub.since != nil {
		if g.Why = s.log.over(*sub.since, sub.of); g.Why == "" {
			kind, g.Seq = "resume", sub.since.Seq
		} else {
			kind = "restart"
		}
	}
	return g.Seq, greet(kind, g)
}

// restart says that a subscriber has been too slow, and where it goes on.
func (s *Server) restart(of Set) (at uint64, hello []byte) {
	now := s.log.Now()
	return now.Seq, greet("restart", greeting{now.Stream, now.Seq, s.name, of.String(), overGone})
}

func greet(kind string, g greeting) []byte {
	b, _ := json.Marshal([]any{struct {
		Topic string `json:"topic"`
		Type  string `json:"type"`
		greeting
	}{"stream", kind, g}})
	return b
}

// follow sends a subscriber what it wants until ctx ends or sending fails. idle is
// called when nothing happens.
func (s *Server) follow(ctx context.Context, sub subscription, hello func(seq uint64, json []byte) error, send func(*Frame) error, idle func() error) error {
	at, greeting := s.begin(sub)
	if err := hello(at, greeting); err != nil {
		return err
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		f, more, ok := s.log.read(at, sub.of)
		switch {
		case !ok:
			at, greeting = s.restart(sub.of)
			if err := hello(at, greeting); err != nil {
				return err
			}
		case f != nil:
			if f.JSON != nil {
				if err := send(f); err != nil {
					return err
				}
			}
			at = f.To
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-more:
			case <-ping.C:
				if err := idle(); err != nil {
					return err
				}
			}
		}
	}
}

// ServeWS serves a subscriber by WebSocket, which has been let in: each message is a
// JSON array of events.
func (s *Server) ServeWS(w http.ResponseWriter, r *http.Request) {
	sub, err := parseSubscription(r.URL.Query(), "", All)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	leave, ok := s.enter(r.RemoteAddr, maxPerAddress)
	if !ok {
		refuse(w)
		return
	}
	defer leave()
	up := websocket.Upgrader{HandshakeTimeout: writeTime, ReadBufferSize: 1 << 10, WriteBufferSize: 4 << 10, WriteBufferPool: &buffers}
	ws, err := up.Upgrade(w, r, nil) // it has answered if this fails
	if err != nil {
		return
	}
	defer ws.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	ws.SetReadLimit(512) // nothing is to be said
	go func() {
		defer cancel()
		for {
			if _, _, err := ws.NextReader(); err != nil {
				return
			}
		}
	}()
	hello := func(_ uint64, b []byte) error {
		_ = ws.SetWriteDeadline(time.Now().Add(writeTime))
		return ws.WriteMessage(websocket.TextMessage, b)
	}
	_ = s.follow(ctx, sub, hello, func(f *Frame) error {
		m, err := f.message()
		if err != nil {
			return err
		}
		_ = ws.SetWriteDeadline(time.Now().Add(writeTime))
		return ws.WritePreparedMessage(m)
	}, func() error {
		return ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTime))
	})
}

var buffers sync.Pool

func refuse(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "10")
	http.Error(w, "too many streams are open from this address or in all", http.StatusTooManyRequests)
}

// Public is what is told to who has no password: nothing of peers, miner or pool.
var Public = SetOf(Blocks, Mempool, Warnings)

// openPerAddress is how many streams somebody without a password may have.
const openPerAddress = 16

// ServeEvents serves a subscriber as server-sent events, read-only, to whom the page is
// open: the data of each is a JSON array of events.
func (s *Server) ServeEvents(w http.ResponseWriter, r *http.Request) {
	sub, err := parseSubscription(r.URL.Query(), r.Header.Get("Last-Event-ID"), Public)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	leave, ok := s.enter(r.RemoteAddr, openPerAddress)
	if !ok {
		refuse(w)
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	write := func(parts ...string) error {
		_ = out.SetWriteDeadline(time.Now().Add(writeTime))
		for _, p := range parts {
			if _, err := io.WriteString(w, p); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	data := func(seq uint64, json []byte) error {
		return write("id: ", Position{s.log.id, seq}.String(), "\ndata: ", string(json), "\n\n")
	}
	_ = s.follow(r.Context(), sub, data, func(f *Frame) error { return data(f.To, f.JSON) }, func() error { return write(":\n\n") })
}
