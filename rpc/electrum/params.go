package electrum

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"lode/consensus"
	"lode/rpc/scripthash"
)

// params are the parameters of a call, by position. The first that is wrong is kept.
type params struct {
	names  []string
	values []json.RawMessage
	err    *failure
}

// bind puts the parameters of a call in the order of their names. Those behind the
// required ones may be left out; more than there are names are wrong unless the
// method ignores them.
func bind(m *method, c *call) (*params, *failure) {
	p := &params{names: m.params, values: make([]json.RawMessage, len(m.params))}
	if len(c.list) > len(m.params) && !m.lax {
		return nil, fail(codeParams, "%d parameters, want at most %d", len(c.list), len(m.params))
	}
	copy(p.values, c.list)
	for name, value := range c.named {
		i := slices.Index(m.params, name)
		switch {
		case i >= 0:
			p.values[i] = value
		case !m.lax:
			return nil, fail(codeParams, "unknown parameter %.40q", name)
		}
	}
	for i := range m.required {
		if len(p.values[i]) == 0 {
			return nil, fail(codeParams, "parameter %q is missing", m.params[i])
		}
	}
	return p, nil
}

func (p *params) absent(i int) bool { return len(p.values[i]) == 0 || string(p.values[i]) == "null" }

func (p *params) fail(code int, format string, args ...any) {
	if p.err == nil {
		p.err = fail(code, format, args...)
	}
}

// number reads an integer from 0 to 2^32-1.
func (p *params) number(i int, otherwise uint32) uint32 {
	if p.absent(i) {
		return otherwise
	}
	var n int64
	if err := json.Unmarshal(p.values[i], &n); err != nil || n < 0 || n > math.MaxUint32 {
		p.fail(codeBad, "%.40s should be a non-negative integer (%s)", p.values[i], p.names[i])
		return 0
	}
	return uint32(n)
}

func (p *params) flag(i int) (v bool) {
	if p.absent(i) {
		return false
	}
	if json.Unmarshal(p.values[i], &v) != nil {
		p.fail(codeBad, "%.40s should be a boolean (%s)", p.values[i], p.names[i])
	}
	return v
}

func (p *params) text(i int) (s string) {
	if json.Unmarshal(p.values[i], &s) != nil {
		p.fail(codeBad, "%s should be a string", p.names[i])
	}
	return s
}

// hash reads 64 hex digits, written backwards, as hashes are.
func (p *params) hash(i int, what string) consensus.Hash {
	s := p.text(i)
	h, err := consensus.ParseHash(s)
	if err != nil || strings.ToLower(s) != h.String() {
		p.fail(codeBad, "%.80q is not a valid %s", s, what)
	}
	return h
}

func (p *params) script(i int) scripthash.ID { return p.hash(i, "script hash") }

// tx reads a transaction in hex.
func (p *params) tx(i int) string {
	s := p.text(i)
	if p.err == nil {
		if err := checkTx(s); err != nil {
			p.fail(codeBad, "%s: %v", p.names[i], err)
		}
	}
	return s
}

// checkTx reports whether hex digits are a transaction.
func checkTx(s string) error {
	raw, err := hex.DecodeString(s)
	if err == nil {
		_, err = consensus.DecodeTx(raw)
	}
	if err != nil {
		return fmt.Errorf("TX decode failed: %w", err)
	}
	return nil
}

func (p *params) texts(i int) (list []string) {
	if json.Unmarshal(p.values[i], &list) != nil {
		p.fail(codeBad, "%s should be a list of strings", p.names[i])
	}
	return list
}
