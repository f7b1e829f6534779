package rpc

import (
	"bytes"
	"context"
	"encoding/json"
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
	fields := make(map[string]json.RawMessage, 4)
	err := eachMember(raw, func(name string, value json.RawMessage) error {
		switch name {
		case "id", "jsonrpc", "method", "params":
			if _, twice := fields[name]; !twice {
				fields[name] = value
			}
		}
		return nil
	})
	if err != nil {
		return &request{id: nullID}, &Error{codeParse, "Parse error"}
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

// eachMember calls f for the members of a JSON object in their order. Other
// than the decoding into a struct or a map, it keeps names of another case
// apart, and shows a name that is there twice.
func eachMember(raw []byte, f func(name string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := f(name.(string), value); err != nil {
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

// serveRPC answers the body of one HTTP request.
func (s *Server) serveRPC(w http.ResponseWriter, r *http.Request, body []byte) {
	if !utf8.Valid(body) || !json.Valid(body) {
		refuse(w, &Error{codeParse, "Parse error"})
		return
	}
	switch jsonType(body) {
	case "array":
		s.serveBatch(w, r, body)
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
	result, failure := s.execute(r.Context(), call)
	if call.notification() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	status := http.StatusOK
	if failure != nil && !call.v2 {
		status = httpStatus(failure)
	}
	writeJSON(w, status, call.answer(result, failure))
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
const maxBatch = 10_000

// splitBatch gives the elements of a valid JSON array, or false if they are too
// many, which is known before all of them take memory.
func splitBatch(body []byte) (calls []json.RawMessage, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token()
	for err == nil && dec.More() {
		if len(calls) == maxBatch {
			return nil, false
		}
		var raw json.RawMessage
		err = dec.Decode(&raw)
		calls = append(calls, raw)
	}
	return calls, err == nil
}

// serveBatch answers calls one after the other as it goes, so that a batch of
// large results is never held in memory as a whole.
func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request, body []byte) {
	calls, ok := splitBatch(body)
	if !ok {
		refuse(w, &Error{codeInvalidRequest, "Too many calls in one batch, want at most " + strconv.Itoa(maxBatch)})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	separator := "["
	for _, raw := range calls {
		call, failure := parseRequest(raw)
		var result any
		if failure == nil {
			result, failure = s.execute(r.Context(), call)
		}
		if call.notification() {
			continue
		}
		limitWrite(w)
		if _, err := io.WriteString(w, separator); err != nil {
			return
		}
		if _, err := w.Write(bytes.TrimSpace(call.answer(result, failure))); err != nil {
			return
		}
		separator = ","
	}
	switch {
	case separator == ",":
		_, _ = io.WriteString(w, "]\n")
	case len(calls) > 0: // notifications only
		w.WriteHeader(http.StatusNoContent)
	default:
		_, _ = io.WriteString(w, "[]\n")
	}
}

// execute runs one call. A panic in a method is a bug, but not the end of the
// node.
func (s *Server) execute(ctx context.Context, call *request) (result any, failure *Error) {
	m, ok := s.table[call.method]
	if !ok {
		return nil, &Error{codeNoMethod, "Method not found"}
	}
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.Error("bug: a call panicked", "method", m.name, "panic", v, "stack", string(debug.Stack()))
			result, failure = nil, &Error{codeInternal, "internal error, see the log of the node"}
		}
	}()
	p, err := bind(m, call.params)
	if err == nil {
		result, err = m.call(ctx, p)
	}
	if err != nil {
		return nil, asError(err)
	}
	return result, nil
}
