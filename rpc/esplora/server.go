// Package esplora answers Esplora's REST interface
// (https://github.com/Blockstream/esplora/blob/master/API.md), field for field as
// Blockstream's electrs does, so that wallets and explorers made for it work here.
package esplora

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"lode/chain"
	"lode/consensus"
	"lode/rpc/scripthash"
)

// Prefix begins the paths that are served.
const Prefix = "/api/"

// Ledger is what the server needs of the chain.
type Ledger interface {
	Tip() consensus.State
	HashAt(height uint32) (consensus.Hash, bool)
	Header(consensus.Hash) (chain.HeaderInfo, bool)
	Block(consensus.Hash) (*consensus.Block, error)
	BlockBytes(consensus.Hash) ([]byte, error)
	Spent(consensus.Hash) ([]consensus.Coin, error)
	Coin(consensus.OutPoint) (consensus.Coin, bool, error)
	AddressKeys(from, to [32]byte, limit int) ([][32]byte, error)
}

// Pool is what the server needs of the mempool.
type Pool interface {
	TxIDs() (ids []consensus.Hash, change uint64)
}

// Node makes calls of Bitcoin Core's interface: sendrawtransaction, submitpackage,
// estimatesmartfee, getblockheader.
type Node interface {
	Call(ctx context.Context, method string, params ...any) (json.RawMessage, error)
}

// Config is what a server works with.
type Config struct {
	Spec    *consensus.Spec
	Ledger  Ledger
	Pool    Pool
	Index   *scripthash.Index
	Summary *scripthash.Summarizer
	Log     *slog.Logger
}

// The limits of all callers together, and of one answer.
const (
	maxRequests = 8         // that are worked on at once
	maxWait     = 10        // seconds that another waits for that
	allAnswers  = 128 << 20 // bytes of answers that wait to be read
	maxBody     = 2 << 20   // bytes of what is posted
	txsPerPage  = 25
	poolTxs     = 50     // unconfirmed transactions of a script
	blocksPage  = 10     // blocks in a list
	maxPrefix   = 10     // addresses with a prefix
	maxUnspent  = 20_000 // outputs of a script
	longTTL     = 157_784_630
)

// Server answers requests. It may be used from several goroutines.
type Server struct {
	cfg     Config
	node    atomic.Pointer[Node]
	working *semaphore.Weighted
	answers *semaphore.Weighted
	meta    metaCache
}

// New prepares a server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, working: semaphore.NewWeighted(maxRequests), answers: semaphore.NewWeighted(allAnswers), meta: newMetaCache(cfg.Ledger)}
}

// Use says who makes the calls. It comes after New, as the node's RPC serves the
// server.
func (s *Server) Use(node Node) { s.node.Store(&node) }

// problem is an error with the HTTP status and the text of its answer.
type problem struct {
	status int
	text   string
}

// Error is the text.
func (p *problem) Error() string { return p.text }

func bad(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func missing(text string) error { return &problem{http.StatusNotFound, text} }

// answer is what a request is answered with.
type answer struct {
	kind   string // content type
	body   []byte
	static bool // it never changes
}

func text(s string) (*answer, error) { return &answer{kind: "text/plain", body: []byte(s)}, nil }

func binary(b []byte) (*answer, error) {
	return &answer{kind: "application/octet-stream", body: b, static: true}, nil
}

func jsonOf(v any) (*answer, error) {
	b, err := json.Marshal(v)
	return &answer{kind: "application/json", body: b}, err
}

// forEver marks an answer that never changes.
func forEver(a *answer, err error) (*answer, error) {
	if a != nil {
		a.static = true
	}
	return a, err
}

// ServeHTTP answers a request to a path below Prefix.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, stop := context.WithTimeout(r.Context(), maxWait*time.Second)
	err := s.working.Acquire(ctx, 1)
	stop()
	if err != nil {
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	a, err := s.answer(w, r)
	s.working.Release(1)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	size := int64(len(a.body))
	if !s.answers.TryAcquire(size) {
		http.Error(w, "too many large answers at once", http.StatusServiceUnavailable)
		return
	}
	defer s.answers.Release(size)
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Content-Length", fmt.Sprint(size))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.static {
		w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", longTTL))
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)) // a recorder has none
	_, _ = w.Write(a.body)                                                          // the caller has gone if this fails
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (*answer, error) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, Prefix), "/")
	if len(path) > 1 && path[len(path)-1] == "" {
		path = path[:len(path)-1]
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.get(r.Context(), path)
	case http.MethodPost:
		return s.post(w, r, strings.Join(path, "/"))
	}
	w.Header().Set("Allow", "GET, HEAD, POST")
	return nil, &problem{http.StatusMethodNotAllowed, "method not allowed"}
}

// refuse answers a request that has failed.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, chain.ErrNoIndex):
		p = &problem{http.StatusServiceUnavailable, "this needs the indexes of addresses and of transactions: start the node with --addrindex and --txindex"}
	case errors.Is(err, scripthash.ErrBuilding):
		p = &problem{http.StatusServiceUnavailable, err.Error()}
	case errors.Is(err, scripthash.ErrTooLarge):
		p = &problem{http.StatusBadRequest, "Too many unspent transaction outputs or history entries: " + err.Error()}
	case errors.Is(err, chain.ErrNoTx):
		p = &problem{http.StatusNotFound, "Transaction not found"}
	case errors.Is(err, chain.ErrNotFound):
		p = &problem{http.StatusNotFound, "Block not found"}
	default:
		if r.Context().Err() == nil {
			s.cfg.Log.Warn("an esplora request failed", "path", fmt.Sprintf("%.200q", r.URL.Path), "error", err)
		}
		p = &problem{http.StatusInternalServerError, "internal error, see the log of the node"}
	}
	http.Error(w, p.text, p.status)
}

// get answers a path; what is missing in it is empty.
func (s *Server) get(ctx context.Context, path []string) (*answer, error) {
	at := func(i int) string {
		if i < len(path) {
			return path[i]
		}
		return ""
	}
	nowhere := missing("endpoint does not exist")
	if len(path) > 5 {
		return nil, nowhere
	}
	switch n := len(path); at(0) {
	case "blocks":
		if n <= 3 {
			return s.blocks(path[1:])
		}
	case "block-height":
		if n == 2 {
			return s.blockHeight(at(1))
		}
	case "block":
		if n >= 2 && n <= 4 {
			return s.block(at(1), path[2:])
		}
	case "address", "scripthash":
		if n >= 2 {
			return s.script(ctx, at(0), at(1), path[2:])
		}
	case "address-prefix":
		if n == 2 {
			return s.addressPrefix(at(1))
		}
	case "tx":
		if n >= 2 && n <= 4 {
			return s.tx(ctx, at(1), path[2:])
		}
	case "mempool":
		if n <= 2 {
			return s.mempool(at(1))
		}
	case "fee-estimates":
		if n == 1 {
			return s.feeEstimates(ctx)
		}
	}
	return nil, nowhere
}
