// Package uri writes and reads requests for a payment, SCHEME:ADDRESS?amount=…,
// as BIP21 has them; the scheme is that of the network.
package uri

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"lode/consensus"
	"lode/wallet"
)

// ErrURI is the kind of every error of Parse.
var ErrURI = errors.New("not a payment request (BIP21)")

// maxLength bounds what is read, in bytes.
const maxLength = 4096

// Request is a request for a payment. Its texts are strangers'.
type Request struct {
	Address string
	Key     [32]byte
	Amount  consensus.Amount // sat; 0 if none is asked for
	Label   string           // who is paid
	Message string           // what for
}

// String writes the request with a scheme. Address, Amount, Label and Message count.
func (r *Request) String(scheme string) string {
	var query []string
	add := func(name, value string) {
		if value != "" {
			query = append(query, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
		}
	}
	if r.Amount > 0 {
		add("amount", shortAmount(r.Amount))
	}
	add("label", r.Label)
	add("message", r.Message)
	text := scheme + ":" + r.Address
	if len(query) > 0 {
		text += "?" + strings.Join(query, "&")
	}
	return text
}

// shortAmount writes coins without zeros at the end.
func shortAmount(a consensus.Amount) string {
	return strings.TrimSuffix(strings.TrimRight(a.String(), "0"), ".")
}

// Is reports whether s looks like a request and not like an address.
func Is(s string) bool { return strings.Contains(s, ":") }

// Parse reads a request for a network with this scheme and prefix of addresses.
// What it does not know is ignored, unless its name begins with "req-".
func Parse(scheme, prefix, s string) (Request, error) {
	var r Request
	fail := func(format string, args ...any) (Request, error) {
		return Request{}, fmt.Errorf("%w: %s", ErrURI, fmt.Sprintf(format, args...))
	}
	if len(s) > maxLength {
		return fail("it has %d characters, at most %d are possible", len(s), maxLength)
	}
	begin, rest, found := strings.Cut(s, ":")
	if !found || !strings.EqualFold(begin, scheme) {
		return fail("%.40q does not begin with %q", s, scheme+":")
	}
	address, query, _ := strings.Cut(rest, "?")
	var err error
	if r.Key, err = consensus.ParseAddress(prefix, address); err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrURI, err)
	}
	r.Address = consensus.Address(prefix, r.Key)
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, escaped, _ := strings.Cut(part, "=")
		value, err := url.PathUnescape(escaped) // a plus sign is one
		if err != nil || !utf8.ValidString(value) {
			return fail("%.40q is not escaped as it must be", part)
		}
		if seen[name] {
			return fail("%.40q comes twice", name)
		}
		seen[name] = true
		if err := r.set(name, value); err != nil {
			return Request{}, fmt.Errorf("%w: %w", ErrURI, err)
		}
	}
	return r, nil
}

// set takes up one parameter.
func (r *Request) set(name, value string) (err error) {
	switch {
	case name == "amount":
		if r.Amount, err = wallet.ParseAmount(value); err == nil && r.Amount == 0 {
			err = errors.New("an amount of 0")
		}
	case name == "label":
		r.Label, err = oneLine(name, value)
	case name == "message":
		r.Message, err = oneLine(name, value)
	case strings.HasPrefix(name, "req-"):
		err = fmt.Errorf("it requires %.40q, which this program does not know: do not pay it by hand", name)
	}
	return err
}

// oneLine makes sure that a stranger's text cannot look like anything else.
func oneLine(name, s string) (string, error) {
	if strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) }) {
		return "", fmt.Errorf("its %s is not text in one line", name)
	}
	return s, nil
}
