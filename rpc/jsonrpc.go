package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"
)

// request is a call in any version of JSON-RPC.
type request struct {
	id     json.RawMessage // nil if there is none
	v2     bool            // the caller speaks JSON-RPC 2.0
	method string
	params json.RawMessage // nil, an array or an object
}

var nullID = json.RawMessage("null")

// parseRequest reads a call from valid JSON. With an error it gives what an
// answer needs to know of it.
func parseRequest(raw []byte) (*request, *Error) {
	invalid := func(text string) *Error { return &Error{codeInvalidRequest, text} }
	if jsonType(raw) != "object" {
		return &request{id: nullID}, invalid("Invalid Request object")
	}
	raw = trimJSON(raw)
	fields := make(map[string]json.RawMessage, 4)
	for name, value := range members(raw) {
		switch name {
		case "id", "jsonrpc", "method", "params":
			if _, twice := fields[name]; !twice {
				fields[name] = value
			}
		}
	}
	call := &request{id: fields["id"]}
	if version := fields["jsonrpc"]; !isNull(version) {
		var text string
		if json.Unmarshal(version, &text) != nil {
			return call, invalid("jsonrpc field must be a string")
		}
		// 1.0 and 1.1 know no such field, but some of their clients send it.
		if text != "1.0" && text != "1.1" && text != "2.0" {
			return call, invalid("JSON-RPC version not supported")
		}
		call.v2 = text == "2.0"
	}
	switch method := fields["method"]; {
	case isNull(method):
		return call, invalid("Missing method")
	case json.Unmarshal(method, &call.method) != nil:
		return call, invalid("Method must be a string")
	}
	switch jsonType(fields["params"]) {
	case "array", "object":
		call.params = fields["params"]
	case "null":
	default:
		return call, invalid("Params must be an array or object")
	}
	return call, nil
}

// eachMember calls f for the members of a valid JSON object until one is an error.
func eachMember(raw []byte, f func(name string, value json.RawMessage) error) error {
	for name, value := range members(raw) {
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// jsonType names the type of a JSON value as Bitcoin Core does.
func jsonType(raw json.RawMessage) string {
	switch raw = trimJSON(raw); {
	case len(raw) == 0 || raw[0] == 'n':
		return "null"
	case raw[0] == '"':
		return "string"
	case raw[0] == '{':
		return "object"
	case raw[0] == '[':
		return "array"
	case raw[0] == 't' || raw[0] == 'f':
		return "bool"
	}
	return "number"
}

// trimJSON removes what JSON, and not Unicode, takes for space.
func trimJSON(raw []byte) []byte { return bytes.Trim(raw, " \t\r\n") }

// notification reports whether the caller wants no answer: 2.0 without an id.
func (r *request) notification() bool { return r.v2 && r.id == nil }

// answer encodes the outcome of r. There is no id in it if r has none.
func (r *request) answer(result any, failure *Error) []byte {
	var reply any
	switch {
	case !r.v2:
		reply = struct {
			Result any             `json:"result"`
			Error  *Error          `json:"error"`
			ID     json.RawMessage `json:"id,omitempty"`
		}{result, failure, r.id}
	case failure != nil:
		reply = struct {
			Version string          `json:"jsonrpc"`
			Error   *Error          `json:"error"`
			ID      json.RawMessage `json:"id,omitempty"`
		}{"2.0", failure, r.id}
	default:
		reply = struct {
			Version string          `json:"jsonrpc"`
			Result  any             `json:"result"`
			ID      json.RawMessage `json:"id,omitempty"`
		}{"2.0", result, r.id}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(reply); err != nil {
		return r.answer(nil, &Error{codeInternal, "the result cannot be encoded: " + err.Error()})
	}
	return b.Bytes()
}

// caller is who makes a call.
type caller struct {
	user   string
	wallet WalletPath
}

// serveRPC answers the body of one HTTP request.
func (s *Server) serveRPC(w http.ResponseWriter, r *http.Request, who caller, body []byte) {
	if !utf8.Valid(body) || !json.Valid(body) {
		refuse(w, &Error{codeParse, "Parse error"})
		return
	}
	if body = trimJSON(body); !s.cfg.Whitelist.lets(who.user) {
		s.forbid(w, who, "")
		return
	}
	switch jsonType(body) {
	case "array":
		s.serveBatch(w, r, who, body)
		return
	case "object":
	default:
		refuse(w, &Error{codeParse, "Top-level object parse error"})
		return
	}
	call, failure := parseRequest(body)
	if failure != nil { // of HTTP too, in every version, as Bitcoin Core has it
		writeJSON(w, httpStatus(failure), call.answer(nil, failure))
		return
	}
	if !s.cfg.Whitelist.allows(who.user, call.method) {
		s.forbid(w, who, call.method)
		return
	}
	result, failure := s.execute(r.Context(), who, call)
	if call.notification() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	status := http.StatusOK
	if failure != nil && !call.v2 {
		status = httpStatus(failure)
	}
	s.writeAnswer(w, who, status, call.answer(result, failure))
}

// largeAnswer is how long an answer is, in bytes, that counts for what its caller may
// have kept until it is read.
const largeAnswer = 1 << 20

// writeAnswer sends the answer to one call. Many large ones to callers that do not
// read them take a share of memory, as those to batches do.
func (s *Server) writeAnswer(w http.ResponseWriter, who caller, status int, answer []byte) {
	if len(answer) < largeAnswer {
		writeJSON(w, status, answer)
		return
	}
	out := s.spools.open(who.user)
	defer out.Close()
	if _, err := out.Write(answer); err != nil {
		refuse(w, &Error{codeInternal, err.Error()})
		return
	}
	sendSpool(w, status, out)
}

// sendSpool sends an answer that is kept.
func sendSpool(w http.ResponseWriter, status int, out *spool) {
	limitWrite(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.FormatInt(out.size, 10))
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // the caller has gone if this fails
}

// forbid answers a call that the user may not make, without a word, as Bitcoin Core
// does; an empty method is any.
func (s *Server) forbid(w http.ResponseWriter, who caller, method string) {
	if method == "" {
		method = "any method"
	}
	s.warn("RPC user not allowed to call", "user", who.user, "method", fmt.Sprintf("%.80s", method))
	w.WriteHeader(http.StatusForbidden)
}

// httpStatus is what Bitcoin Core answers for an error in JSON-RPC 1.x.
func httpStatus(e *Error) int {
	switch e.Code {
	case codeInvalidRequest:
		return http.StatusBadRequest
	case codeNoMethod:
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// refuse answers what is no call.
func refuse(w http.ResponseWriter, failure *Error) {
	writeJSON(w, httpStatus(failure), (&request{id: nullID}).answer(nil, failure))
}

// writeTimeout is how long a caller may take for an answer, or for each of a
// batch. It begins when the answer is there, so that a call may take long.
const writeTimeout = 5 * time.Minute

func limitWrite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a recorder has none
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	limitWrite(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller has gone if this fails
}

// maxBatch bounds how many calls one request may hold.
const maxBatch = 50_000

// countBatch counts the elements of a valid JSON array, up to one too many.
func countBatch(body []byte) (n int) {
	for range elements(body) {
		if n++; n > maxBatch {
			break
		}
	}
	return n
}

// serveBatch answers calls one after the other. The answers are kept until the last
// is there: clients want to know how long they are together, and some read no
// chunks.
func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request, who caller, body []byte) {
	count := countBatch(body)
	if count > maxBatch {
		refuse(w, &Error{codeInvalidRequest, "Too many calls in one batch, want at most " + strconv.Itoa(maxBatch)})
		return
	}
	if s.cfg.Whitelist.methods[who.user] != nil && !s.batchAllowed(w, who, body) {
		return
	}
	out := s.spools.open(who.user)
	defer out.Close()
	answered := false
	write := func(separator string, answer []byte) error {
		_, err1 := io.WriteString(out, separator)
		_, err2 := out.Write(answer)
		return errors.Join(err1, err2)
	}
	for raw := range elements(body) {
		if r.Context().Err() != nil { // the node stops, or nobody waits for the rest
			http.Error(w, "the node is stopping", http.StatusServiceUnavailable)
			return
		}
		call, failure := parseRequest(raw)
		var result any
		if failure == nil {
			result, failure = s.execute(r.Context(), who, call)
		}
		if call.notification() {
			continue
		}
		separator := "["
		if answered {
			separator = ","
		}
		answered = true
		if err := write(separator, bytes.TrimSpace(call.answer(result, failure))); err != nil {
			refuse(w, &Error{codeInternal, err.Error()})
			return
		}
	}
	if !answered && count > 0 { // notifications only
		w.WriteHeader(http.StatusNoContent)
		return
	}
	end := "]\n"
	if !answered {
		end = "[]\n"
	}
	if err := write(end, nil); err != nil {
		refuse(w, &Error{codeInternal, err.Error()})
		return
	}
	sendSpool(w, http.StatusOK, out)
}

// batchAllowed reports whether a user may make every call of a batch, and answers
// it if not.
func (s *Server) batchAllowed(w http.ResponseWriter, who caller, body []byte) bool {
	for raw := range elements(body) {
		call, failure := parseRequest(raw)
		if failure != nil && call.method == "" {
			refuse(w, failure)
			return false
		}
		if !s.cfg.Whitelist.allows(who.user, call.method) {
			s.forbid(w, who, call.method)
			return false
		}
	}
	return true
}

// execute runs one call. A panic in a method is a bug, but not the end of the
// node.
func (s *Server) execute(ctx context.Context, who caller, call *request) (result any, failure *Error) {
	m, ok := s.table[call.method]
	if !ok {
		return nil, s.noMethod(call.method, who.wallet)
	}
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.Error("bug: a call panicked", "method", m.Name, "panic", v, "stack", string(debug.Stack()))
			result, failure = nil, &Error{codeInternal, "internal error, see the log of the node"}
		}
	}()
	defer s.running.begin(m.Name, s.cfg.Clock.Steady.Now())()
	p, err := bind(m, call.params)
	if err == nil {
		result, err = m.call(context.WithValue(ctx, walletPathKey{}, who.wallet), p)
	}
	if err != nil {
		return nil, asError(err)
	}
	if s.cfg.Submitted != nil && submits[m.Name] {
		s.cfg.Submitted(ctx)
	}
	return result, nil
}

// submits are the calls that bring a transaction.
var submits = map[string]bool{
	"sendrawtransaction": true, "submitpackage": true, "sendtoaddress": true, "sendmany": true, "send": true, "sendall": true, "bumpfee": true,
}
