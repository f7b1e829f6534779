package rpc

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"lode/consensus"
	"lode/rpc/manual"
)

// params are the arguments of a call, in the order of the method's names. The
// first error sticks, so that a method reads all it wants and then looks once.
type params struct {
	params []*manual.Node
	values []json.RawMessage // nil or null where absent
	member bool              // they are the members of an object
	err    error
}

// single is one value that must be there, as an argument.
func single(name string, value json.RawMessage) *params {
	return &params{params: []*manual.Node{{Name: name}}, values: []json.RawMessage{value}}
}

// bind puts arguments, given as a list or by name, into order. Bitcoin Core's
// "args" may hold the first ones beside named ones. raw is valid JSON or nil.
func bind(m *method, raw json.RawMessage) (*params, error) {
	p := &params{params: m.Params, values: make([]json.RawMessage, len(m.Params))}
	if hasMoreValues(raw, maxValues) {
		return nil, fail(codeParameter, "Too many parameters: more than %d values", maxValues)
	}
	count := 0 // up to the last one that was given, even as null
	var err error
	switch jsonType(raw) {
	case "array":
		count, err = p.bindList(m, raw)
	case "object":
		count, err = p.bindNamed(m, raw)
	}
	if err != nil {
		return nil, err
	}
	if count < m.Required() {
		return nil, fail(codeMisc, "%s", m.Help())
	}
	return p, p.checkTypes()
}

// checkTypes compares what is there with the table. All that is wrong is said at
// once, as Bitcoin Core does.
func (p *params) checkTypes() error {
	var wrong []string
	for i, param := range p.params {
		want, got := param.Wants(), jsonType(p.values[i])
		if want == "" || got == want || p.absent(i) && param.Optional {
			continue
		}
		wrong = append(wrong, p.mismatch(i, want))
	}
	if wrong == nil {
		return nil
	}
	return wrongTypes(wrong...)
}

func (p *params) mismatch(i int, want string) string {
	return fmt.Sprintf("    \"Position %d (%s)\": \"JSON value of type %s is not of expected type %s\"",
		i+1, strings.Join(p.params[i].Names(), "|"), jsonType(p.values[i]), want)
}

func wrongTypes(mismatches ...string) error {
	return fail(codeType, "Wrong type passed:\n{\n%s\n}", strings.Join(mismatches, ",\n"))
}

func (p *params) bindList(m *method, raw json.RawMessage) (count int, err error) {
	for value := range elements(raw) {
		if count == len(p.values) {
			return 0, fail(codeMisc, "%s", m.Help())
		}
		p.values[count] = value
		count++
	}
	return count, nil
}

func (p *params) bindNamed(m *method, raw json.RawMessage) (count int, err error) {
	var args json.RawMessage
	err = eachMember(raw, func(name string, value json.RawMessage) error {
		if name == "args" {
			if args != nil {
				return fail(codeParameter, "Parameter args specified multiple times")
			}
			args = value
			return nil
		}
		i := slices.IndexFunc(p.params, func(n *manual.Node) bool { return n.Name == name || slices.Contains(n.Aliases, name) })
		if i < 0 {
			return fail(codeParameter, "Unknown named parameter %.80s", name)
		}
		if p.values[i] != nil {
			return fail(codeParameter, "Parameter %s specified multiple times", name)
		}
		p.values[i] = value
		count = max(count, i+1)
		return nil
	})
	if err != nil || isNull(args) {
		return count, err
	}
	if jsonType(args) != "array" {
		return 0, fail(codeParameter, "Parameter args must be an array")
	}
	named := slices.Clone(p.values)
	n, err := p.bindList(m, args)
	for i := range n {
		if err == nil && named[i] != nil {
			err = fail(codeParameter, "Parameter %s specified twice both as positional and named argument", p.params[i].Name)
		}
	}
	return max(count, n), err
}

func (p *params) absent(i int) bool { return isNull(p.values[i]) }

// given reports whether argument i is there. One that must be there and is null
// has the wrong type.
func (p *params) given(i int, want string) bool {
	if !p.absent(i) {
		return true
	}
	if !p.params[i].Optional {
		p.wrongType(i, want)
	}
	return false
}

// fail keeps the first error.
func (p *params) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *params) wrongType(i int, want string) {
	if p.member {
		p.fail(fail(codeType, "JSON value of type %s for field %s is not of expected type %s", jsonType(p.values[i]), p.params[i].Name, want))
		return
	}
	p.fail(wrongTypes(p.mismatch(i, want)))
}

// into decodes argument i, which has the type that v wants or is an error.
func (p *params) into(i int, v any, want string) bool {
	if jsonType(p.values[i]) != want || json.Unmarshal(p.values[i], v) != nil {
		p.wrongType(i, want)
		return false
	}
	return true
}

func (p *params) text(i int, otherwise string) string {
	if !p.given(i, "string") {
		return otherwise
	}
	var s string
	p.into(i, &s, "string")
	return s
}

func (p *params) flag(i int, otherwise bool) bool {
	if !p.given(i, "bool") {
		return otherwise
	}
	var b bool
	p.into(i, &b, "bool")
	return b
}

// integer reads a number without a fraction or an exponent between least and
// most, which stand for the width of the integer that Bitcoin Core has there.
func (p *params) integer(i int, otherwise, least, most int64) int64 {
	if !p.given(i, "number") {
		return otherwise
	}
	var n json.Number
	if !p.into(i, &n, "number") {
		return 0
	}
	v, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || v < least || v > most {
		p.fail(fail(codeMisc, "JSON integer out of range"))
		return 0
	}
	return v
}

// verbosity reads a number, or a bool as 0 or 1.
func (p *params) verbosity(i int, otherwise int64) int64 {
	switch t := jsonType(p.values[i]); t {
	case "bool":
		if p.flag(i, false) {
			return 1
		}
		return 0
	case "number", "null":
	default:
		p.fail(fail(codeType, "JSON value of type %s is not of expected type number", t))
		return otherwise
	}
	return p.integer(i, otherwise, math.MinInt32, math.MaxInt32)
}

// hash reads a hash, which is called name in errors.
func (p *params) hash(i int, name string) (h consensus.Hash) {
	s := p.text(i, "")
	if p.err != nil {
		return h
	}
	h, err := parseHash(s, name)
	if err != nil {
		p.fail(err)
	}
	return h
}

func parseHash(s, name string) (consensus.Hash, error) {
	if len(s) != 64 {
		return consensus.Hash{}, fail(codeParameter, "%s must be of length 64 (not %d, for '%.80s')", name, len(s), s)
	}
	h, err := consensus.ParseHash(s)
	if err != nil {
		return consensus.Hash{}, fail(codeParameter, "%s must be hexadecimal string (not '%s')", name, s)
	}
	return h, nil
}

// tx reads a transaction in hex; failure is the error for one that is malformed.
func (p *params) tx(i int, failure string) *consensus.Tx {
	s := p.text(i, "")
	if p.err != nil {
		return nil
	}
	raw, err := hex.DecodeString(s)
	if err == nil {
		var tx *consensus.Tx
		if tx, err = consensus.DecodeTx(raw); err == nil {
			return tx
		}
	}
	p.fail(fail(codeDecode, "%s", failure))
	return nil
}

// list reads an array.
func (p *params) list(i int) (list []json.RawMessage) {
	if p.given(i, "array") {
		p.into(i, &list, "array")
	}
	return list
}

// texts reads an array of strings.
func (p *params) texts(i int) (list []string) {
	for _, raw := range p.list(i) {
		var text string
		if jsonType(raw) != "string" || json.Unmarshal(raw, &text) != nil {
			p.fail(fail(codeType, "JSON value of type %s is not of expected type string", jsonType(raw)))
			return nil
		}
		list = append(list, text)
	}
	return list
}

// amount reads coins, given as a number or as a string that looks like one.
func (p *params) amount(i int, otherwise, most consensus.Amount) consensus.Amount {
	if p.absent(i) {
		return otherwise
	}
	var text string
	switch jsonType(p.values[i]) {
	case "number":
		text = string(p.values[i])
	case "string":
		text = p.text(i, "")
	default:
		p.fail(fail(codeType, "Amount is not a number or string"))
		return 0
	}
	a, ok := parseCoins(text)
	switch {
	case !ok:
		p.fail(fail(codeType, "Invalid amount"))
	case a < 0 || a > most:
		p.fail(fail(codeType, "Amount out of range"))
	}
	return a
}

// coins is an amount in coins, as a JSON number with eight decimal places.
type coins consensus.Amount

// MarshalJSON writes the number.
func (c coins) MarshalJSON() ([]byte, error) { return []byte(consensus.Amount(c).String()), nil }

// parseCoins reads a decimal number exactly, which may have an exponent because
// some encoders write 0.00000001 as 1e-08. More than eight decimal places, or
// 18 digits in all, are too many.
func parseCoins(s string) (consensus.Amount, bool) {
	// What remains to be checked of a text without spaces is JSON's business.
	if strings.Trim(s, "-0123456789.+eE") != "" || !json.Valid([]byte(s)) {
		return 0, false
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(s[i+1:]); err != nil || exponent < -1000 || exponent > 1000 {
			return 0, false
		}
		mantissa = s[:i]
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	zeros := exponent - len(fraction) + 8
	significant := strings.TrimRight(digits, "0")
	zeros += len(digits) - len(significant)
	if significant == "" {
		return 0, true
	}
	if zeros < 0 || len(significant)+zeros > 18 {
		return 0, false
	}
	v, err := strconv.ParseInt(significant+strings.Repeat("0", zeros), 10, 64)
	if negative {
		v = -v
	}
	return consensus.Amount(v), err == nil
}
