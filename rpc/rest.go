package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"lode/chain"
	"lode/consensus"
)

// Bitcoin Core's REST interface (rest.cpp): what is public, by GET, without a password.
// Each path ends in the form of its answer, .bin, .hex or .json. Texts of errors and
// status codes are Bitcoin Core's.

const restPath = "/rest/"

// The limits of all callers together, and of one request.
const (
	restRequests = 4         // that are worked on at once
	restWait     = 10        // seconds that another waits for that
	restAnswers  = 128 << 20 // bytes of answers that wait to be read
	restHeaders  = 2000
	restCoins    = 15       // of getutxos
	restBody     = 64 << 10 // of getutxos
)

// rest is what all callers of the interface share.
type rest struct {
	working, answers *semaphore.Weighted
}

func newREST() *rest {
	return &rest{semaphore.NewWeighted(restRequests), semaphore.NewWeighted(restAnswers)}
}

// restError is an answer with its status.
type restError struct {
	status int
	text   string
}

// Error is the text.
func (e *restError) Error() string { return e.text }

func restFail(status int, format string, args ...any) error {
	return &restError{status, fmt.Sprintf(format, args...)}
}

// form is how an answer is written.
type form string

const (
	formNone form = ""
	formBin  form = "bin"
	formHex  form = "hex"
	formJSON form = "json"
)

// restRequest is a request that has been taken apart.
type restRequest struct {
	*http.Request
	rest  string   // of the path, behind the name of what is asked for, without the form
	parts []string // of rest
	form  form
	query url.Values
}

// reply is what a request is answered with: bytes, which .hex shows too, and a value for
// JSON. Each is made when it is wanted; nil if there is no such form.
type reply struct {
	bytes func() ([]byte, error)
	value func() (any, error)
	text  string // that .hex shows in the place of the bytes
}

// restHandlers are the paths; the first that fits is taken.
func (s *Server) restHandlers() []struct {
	prefix string
	handle func(context.Context, *restRequest) (reply, error)
} {
	return []struct {
		prefix string
		handle func(context.Context, *restRequest) (reply, error)
	}{
		{"tx/", s.restTx},
		{"block/notxdetails/", s.restBlockOf(1)},
		{"block/", s.restBlockOf(3)},
		{"blockpart/", s.restBlockPart},
		{"blockfilter/", s.restFilter},
		{"blockfilterheaders/", s.restFilterHeaders},
		{"chaininfo", s.restChainInfo},
		{"mempool/", s.restMempool},
		{"headers/", s.restHeaders},
		{"getutxos", s.restUnspent},
		{"deploymentinfo/", s.restDeployments},
		{"deploymentinfo", s.restDeployments},
		{"blockhashbyheight/", s.restHashAt},
		{"spenttxouts/", s.restSpent},
	}
}

// serveREST answers who is on this machine, or may call by --rpc-allow-ip.
func (s *Server) serveREST(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r) && len(s.cfg.AllowCallers) == 0 {
		http.Error(w, "/rest is for this machine alone; allow others with --rpc-allow-ip", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	ctx, stop := context.WithTimeout(r.Context(), restWait*time.Second)
	err := s.rest.working.Acquire(ctx, 1)
	stop()
	if err != nil {
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	kind, body, err := s.restAnswer(w, r)
	s.rest.working.Release(1)
	if err != nil {
		s.restRefuse(w, r, err)
		return
	}
	size := int64(len(body))
	if !s.rest.answers.TryAcquire(min(size, restAnswers)) {
		http.Error(w, "too many large answers at once", http.StatusServiceUnavailable)
		return
	}
	defer s.rest.answers.Release(min(size, restAnswers))
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	limitWrite(w)
	_, _ = w.Write(body) // the caller has gone if this fails
}

// restRefuse answers a request that has failed.
func (s *Server) restRefuse(w http.ResponseWriter, r *http.Request, err error) {
	var e *restError
	var call *Error
	switch {
	case errors.As(err, &e):
	case errors.As(err, &call):
		e = &restError{http.StatusBadRequest, call.Message}
	case errors.Is(err, chain.ErrNotFound):
		e = &restError{http.StatusNotFound, "not found"}
	default:
		if r.Context().Err() == nil {
			s.warn("a REST request failed", "path", fmt.Sprintf("%.200q", r.URL.Path), "error", err)
		}
		e = &restError{http.StatusInternalServerError, "internal error, see the log of the node"}
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.status)
	_, _ = fmt.Fprintf(w, "%s\r\n", e.text)
}

// restAnswer finds who answers, and writes the answer in the form that is asked for.
func (s *Server) restAnswer(w http.ResponseWriter, r *http.Request) (kind string, body []byte, err error) {
	q := &restRequest{Request: r}
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return "", nil, restFail(http.StatusBadRequest, "URI parsing failed, it likely contained RFC 3986 invalid characters")
	}
	path := strings.TrimPrefix(r.URL.Path, restPath)
	for _, h := range s.restHandlers() {
		behind, ok := strings.CutPrefix(path, h.prefix)
		if !ok {
			continue
		}
		q.rest, q.form = restForm(behind)
		q.parts = strings.Split(q.rest, "/")
		q.Body = http.MaxBytesReader(w, r.Body, restBody)
		answer, err := h.handle(r.Context(), q)
		if err != nil {
			return "", nil, err
		}
		return answer.write(q.form)
	}
	return "", nil, restFail(http.StatusNotFound, "there is no such path")
}

// restForm cuts the form off the end of a path. A path that ends in none keeps what it has.
func restForm(path string) (string, form) {
	if at := strings.LastIndexByte(path, '.'); at >= 0 {
		switch f := form(path[at+1:]); f {
		case formBin, formHex, formJSON, formNone:
			return path[:at], f
		}
	}
	return path, formNone
}

func (a *reply) write(f form) (kind string, body []byte, err error) {
	switch {
	case f == formJSON && a.value != nil:
		v, err := a.value()
		if err != nil {
			return "", nil, err
		}
		body, err = json.Marshal(v)
		return "application/json", append(body, '\n'), err
	case f == formHex && a.text != "":
		return "text/plain", []byte(a.text + "\n"), nil
	case (f == formBin || f == formHex) && a.bytes != nil:
		b, err := a.bytes()
		if f == formBin || err != nil {
			return "application/octet-stream", b, err
		}
		return "text/plain", append(hex.AppendEncode(make([]byte, 0, 2*len(b)+1), b), '\n'), nil
	case a.bytes == nil:
		return "", nil, restFail(http.StatusNotFound, "output format not found (available: json)")
	case a.value == nil:
		return "", nil, restFail(http.StatusBadRequest, "JSON output is not supported for this request type")
	}
	return "", nil, restFail(http.StatusNotFound, "output format not found (available: .bin, .hex, .json)")
}

// restHash reads a hash.
func restHash(text string) (consensus.Hash, error) {
	hash, err := consensus.ParseHash(text)
	if err != nil {
		return hash, restFail(http.StatusBadRequest, "Invalid hash: %.80s", text)
	}
	return hash, nil
}

// count reads how many things are asked for: text, or else the query's, or 5.
func (q *restRequest) count(text string) (int, error) {
	if text == "" {
		if text = q.query.Get("count"); !q.query.Has("count") {
			text = "5"
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > restHeaders {
		return 0, restFail(http.StatusBadRequest, "Header count is invalid or out of acceptable range (1-%d): %.80s", restHeaders, text)
	}
	return int(n), nil
}

// restChain lists up to count blocks of the active chain from one on: none if that is not
// part of it.
func (s *Server) restChain(from consensus.Hash, count int) (list []chain.HeaderInfo) {
	info, ok := s.cfg.Chain.Header(from)
	for ok && info.Active && len(list) < count {
		list = append(list, info)
		var next consensus.Hash
		if next, ok = s.cfg.Chain.HashAt(info.Height + 1); ok {
			info, ok = s.cfg.Chain.Header(next)
			ok = ok && info.Header.Prev == list[len(list)-1].Hash
		}
	}
	return list
}
