package rpc_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"lode/rpc"
)

// What clients that write HTTP by hand send, byte by byte: %[1]s is the credential,
// %[2]d the length of the body and %[3]s the body.
var simpleRequests = map[string]string{
	// rust-jsonrpc's simple_http, before and since it sends a host.
	"rust-jsonrpc":      "POST / HTTP/1.1\r\nContent-Type: application/json-rpc\r\nContent-Length: %[2]d\r\nAuthorization: Basic %[1]s\r\n\r\n%[3]s",
	"rust-jsonrpc 0.14": "POST / HTTP/1.1\r\nhost: 127.0.0.1:18443\r\nContent-Type: application/json\r\nContent-Length: %[2]d\r\nAuthorization: Basic %[1]s\r\n\r\n%[3]s",
	// electrs of Blockstream and of mempool.
	"electrs": "POST / HTTP/1.1\nAuthorization: Basic %[1]s\nContent-Length: %[2]d\n\n%[3]s",
}

// Such a client reads the status line, lines up to an empty one, and as many bytes as
// Content-Length says; it knows no chunks, and asks again on the same connection.
func TestClientsThatWriteHTTPByHand(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := newNode(t, "regtest", 3, func(c *rpc.Config) { c.Stop = cancel })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- n.server.Serve(ctx, l) }()
	defer func() { cancel(); check(t, <-done) }()
	calls := make([]string, 300)
	for i := range calls {
		calls[i] = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"getblockhash","params":[%d]}`, i, i%4)
	}
	batch := "[" + strings.Join(calls, ",") + "]"
	credential := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	for name, form := range simpleRequests {
		conn, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		r := bufio.NewReader(conn)
		for range 2 {
			_, err := fmt.Fprintf(conn, form, credential, len(batch), batch)
			check(t, err)
			length := readHead(t, name, r)
			body := make([]byte, length)
			_, err = io.ReadFull(r, body)
			check(t, err)
			var answers []struct {
				ID     int
				Result string
			}
			check(t, json.Unmarshal(body, &answers))
			for i, a := range answers {
				hash, _ := n.chain.HashAt(uint32(i % 4))
				if a.ID != i || a.Result != hash.String() {
					t.Fatalf("%s: answer %d is %+v", name, i, a)
				}
			}
			if len(answers) != len(calls) {
				t.Errorf("%s: %d answers to %d calls", name, len(answers), len(calls))
			}
		}
		check(t, conn.Close())
	}
}

// readHead reads the head of an answer and gives the length of its body.
func readHead(t *testing.T, name string, r *bufio.Reader) (length int) {
	t.Helper()
	status, err := r.ReadString('\n')
	check(t, err)
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		t.Fatalf("%s: %s", name, status)
	}
	length = -1
	for {
		line, err := r.ReadString('\n')
		check(t, err)
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		field, value, _ := strings.Cut(line, ": ")
		switch http.CanonicalHeaderKey(field) {
		case "Content-Length":
			_, err := fmt.Sscan(value, &length)
			check(t, err)
		case "Transfer-Encoding":
			t.Errorf("%s: %s", name, line)
		}
	}
	if length < 0 {
		t.Fatalf("%s: the answer has no length", name)
	}
	return length
}
