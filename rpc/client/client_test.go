package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/rpc/client"
)

type call struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// serve runs a server that answers each request body with a status and a body.
func serve(t *testing.T, answer func(body []byte) (status int, text string)) *client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "u" || password != "p:w" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s of %s, %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		status, text := answer(body)
		w.WriteHeader(status)
		io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.Auth{User: "u", Password: "p:w"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func one(t *testing.T, body []byte) call {
	t.Helper()
	var c call
	if err := json.Unmarshal(body, &c); err != nil {
		t.Error(err)
	}
	return c
}

func TestCall(t *testing.T) {
	c := serve(t, func(body []byte) (int, string) {
		call := one(t, body)
		return 200, `{"jsonrpc":"2.0","id":` + string(call.ID) + `,"result":{"method":"` + call.Method + `","params":` + string(call.Params) + `,"amount":20999999.97690000}}`
	})
	var result struct {
		Method string
		Params []any
		Amount json.Number
	}
	if err := c.Call(t.Context(), "m", []any{1, "a", nil, json.RawMessage(`{"x":0.1}`)}, &result); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(result.Params); err != nil || string(got) != `[1,"a",null,{"x":0.1}]` {
		t.Errorf("parameters %s, %v", got, err)
	}
	if result.Amount != "20999999.97690000" {
		t.Errorf("amount %s was rounded", result.Amount)
	}
	var anything any
	if err := c.CallNamed(t.Context(), "m", map[string]any{"k": 5}, &anything); err != nil {
		t.Fatal(err)
	}
	if m := anything.(map[string]any); m["amount"] != json.Number("20999999.97690000") || m["params"].(map[string]any)["k"] != json.Number("5") {
		t.Errorf("got %v", m)
	}
	if err := c.Call(t.Context(), "m", nil, &result); err != nil || len(result.Params) != 0 {
		t.Errorf("without parameters: %v, %v", result.Params, err)
	}
	if err := c.Call(t.Context(), "m", nil, nil); err != nil {
		t.Errorf("without interest: %v", err)
	}
	if err := c.Call(t.Context(), "m", nil, new(int)); err == nil {
		t.Error("an object passed for a number")
	}
}

// TestRefused: an error is found whatever status it comes with.
func TestRefused(t *testing.T) {
	for _, status := range []int{200, 404, 500} {
		c := serve(t, func([]byte) (int, string) {
			return status, `{"result":null,"error":{"code":-5,"message":"no such thing"},"id":0}`
		})
		err := c.Call(t.Context(), "m", nil, new(any))
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != -5 || e.Message != "no such thing" {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		text   string
	}{
		"page": {200, "<html>"}, "busy": {503, "Work queue depth exceeded"},
		"neither": {200, `{"id":0}`}, "list": {200, `[1]`}, "redirect": {302, ""},
	} {
		cl := serve(t, func([]byte) (int, string) { return c.status, c.text })
		if err := cl.Call(t.Context(), "m", nil, new(any)); !errors.Is(err, client.ErrBadAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForbidden says why a node refuses a call, as far as it says so.
func TestForbidden(t *testing.T) {
	for text, want := range map[string]string{"": "--rpc-whitelist", "not known by that name\nx": `"not known by that name"`, `{"result":null,"error":{"code":-32600,"message":"not known"}}`: `says "not known"`} {
		cl := serve(t, func([]byte) (int, string) { return 403, text })
		if err := cl.Call(t.Context(), "m", nil, new(any)); !errors.Is(err, client.ErrForbidden) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBatch(t *testing.T) {
	c := serve(t, func(body []byte) (int, string) {
		var calls []call
		if err := json.Unmarshal(body, &calls); err != nil || len(calls) != 4 {
			t.Errorf("%d calls, %v", len(calls), err)
		}
		// Out of order, one missing, one that was never asked for.
		return 200, `[{"id":2,"error":{"code":-8,"message":"out of range"}},{"id":0,"result":"zero"},{"id":9,"result":1},{"id":1,"result":"one"},{"id":null,"result":1}]`
	})
	var results [4]string
	calls := make([]client.Request, 4)
	for i := range calls {
		calls[i] = client.Request{Method: "m", Params: []any{i}, Result: &results[i]}
	}
	if err := c.Batch(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	if results != [4]string{"zero", "one"} || calls[0].Err != nil || calls[1].Err != nil {
		t.Errorf("%q, %v, %v", results, calls[0].Err, calls[1].Err)
	}
	if e, ok := errors.AsType[*client.Error](calls[2].Err); !ok || e.Code != -8 {
		t.Errorf("refused call: %v", calls[2].Err)
	}
	if !errors.Is(calls[3].Err, client.ErrBadAnswer) {
		t.Errorf("unanswered call: %v", calls[3].Err)
	}
	if err := c.Batch(t.Context(), nil); err != nil {
		t.Errorf("empty batch: %v", err)
	}
	refused := serve(t, func([]byte) (int, string) { return 200, `{"id":null,"error":{"code":-32600,"message":"too many"}}` })
	if e, ok := errors.AsType[*client.Error](refused.Batch(t.Context(), calls)); !ok || e.Code != -32600 {
		t.Error("a batch that was refused as a whole passed")
	}
}

func TestLimit(t *testing.T) {
	c := serve(t, func([]byte) (int, string) { return 200, `{"id":0,"result":"` + strings.Repeat("x", 1000) + `"}` })
	c.Limit = 500
	if err := c.Call(t.Context(), "m", nil, nil); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestUnauthorized(t *testing.T) {
	good := serve(t, func([]byte) (int, string) { return 200, `{"id":0,"result":1}` })
	for _, auth := range []client.Auth{{}, {User: "u", Password: "secret"}} {
		c, err := client.New(good.URL(), auth)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Call(t.Context(), "m", nil, nil); !errors.Is(err, client.ErrUnauthorized) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
	c, err := client.New(strings.Replace(good.URL(), "http://", "http://u:p%3Aw@", 1), client.Auth{User: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), "m", nil, nil); err != nil || strings.Contains(c.URL(), "@") {
		t.Errorf("credentials in the URL %s: %v", c.URL(), err)
	}
}

func TestNotRunning(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	c, err := client.New(strings.TrimPrefix(server.URL, "http://"), client.Auth{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), "m", nil, nil); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestTimeout(t *testing.T) {
	stop := make(chan struct{})
	c := serve(t, func([]byte) (int, string) { <-stop; return 200, "" })
	t.Cleanup(func() { close(stop) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "m", nil, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestURL(t *testing.T) {
	for _, bad := range []string{"", "ftp://x", "http://", "http://u:secret@[::1", "http://u:secret@h:port"} {
		if _, err := client.New(bad, client.Auth{}); !errors.Is(err, client.ErrURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if c, err := client.New("localhost:1234", client.Auth{}); err != nil || c.URL() != "http://localhost:1234" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestCookie(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".cookie")
	if _, err := client.Cookie(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for text, want := range map[string]client.Auth{"__cookie__:ab12": {"__cookie__", "ab12"}, "u:p:q\n": {"u", "p:q"}} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Cookie(path); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Cookie(path); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
