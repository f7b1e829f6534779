// Package web is the page of a node: an explorer that is embedded in the program, of
// plain modules, and the read-only calls that it makes. Nothing here needs a password,
// and no GET changes anything. What strangers wrote is sent as JSON and shown as text.
package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/rpc/explain"
)

// Call makes a call of the node's JSON-RPC, of those that only read.
type Call func(ctx context.Context, method string, args ...any) (json.RawMessage, error)

// Network is what the page tells of the peers.
type Network interface {
	ConnectionCount() (inbound, outbound int)
	Syncing() bool
	InitialBlockDownload() bool
}

// Miner mines blocks on demand.
type Miner interface {
	Generate(ctx context.Context, payTo []byte, count int, tries uint64) ([]consensus.Hash, error)
}

// Config is what the page shows.
type Config struct {
	Spec     *consensus.Spec
	Chain    *chain.Chain
	Pool     *mempool.Pool
	Network  Network
	Call     Call
	Explain  *explain.Explainer
	Miner    Miner
	Warnings func() []string
	Now      func() time.Time
	Version  string
	Local    func(r *http.Request) bool // whether it may see peers' addresses
}

// Handler serves the page.
type Handler struct {
	cfg     Config
	files   map[string]*file
	queries map[string]query
	slots   chan struct{} // what is worked on at once
	checks  chan struct{} // likewise of what takes processor time
	blocks  summaries
	pool    poolCache
}

// Bounds of what is asked for.
const (
	maxQueries = 16
	maxChecks  = 1
	maxURL     = 1 << 10
	maxCheck   = 9 << 20 // bytes of a request with a block in hex
	patience   = 20 * time.Second
)

// query answers a GET with a value that is sent as JSON.
type query func(r *http.Request, args []string) (any, error)

// New makes the page.
func New(cfg Config) *Handler {
	h := &Handler{cfg: cfg, files: load(), slots: make(chan struct{}, maxQueries), checks: make(chan struct{}, maxChecks)}
	h.queries = map[string]query{
		"home": h.home, "blocks": h.recentBlocks, "chart": h.chart, "block": h.block, "tx": h.tx, "address": h.address,
		"mempool": h.mempool, "peers": h.peers, "pool": h.miners, "rules": h.rules, "tree": h.tree, "fate": h.fate,
		"search": h.search, "why": h.why, "raw": h.raw, "json": h.rawJSON,
	}
	return h
}

// Prefix begins the paths of the page's own calls, and Assets of its files.
const (
	Prefix = "/page/"
	Assets = "/static/"
)

// Serves reports whether a path is the page's.
func Serves(p string) bool {
	return p == "/" || strings.HasPrefix(p, Prefix) || strings.HasPrefix(p, Assets)
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler. Who asks was looked at before.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	if len(r.URL.RequestURI()) > maxURL {
		fail(w, http.StatusRequestURITooLong, "the address is longer than 1 kB")
		return
	}
	name, called := strings.CutPrefix(r.URL.Path, Prefix)
	if !called {
		h.serveFile(w, r)
		return
	}
	if r.Method == http.MethodPost {
		h.act(w, r, name)
		return
	}
	args := strings.Split(name, "/")
	answer, ok := h.queries[args[0]]
	if !ok {
		fail(w, http.StatusNotFound, "there is no such call")
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-r.Context().Done():
		return
	case <-time.After(patience):
		fail(w, http.StatusServiceUnavailable, "too many questions at once")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	v, err := answer(r.WithContext(ctx), args[1:])
	h.reply(w, v, err)
}

// problem is an error whose text is for people, with the status of the answer.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func notFound(text string) error { return &problem{http.StatusNotFound, text} }
func badInput(text string) error { return &problem{http.StatusBadRequest, text} }

func (h *Handler) reply(w http.ResponseWriter, v any, err error) {
	if p, ok := errors.AsType[*problem](err); ok {
		fail(w, p.status, p.text)
		return
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	if text, ok := v.(plainText); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(text)) // the caller has gone if this fails
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// plainText is sent as it is.
type plainText string

func fail(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, struct {
		Error string `json:"error"`
	}{text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller has gone if this fails
}

//go:embed static
var static embed.FS

// file is one of the page, as it is and compressed.
type file struct {
	kind, tag   string
	plain, gzip []byte
}

// load reads the files of the page, once: they do not change.
var load = sync.OnceValue(func() map[string]*file {
	files := make(map[string]*file)
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if _, err := z.Write(b); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" {
			kind = "text/javascript; charset=utf-8"
		}
		files["/"+name] = &file{kind, `"` + hex.EncodeToString(sum[:12]) + `"`, b, packed.Bytes()}
		return nil
	})
	if err != nil {
		panic(err) // they are part of the program
	}
	files["/"] = files["/static/index.html"]
	return files
})

// File is one of the page's files, such as "dom.js", for pages of other servers that
// use its modules.
func File(name string) (kind string, content []byte, ok bool) {
	f := load()["/static/"+name]
	if f == nil {
		return "", nil, false
	}
	return f.kind, f.plain, true
}

func (h *Handler) serveFile(w http.ResponseWriter, r *http.Request) {
	f := h.files[r.URL.Path]
	if f == nil {
		http.NotFound(w, r)
		return
	}
	head := w.Header()
	head.Set("Content-Type", f.kind)
	head.Set("ETag", f.tag)
	head.Set("Cache-Control", "no-cache") // it is asked for again, and not sent again
	head.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		head.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	_, _ = w.Write(body) // the caller has gone if this fails
}
