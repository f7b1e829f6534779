package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/network"
)

// newServer serves the page of a network of two nodes that do not run. It gives where.
func newServer(t *testing.T) (s *Server, url string) {
	t.Helper()
	dir := t.TempDir()
	state := `{"version": 1, "name": "still", "block_time": 5, "nodes": [
		{"index": 1, "host": "127.0.1.1", "peers_port": 1, "rpc_port": 2, "address": "a", "hashrate": 1},
		{"index": 2, "host": "127.0.1.2", "peers_port": 3, "rpc_port": 4, "address": "b", "hashrate": 1}]}`
	if err := os.WriteFile(filepath.Join(dir, "testnet.json"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := New(ctx, network.Options{Dir: dir, Program: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	l, url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, url
}

// TestStrangersAtThePage: who does not know the token, comes by another name, or from
// another page, learns and changes nothing.
func TestStrangersAtThePage(t *testing.T) {
	t.Parallel()
	s, url := newServer(t)
	origin := strings.TrimSuffix(url, "/"+s.token+"/")
	page := map[string]string{"Origin": origin, "Content-Type": "application/json"}
	with := func(name, value string) map[string]string {
		m := map[string]string{name: value}
		for k, v := range page {
			if _, ok := m[k]; !ok && k != "-"+name {
				m[k] = v
			}
		}
		return m
	}
	for _, c := range []struct {
		what, method, url, body string
		fields                  map[string]string
		status                  int
	}{
		{"the page", "GET", url, "", nil, 200},
		{"a module of its own", "GET", url + "page.js", "", nil, 200},
		{"a module of the explorer", "GET", url + "explorer/dom.js", "", nil, 200},
		{"no file of the explorer", "GET", url + "explorer/../web.go", "", nil, 404},
		{"by the name localhost", "GET", strings.Replace(url, "127.0.0.1", "localhost", 1), "", nil, 200},
		{"by a name that means this machine", "GET", url, "", map[string]string{"Host": "rebound.example:80"}, 403},
		{"by that name with the right port", "GET", url, "", map[string]string{"Host": "rebound.example" + origin[strings.LastIndex(origin, ":"):]}, 403},
		{"without a token", "GET", origin + "/", "", nil, 404},
		{"with a part of it", "GET", origin + "/" + s.token[:31] + "/", "", nil, 404},
		{"with another one", "GET", origin + "/" + strings.Repeat("0", 32) + "/events", "", nil, 404},
		{"a button without a token", "POST", origin + "/do/kill", "{}", page, 404},
		{"a button by GET", "GET", url + "do/kill", "", nil, 405},
		{"a button of another page", "POST", url + "do/kill", "{}", with("Origin", "http://evil.example"), 403},
		{"a button of a page on another port", "POST", url + "do/kill", "{}", with("Origin", "http://127.0.0.1:1"), 403},
		{"a button of no page", "POST", url + "do/kill", "{}", map[string]string{"Content-Type": "application/json"}, 403},
		{"a form", "POST", url + "do/kill", "node=1", with("Content-Type", "text/plain"), 415},
		{"too much", "POST", url + "do/kill", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, page, 413},
		{"no JSON", "POST", url + "do/kill", `{`, page, 400},
		{"an unknown field", "POST", url + "do/kill", `{"nodes":1}`, page, 400},
		{"no such button", "POST", url + "do/rpc", `{}`, page, 404},
		{"writing to a file", "PUT", url + "page.js", `{}`, page, 405},
	} {
		r, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range c.fields {
			if r.Header.Set(name, value); name == "Host" {
				r.Host = value
			}
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %.200s", c.what, answer.StatusCode, c.status, body)
		}
		if csp := answer.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || answer.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: Content-Security-Policy %q", c.what, csp)
		}
		if strings.Contains(string(body), s.token) && c.status != 200 {
			t.Errorf("%s: the token is in the answer", c.what)
		}
	}
	if len(s.story) > 0 {
		t.Errorf("something was done: %+v", s.story)
	}
}

// TestOnlyOnLoopback: others cannot reach it.
func TestOnlyOnLoopback(t *testing.T) {
	t.Parallel()
	s := &Server{}
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		if l, _, err := s.Listen(address); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
}

// watcher reads the events of a page.
type watcher struct {
	t     *testing.T
	lines *bufio.Scanner
	last  news
}

func watch(t *testing.T, url string) *watcher {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d", answer.StatusCode)
	}
	hung := time.AfterFunc(time.Minute, func() { answer.Body.Close() })
	t.Cleanup(func() { hung.Stop() })
	return &watcher{t: t, lines: bufio.NewScanner(answer.Body)}
}

// until reads until something was told.
func (w *watcher) until(what string, told func(n *news) bool) {
	w.t.Helper()
	for w.lines.Scan() {
		text, ok := strings.CutPrefix(w.lines.Text(), "data: ")
		if !ok {
			continue
		}
		var n news
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			w.t.Fatal(err)
		}
		if w.last = n; told(&n) {
			return
		}
	}
	w.t.Fatalf("the stream ended before %s: %v", what, w.lines.Err())
}

// idle reads until nothing goes on, which the last event may have said already.
func (w *watcher) idle() {
	w.t.Helper()
	if len(w.last.Jobs) > 0 {
		w.idle()
	}
}

func (s *Server) button(t *testing.T, url, name, body string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, url+"do/"+name, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "http://"+r.Host)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

// TestOneChangeAtATime: a button whose work goes on keeps others of its kind out, is
// shown to all who watch, and can be stopped; what failed is told.
func TestOneChangeAtATime(t *testing.T) {
	t.Parallel()
	s, url := newServer(t)
	w := watch(t, url)
	w.until("the nodes were shown", func(n *news) bool { return strings.Contains(string(n.State), `"name":"still"`) })
	entered := make(chan struct{})
	long := button{changing, func(ctx context.Context, n *network.Network, _ *wish) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}
	if busy := s.begin("long", long, new(wish)); busy != "" {
		t.Fatal(busy)
	}
	<-entered
	w.until("it was seen to go on", func(n *news) bool { return n.Jobs[changing] == "long" })
	if status := s.button(t, url, "kill", `{"node":1}`); status != http.StatusConflict {
		t.Errorf("a second change: status %d", status)
	}
	if status := s.button(t, url, "mine", `{"node":1,"count":1}`); status != http.StatusAccepted {
		t.Errorf("mining beside it: status %d", status)
	}
	w.until("mining failed", func(n *news) bool {
		return len(n.Story) > 0 && n.Story[0].Bad && strings.Contains(n.Story[0].Text, "start it with")
	})
	if status := s.button(t, url, "cancel", `{"name":"change"}`); status != http.StatusOK {
		t.Errorf("stopping it: status %d", status)
	}
	w.until("it was stopped", func(n *news) bool { return len(n.Story) > 0 && n.Story[0].Text == "It was stopped." })
	w.idle()
	for name, want := range map[string]string{"kill": "node 3", "partition": "no number of a node", "attack": "is no attack", "churn": "want 1 or more", "reorg": "is no id of a transaction"} {
		body := map[string]string{"kill": `{"node":3}`, "partition": `{"parts":"1,x 2"}`, "attack": `{"kind":"none"}`, "churn": `{}`, "reorg": `{"depth":1,"drop":"x"}`}[name]
		want = strings.Replace(want, "node 3", "there are nodes 1 to 2", 1)
		if status := s.button(t, url, name, body); status != http.StatusAccepted {
			t.Errorf("%s: status %d", name, status)
		}
		w.until(name+" failed", func(n *news) bool {
			return len(n.Story) > 0 && n.Story[0].Bad && strings.Contains(n.Story[0].Text, want)
		})
		w.idle()
	}
}

// TestManyPages: so many may be open, and one that is closed makes room.
func TestManyPages(t *testing.T) {
	t.Parallel()
	s, url := newServer(t)
	ctx, leave := context.WithCancel(t.Context())
	for range maxWatchers {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"events", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		defer answer.Body.Close()
	}
	answer, err := http.Get(url + "events")
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("one more: %v, %v", answer, err)
	}
	answer.Body.Close()
	leave()
	for end := time.Now().Add(time.Minute); s.watched(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("those who left are still counted")
		}
	}
	watch(t, url)
}

// TestStoryIsBounded: of a network that is attacked for days the newest lines are kept.
func TestStoryIsBounded(t *testing.T) {
	s := &Server{changed: make(chan struct{})}
	for i := range 2 * maxStory {
		s.say("", false, fmt.Sprint(i))
	}
	n, _, last, _ := s.since(0, 0)
	if len(n.Story) != maxStory || last != 2*maxStory || n.Story[0].Text != fmt.Sprint(maxStory) {
		t.Errorf("%d lines, the last %d, the first %+v", len(n.Story), last, n.Story[0])
	}
	if n, _, _, _ = s.since(0, last); len(n.Story) != 0 {
		t.Errorf("told again: %v", n.Story)
	}
}

// chain makes the part of a tree that a node shows.
func chain(from uint32, ids ...byte) *forkTree {
	t := &forkTree{From: from}
	for i, id := range ids {
		h := header{Hash: consensus.Hash{id}, Height: from + uint32(i), Active: true}
		if i > 0 {
			h.Prev = consensus.Hash{ids[i-1]}
		}
		t.Nodes, t.Tip, t.Height = append(t.Nodes, h), h.Hash, h.Height
	}
	return t
}

// TestMerge makes one tree of what nodes show: the chain with the most work is active,
// whatever its length, what some node has left is marked, and a node that is far behind
// is on the chain of the others.
//
//	node 1   1 - 2 - 3 - 4
//	node 2       2 - 5          more work
//	node 3   9                  far behind
func TestMerge(t *testing.T) {
	one, two, three := chain(10, 1, 2, 3, 4), chain(11, 2, 5), chain(3, 9)
	two.Nodes = append(two.Nodes, header{Hash: consensus.Hash{3}, Prev: consensus.Hash{2}, Height: 12, Was: true, Header: true})
	m := merge(map[int]*forkTree{1: one, 2: two, 3: three}, []network.NodeStatus{
		{Index: 1, Work: "0a"}, {Index: 2, Work: "0b"}, {Index: 3, Work: "01"}, {Index: 4},
	})
	if m.Tip != (consensus.Hash{5}) || m.Height != 12 || m.From != 3 || len(m.Tips) != 3 || len(m.Nodes) != 6 {
		t.Errorf("%+v", m)
	}
	for _, h := range m.Nodes {
		id := h.Hash[0]
		if active := id != 3 && id != 4; h.Active != active || h.Was != (id == 3) || h.Header {
			t.Errorf("block %d: %+v", id, h)
		}
	}
	if m := merge(nil, []network.NodeStatus{{Index: 1}}); len(m.Nodes) != 0 || len(m.Tips) != 0 {
		t.Errorf("of nobody: %+v", m)
	}
}
