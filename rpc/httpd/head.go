package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Limits of the head of a request. Bitcoin Core's are 8192 bytes for it all.
const (
	maxHead   = 16 << 10 // bytes
	maxTarget = 8 << 10  // bytes of the URL
	maxFields = 100
)

// errBad is the kind of error for a request that cannot be answered, and after
// which it is not known where the next one begins.
var errBad = errors.New("bad request")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBad, fmt.Sprintf(format, args...))
}

// peekHead waits until a whole head is in the buffer, which must hold maxHead
// bytes, and gives it with the empty line at its end. Empty lines before it are
// skipped, as some clients send one after a body (RFC 9112, 2.2).
func peekHead(r *bufio.Reader) ([]byte, error) {
	for range 4 {
		b, err := r.Peek(1)
		if err != nil {
			return nil, err
		}
		if b[0] != '\r' && b[0] != '\n' {
			break
		}
		_, _ = r.Discard(1)
	}
	for seen := 0; ; {
		b, _ := r.Peek(r.Buffered())
		from := max(0, seen-3) // the end may have begun in what was seen
		if end := headEnd(b[from:]); end >= 0 {
			return b[:from+end], nil
		}
		if len(b) >= maxHead {
			return nil, bad("a head of more than %d bytes", maxHead)
		}
		seen = len(b)
		if _, err := r.Peek(seen + 1); err != nil {
			return nil, err
		}
	}
}

// headEnd is where the first empty line ends; -1 if there is none.
func headEnd(b []byte) int {
	end := -1
	for _, mark := range []string{"\n\r\n", "\n\n"} {
		if i := bytes.Index(b, []byte(mark)); i >= 0 && (end < 0 || i+len(mark) < end) {
			end = i + len(mark)
		}
	}
	return end
}

// once are the fields of which a second one would let two readers of a request
// see two requests, or two senders.
var once = []string{"Host", "Content-Length", "Transfer-Encoding", "Origin", "Authorization", "Expect"}

// checkHead refuses what net/http reads in a way that somebody before or behind it
// may not: fields that are there twice, a length beside an encoding, folded lines
// and control characters (RFC 9112; "request smuggling").
func checkHead(head []byte) error {
	lines := strings.Split(strings.TrimRight(string(head), "\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
		if strings.ContainsFunc(lines[i], func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return bad("a control character in the head")
		}
	}
	method, rest, _ := strings.Cut(lines[0], " ")
	target, version, _ := strings.Cut(rest, " ")
	switch {
	case method == "" || !isToken(method) || target == "":
		return bad("want METHOD TARGET HTTP/1.1")
	case len(target) > maxTarget:
		return bad("a URL of more than %d bytes", maxTarget)
	case version != "HTTP/1.1" && version != "HTTP/1.0":
		return bad("want HTTP/1.1 or HTTP/1.0")
	case len(lines) > maxFields:
		return bad("more than %d fields", maxFields)
	}
	count := make(map[string]int, len(lines))
	for _, line := range lines[1:] {
		name, _, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return bad("a line of the head is no field")
		}
		count[http.CanonicalHeaderKey(name)]++
	}
	for _, name := range once {
		if count[name] > 1 {
			return bad("the field %s is there twice", name)
		}
	}
	if count["Content-Length"] > 0 && count["Transfer-Encoding"] > 0 {
		return bad("Content-Length and Transfer-Encoding exclude each other")
	}
	if count["Transfer-Encoding"] > 0 && version == "HTTP/1.0" {
		return bad("HTTP/1.0 knows no Transfer-Encoding")
	}
	return nil
}

// isToken reports whether s is a name of a method or a field (RFC 9110, 5.6.2).
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// readRequest reads the head of the next request. Its body must be read to the end
// before the next one.
func readRequest(r *bufio.Reader) (*http.Request, error) {
	head, err := peekHead(r)
	if err != nil {
		return nil, err
	}
	if err := checkHead(head); err != nil {
		return nil, err
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBad, err)
	}
	return req, nil
}
