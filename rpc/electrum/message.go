package electrum

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// The codes of errors: those of JSON-RPC 2.0, and the two of ElectrumX that clients
// know.
const (
	codeParse     = -32700
	codeRequest   = -32600
	codeNoMethod  = -32601
	codeParams    = -32602
	codeInternal  = -32603
	codeBad       = 1 // what was asked for is wrong, or not there
	codeDaemon    = 2 // the node says no
	codeExcessive = -101
)

// failure is an error of the protocol.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error is the message.
func (f *failure) Error() string { return f.Message }

func fail(code int, format string, args ...any) *failure {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// call is one request.
type call struct {
	id     json.RawMessage // nil for a notification
	method string
	list   []json.RawMessage          // parameters by position
	named  map[string]json.RawMessage // or by name
}

var null = json.RawMessage("null")

// isObject reports whether a message begins as a JSON object does: the first that does
// not ends the connection, as it comes from no client (but, say, from a browser that a
// web page had send a form here).
func isObject(line []byte) bool {
	line = bytes.TrimLeft(line, " \t\r\n")
	return len(line) > 0 && line[0] == '{'
}

// parse reads a message: one call, or several in a batch. With an error there is none.
func parse(line []byte) (raws []json.RawMessage, batch bool, err *failure) {
	if !utf8.Valid(line) || !json.Valid(line) {
		return nil, false, fail(codeParse, "invalid JSON")
	}
	line = bytes.Trim(line, " \t\r\n")
	if line[0] != '[' {
		return []json.RawMessage{line}, false, nil
	}
	if err := json.Unmarshal(line, &raws); err != nil {
		return nil, true, fail(codeParse, "invalid JSON")
	}
	switch {
	case len(raws) == 0:
		return nil, true, fail(codeRequest, "batch is empty")
	case len(raws) > maxBatch:
		return nil, true, fail(codeRequest, "%d calls in a batch, want at most %d", len(raws), maxBatch)
	}
	return raws, true, nil
}

// parseCall reads one call from valid JSON. With an error, the call has its id, so
// that it can be answered.
func parseCall(raw json.RawMessage) (*call, *failure) {
	c := &call{id: null}
	var fields struct {
		ID     json.RawMessage `json:"id"`
		Method json.RawMessage `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &fields) != nil {
		return c, fail(codeRequest, "request is no object")
	}
	c.id = fields.ID
	if id := bytes.TrimLeft(fields.ID, " \t\r\n"); len(id) > 0 && (id[0] == '{' || id[0] == '[') || len(id) > 1000 {
		c.id = null
		return c, fail(codeRequest, "id must be a number, a string or null, and short")
	}
	if len(fields.Method) == 0 || json.Unmarshal(fields.Method, &c.method) != nil || string(fields.Method) == "null" {
		c.id = orNull(c.id)
		return c, fail(codeRequest, "method must be a string")
	}
	switch p := bytes.TrimLeft(fields.Params, " \t\r\n"); {
	case len(p) == 0 || string(p) == "null":
	case p[0] == '[':
		_ = json.Unmarshal(p, &c.list) // it is valid JSON
	case p[0] == '{':
		_ = json.Unmarshal(p, &c.named)
	default:
		c.id = orNull(c.id)
		return c, fail(codeRequest, "params must be an array or an object")
	}
	return c, nil
}

func orNull(id json.RawMessage) json.RawMessage {
	if id == nil {
		return null
	}
	return id
}

// answer encodes the outcome of a call.
func answer(id json.RawMessage, result any, err *failure) []byte {
	var reply any
	if err != nil {
		reply = struct {
			Version string          `json:"jsonrpc"`
			Error   *failure        `json:"error"`
			ID      json.RawMessage `json:"id"`
		}{"2.0", err, orNull(id)}
	} else {
		reply = struct {
			Version string          `json:"jsonrpc"`
			Result  any             `json:"result"`
			ID      json.RawMessage `json:"id"`
		}{"2.0", result, orNull(id)}
	}
	b, failed := encode(reply)
	if failed != nil {
		return answer(id, nil, fail(codeInternal, "the result cannot be encoded"))
	}
	return b
}

// notification encodes a message that nobody has asked for.
func notification(method string, params ...any) []byte {
	b, _ := encode(struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  []any  `json:"params"`
	}{"2.0", method, params}) // of plain types
	return b
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
