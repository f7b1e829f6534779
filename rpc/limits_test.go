package rpc_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve runs the server of a node on a port of its own.
func (n *testNode) serve() (address string) {
	n.tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(n.tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.server.Serve(ctx, l) }()
	n.tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			n.tb.Error(err)
		}
	})
	return l.Addr().String()
}

// TestIdleConnectionsAndGuessesKeepNobodyOut has as many connections as the server
// takes say nothing, and more guess passwords all the time: who knows the password
// is answered.
func TestIdleConnectionsAndGuessesKeepNobodyOut(t *testing.T) {
	t.Parallel()
	idle, guessers := 256, 60
	if os.Getenv("LODE_TEST_ATTACK") != "" {
		guessers = 300
	}
	n := newNode(t, "regtest", 0)
	address := n.serve()
	for range idle {
		c, err := net.Dial("tcp", address)
		check(t, err)
		defer c.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range guessers {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic eDp4\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
				stop()
				_ = c.Close()
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	cut := 0
	for n.stops.Load() < 20 {
		began := time.Now()
		r, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(`{"method":"stop","id":1}`))
		check(t, err)
		r.SetBasicAuth(user, password)
		resp, err := client.Do(r)
		if err != nil { // on a machine that is busy with the guessers, see newFor
			if cut++; cut > 3 {
				t.Fatal(err)
			}
			continue
		}
		resp.Body.Close()
		if took := time.Since(began); resp.StatusCode != 200 || took > 10*time.Second {
			t.Errorf("status %d after %v", resp.StatusCode, took)
		}
	}
}

// TestParametersAreCounted sends bodies of 30 MB that are millions of values: they
// are refused before the values take memory.
func TestParametersAreCounted(t *testing.T) {
	// Not parallel: memory is measured for the whole process.
	if testing.Short() {
		t.Skip("one call after another, of 30 MB each")
	}
	n := newNode(t, "regtest", 0)
	ones := "[" + strings.Repeat("1,", 15<<20-100) + "1]"
	for _, test := range []struct{ name, body string }{
		{"by position", `{"method":"getblockcount","params":` + ones + `}`},
		{"one list", `{"method":"gettxspendingprevout","params":[` + ones + `]}`},
		{"by name", `{"method":"gettxspendingprevout","params":{"outputs":` + ones + `}}`},
		{"args", `{"method":"gettxspendingprevout","params":{"args":` + ones + `}}`},
		{"addresses", `{"method":"getaddresstxids","params":[{"addresses":` + ones + `}]}`},
		{"no call", ones},
		{"calls", "[" + strings.Repeat("[],", 10<<20-100) + "1]"},
	} {
		r := authorized(test.body)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		resp := n.do(r)
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; resp.StatusCode == 200 || took > 110 {
			t.Errorf("%s: status %d, %d MB for a body of %d MB", test.name, resp.StatusCode, took, len(test.body)>>20)
		}
	}
}

// TestWithoutHost asks as programs do that know no Host, and as rust-jsonrpc's
// simple client does, whose reader knows no chunks.
func TestWithoutHost(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 3)
	address := n.serve()
	const basic = "Authorization: Basic X19jb29raWVfXzpjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl\r\n"
	call := `{"method":"getblockcount","params":[],"id":1,"jsonrpc":"2.0"}`
	post := func(version, fields, body string) string {
		return fmt.Sprintf("POST / HTTP/%s\r\n%s%sContent-Length: %d\r\n\r\n%s", version, basic, fields, len(body), body)
	}
	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"1.1", post("1.1", "", call), 200},
		{"1.0", post("1.0", "", call), 200},
		{"a batch", post("1.1", "Content-Type: application/json\r\n", "["+call+","+call+"]"), 200},
		{"from a page", post("1.1", "Origin: null\r\n", call), 403},
		{"from a browser", post("1.0", "Sec-Fetch-Site: none\r\n", call), 403},
		{"two origins", post("1.1", "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n", call), 400},
		{"two hosts", post("1.1", "Host: localhost\r\nHost: evil.example\r\n", call), 400},
		{"a long URL", "GET /" + strings.Repeat("x", 10_000) + " HTTP/1.1\r\n\r\n", 400},
	} {
		c, err := net.Dial("tcp", address)
		check(t, err)
		_, err = io.WriteString(c, test.request)
		check(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		if resp.StatusCode != test.status {
			t.Errorf("%s: status %d and %s", test.name, resp.StatusCode, body)
		}
		if test.status == 200 && (resp.ContentLength != int64(len(body)) || resp.TransferEncoding != nil || !strings.Contains(string(body), `"result":3`)) {
			t.Errorf("%s: length %d of %d bytes, %v", test.name, resp.ContentLength, len(body), resp.TransferEncoding)
		}
		c.Close()
	}
}

// TestLargeBatch has answers that do not fit into memory's share: they come whole,
// with their length, and leave no file.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	address := n.serve()
	const calls = 400
	body := "[" + strings.Repeat(`{"method":"help","id":1},`, calls-1) + `{"method":"help","id":1}]`
	_, one := n.post(`{"method":"help","id":1}`)
	r, err := http.NewRequest(http.MethodPost, "http://"+address, strings.NewReader(body))
	check(t, err)
	r.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(r)
	check(t, err)
	defer resp.Body.Close()
	var all []json.RawMessage
	check(t, json.NewDecoder(resp.Body).Decode(&all))
	if len(all) != calls || string(all[calls-1]) != strings.TrimSpace(one) || resp.ContentLength < int64(calls*len(one)-calls) {
		t.Errorf("%d answers, length %d", len(all), resp.ContentLength)
	}
}
