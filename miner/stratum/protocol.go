// Package stratum speaks Stratum v1, by which many machines search one space: a
// server with a pool whose blocks pay the workers in proportion to their recent
// shares, and a source of work for a miner elsewhere.
//
// The protocol is lines of JSON over TCP. It was described by Marek Palatinus
// (slush) in 2012; BIP310 adds mining.configure and the rolling of versions. The
// difficulty of shares is said in multiples of the target 00000000ffff0000…, and
// one that is announced holds for the jobs that follow.
package stratum

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"lode/consensus"
)

// The codes of errors in the protocol.
const (
	codeOther         = 20
	codeNoJob         = 21 // or one that has become useless
	codeDuplicate     = 22
	codeLowDifficulty = 23
	codeUnauthorized  = 24
	codeNotSubscribed = 25
)

// Error is an error as the protocol has it: [code, message, null].
type Error struct {
	Code    int
	Message string
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

func fail(code int, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// What has no text of its own.
var (
	errStale         = &Error{codeNoJob, "Job not found"}
	errDuplicate     = &Error{codeDuplicate, "Duplicate share"}
	errLow           = &Error{codeLowDifficulty, "Low difficulty share"}
	errUnauthorized  = &Error{codeUnauthorized, "Unauthorized worker"}
	errNotSubscribed = &Error{codeNotSubscribed, "Not subscribed"}
)

// message is a request, a notification (without id), or an answer (without
// method).
type message struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	Result json.RawMessage   `json:"result"`
	Error  json.RawMessage   `json:"error"`
}

// maxID bounds what is sent back as it came.
const maxID = 64

// parse reads a line.
func parse(line []byte) (m message, err error) {
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("a line that is no message: %.80q", line)
	}
	if len(m.ID) > maxID {
		return m, fmt.Errorf("an id of %d bytes", len(m.ID))
	}
	return m, nil
}

// text reads the i-th parameter as a string.
func (m *message) text(i int) (s string, ok bool) {
	if i >= len(m.Params) {
		return "", false
	}
	raw := m.Params[i]
	if n := len(raw); n >= 2 && raw[0] == '"' && plain(raw[1:n-1]) { // what shares consist of
		return string(raw[1 : n-1]), true
	}
	return s, json.Unmarshal(raw, &s) == nil && string(raw) != "null"
}

func plain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e || c == '\\' {
			return false
		}
	}
	return true
}

// word reads a parameter of eight hex digits.
func (m *message) word(i int) (uint32, bool) {
	s, ok := m.text(i)
	v, err := strconv.ParseUint(s, 16, 32)
	return uint32(v), ok && err == nil && len(s) == 8
}

// number reads a parameter that is a number, or the text of one.
func (m *message) number(i int) (f float64, ok bool) {
	if i >= len(m.Params) {
		return 0, false
	}
	if s, ok := m.text(i); ok {
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil
	}
	return f, json.Unmarshal(m.Params[i], &f) == nil && string(m.Params[i]) != "null"
}

// answer is the line that answers a request. result is JSON.
func answer(id json.RawMessage, result string, e *Error) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	line := append(append(make([]byte, 0, 128), `{"id":`...), id...)
	if e == nil {
		line = append(append(line, `,"result":`...), result...)
		return append(line, ",\"error\":null}\n"...)
	}
	line = strconv.AppendInt(append(line, `,"result":null,"error":[`...), int64(e.Code), 10)
	text, _ := json.Marshal(e.Message) // a string can be written
	return append(append(append(line, ','), text...), ",null]}\n"...)
}

// difficultyLine announces the difficulty of the jobs that follow. The number is
// read back as the same float.
func difficultyLine(difficulty float64) []byte {
	line := []byte(`{"id":null,"method":"mining.set_difficulty","params":[`)
	return append(strconv.AppendFloat(line, difficulty, 'g', -1, 64), "]}\n"...)
}

// notifyLine is a job without the last parameter, whether it makes those before
// it useless, and the end of the line: see cleanEnd.
func notifyLine(j *job) []byte {
	prev := swapWords(j.mining.Prev)
	n := 300 + 2*(len(j.mining.Coinbase1)+len(j.mining.Coinbase2)) + 67*len(j.mining.Branch)
	line := append(make([]byte, 0, n), `{"id":null,"method":"mining.notify","params":["`...)
	line = append(append(line, j.id...), `","`...)
	line = append(hex.AppendEncode(line, prev[:]), `","`...)
	line = append(hex.AppendEncode(line, j.mining.Coinbase1), `","`...)
	line = append(hex.AppendEncode(line, j.mining.Coinbase2), `",[`...)
	for i, h := range j.mining.Branch {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(hex.AppendEncode(append(line, '"'), h[:]), '"')
	}
	return fmt.Appendf(line, `],"%08x","%08x","%08x",`, uint32(j.mining.Version), j.mining.Bits, j.mining.Time)
}

// The ends of a notification.
var (
	cleanEnd = []byte("true]}\n")
	laterEnd = []byte("false]}\n")
)

// swapWords reverses the bytes of each of the eight words of a hash, as the
// protocol sends the previous hash.
func swapWords(h consensus.Hash) consensus.Hash {
	for i := 0; i < len(h); i += 4 {
		slices.Reverse(h[i : i+4])
	}
	return h
}
