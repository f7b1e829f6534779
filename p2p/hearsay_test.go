package p2p

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lode/consensus"
)

// Peers cannot have a node request any path that they like: of what they tell,
// only the host and the port are theirs.
func TestGossipedPath(t *testing.T) {
	for url, want := range map[string]bool{
		"ws://8.8.8.8:1/p2p": true, "wss://h.example/p2p": true, "ws://8.8.8.8:1": true, "ws://8.8.8.8:1/": true, // clean to /p2p
		"ws://8.8.8.8:1/admin/reboot/now": false, "ws://8.8.8.8:1/p2p/": false, "ws://8.8.8.8:1/P2P": false, "ws://8.8.8.8:1/%70%32p": false,
		"ws://8.8.8.8:1/x/../p2p": false, "ws://8.8.8.8:1//p2p": false, "wss://h.example/p2p/admin": false, "ws://8.8.8.8:1/p2p;x": false,
	} {
		a := addrV2{network: networkURL, addr: []byte(url)}
		if got, ok := a.url(); ok != want {
			t.Errorf("%s: taken is %v as %q, want %v", url, ok, got, want)
		}
		if _, err := CheckAdvertised(url, regtest(t).Defaults.Ports); (err == nil) != want {
			t.Errorf("%s is advertised: %v, want %v", url, err, want)
		}
		b := newBook()
		if clean, err := cleanURL(url); err == nil {
			b.restore(&address{URL: clean, Source: "a"})
			if got := len(b.byURL) == 1; got != want {
				t.Errorf("%s is restored from a file: %v, want %v", url, got, want)
			}
		}
	}
	if a := wireAddr("tcp://8.8.8.8:1", 9, time.Now()); a.network != networkIPv4 {
		t.Error("no IPv4 address")
	} else if url, ok := a.url(); !ok || url != "tcp://8.8.8.8:1" {
		t.Errorf("got %q, %v", url, ok)
	}
	n := New(Config{Spec: regtest(t), Pool: anyPool{}, Advertise: []string{"ws://8.8.8.8:1/other"}})
	if err := n.Run(t.Context()); !errors.Is(err, errPath) {
		t.Errorf("a node that is to advertise another path: %v", err)
	}
}

// anyPool is a pool of which nothing is asked.
type anyPool struct{ Pool }

func (anyPool) OnAccept(func(*consensus.Tx, consensus.Hash, consensus.Hash, int64)) {}

// Where an address leads that others told is judged by the address itself.
func TestHearsayLeadsNowhereInside(t *testing.T) {
	for _, c := range []struct {
		address           string
		plain, priv, hook bool
	}{
		{"8.8.8.8", true, true, true}, {"2a00::1", true, true, true},
		{"10.0.0.1", false, true, false}, {"192.168.1.1", false, true, false}, {"100.64.0.1", false, true, false}, {"fd00::1", false, true, false},
		{"127.0.0.1", false, false, false}, {"127.0.0.2", false, false, true}, {"::1", false, false, false}, {"::ffff:127.0.0.1", false, false, false},
		{"0.0.0.0", false, false, false}, {"0.1.2.3", false, false, false}, {"::", false, false, false}, {"::7f00:1", false, false, false},
		{"169.254.169.254", false, false, false}, {"fe80::1%eth0", false, false, false}, {"fec0::1", false, false, false},
		{"224.0.0.1", false, false, false}, {"255.255.255.255", false, false, false}, {"240.0.0.1", false, false, false},
		{"64:ff9b::7f00:1", false, false, false}, {"2002:7f00:1::", false, false, false}, {"2002:a00:1::", false, false, false}, {"2002:808:808::", true, true, true},
		{"2001:0:1:2:3:4:f5ff:fffe", false, false, false}, // Teredo, to 10.0.0.1
	} {
		a := netip.MustParseAddr(c.address)
		for name, line := range map[string]struct {
			within space
			want   bool
		}{"": {space{}, c.plain}, "private": {space{privatePeers: true}, c.priv}, "hook": {space{loopbackIsPublic: true}, c.hook}} {
			control := dialControl(context.WithValue(t.Context(), hearsay{}, line.within))
			err := control("tcp", netip.AddrPortFrom(a, 1).String(), nil)
			if (err == nil) != line.want || err != nil && !errors.Is(err, errInside) {
				t.Errorf("%s %s: %v, want it to be allowed is %v", name, a, err, line.want)
			}
		}
		if dialControl(t.Context()) != nil {
			t.Error("what the operator names is judged")
		}
	}
	in, out := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("9.9.9.9")
	for _, c := range []struct {
		within space
		from   netip.Addr
		url    string
		want   bool
	}{
		{space{}, out, "ws://8.8.8.8:1/p2p", true}, {space{}, in, "ws://10.0.0.1:1/p2p", false}, {space{privatePeers: true}, in, "ws://10.0.0.1:1/p2p", true},
		{space{privatePeers: true}, out, "ws://10.0.0.1:1/p2p", false}, {space{privatePeers: true}, in, "ws://127.0.0.1:1/p2p", false},
		{space{privatePeers: true}, in, "ws://localhost:1/p2p", false}, {space{}, out, "ws://h.example:1/p2p", true},
	} {
		if got := c.within.mayTell(c.from, c.url); got != c.want {
			t.Errorf("%s of %s is believed: %v, want %v", c.url, c.from, got, c.want)
		}
	}
}

// A service on this machine gets no request because of an address that others have
// told, by number or by a name that leads there; one that the operator names does,
// and a redirect of it is not followed.
func TestNoRequestsOnHearsay(t *testing.T) {
	var requests atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer service.Close()
	var redirected atomic.Int64
	seed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirected.Add(1)
		http.Redirect(w, r, service.URL+"/admin/reboot/now", http.StatusFound)
	}))
	defer seed.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(service.URL, "http://"))
	told := []string{"ws://127.0.0.1:" + port + "/p2p", "ws://localhost:" + port + "/p2p"}
	named := strings.Replace(seed.URL, "http", "ws", 1) + "/p2p"
	n, _ := realNode(t, func(c *Config) { c.Outbound, c.Seeds, c.PrivatePeers = DefaultOutbound, []string{named}, true })
	for _, url := range told {
		n.book.learn(url, 9, time.Now(), url)
	}
	poke(n.dialWake)
	until(func() bool {
		n.book.mu.Lock()
		defer n.book.mu.Unlock()
		tried := 0
		for _, url := range told {
			if a := n.book.byURL[url]; a != nil && !a.Tried.IsZero() {
				tried++
			}
		}
		return tried == len(told) && !n.book.seeds[named].Tried.IsZero()
	})
	if requests.Load() != 0 || redirected.Load() == 0 {
		t.Errorf("%d requests and %d to the one that was named, want none and one", requests.Load(), redirected.Load())
	}
}
