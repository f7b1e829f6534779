package p2p

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBookIsBounded(t *testing.T) {
	b, _ := openBook("")
	for i := range 5 * maxPerSource {
		b.learn(fmt.Sprintf("ws://1.2.3.4:%d/p2p", i+1), 0, time.Now(), "liar")
	}
	if len(b.byURL) != maxPerSource {
		t.Errorf("one source has %d addresses in the book", len(b.byURL))
	}
	for i := range 5 * maxBook {
		b.learn(fmt.Sprintf("ws://1.2.3.%d:%d/p2p", i%250, i+1), 0, time.Now(), fmt.Sprint("source", i/50))
	}
	if len(b.byURL) != maxBook {
		t.Errorf("the book has %d addresses", len(b.byURL))
	}
	if !b.learn("ws://seed/p2p", 0, time.Now(), "") {
		t.Error("no room for the operator's own")
	}
	for _, a := range b.byURL {
		a.Success = time.Now()
	}
	if b.learn("ws://late/p2p", 0, time.Now(), "liar2") {
		t.Error("a stranger's address has replaced one that answers")
	}
}

func TestBookBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := openBook("")
		const url = "ws://dead/p2p"
		b.learn(url, 0, time.Now(), "x")
		tries := 0
		for range 24 * 60 {
			if _, ok := b.pick(time.Now(), nil); ok {
				tries++
				b.tried(url, false, time.Now())
			}
			time.Sleep(time.Minute) // virtual
		}
		if tries != maxFailures || len(b.byURL) != 0 {
			t.Errorf("%d tries in a day, %d addresses left", tries, len(b.byURL))
		}
	})
}

func TestBookIsSaved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers.json")
	b, err := openBook(file)
	if err != nil {
		t.Fatal(err)
	}
	b.learn("ws://1.2.3.4:5/p2p", 9, time.Now(), "x")
	b.tried("ws://1.2.3.4:5/p2p", true, time.Now())
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := openBook(file)
	if err != nil || len(again.byURL) != 1 || again.byURL["ws://1.2.3.4:5/p2p"].Success.IsZero() {
		t.Errorf("read again: %v, %v", again.byURL, err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	for _, bad := range []string{"", "{", `{"version":2}`, `{"version":1,"addresses":"x"}`} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := openBook(file); err == nil || b == nil || len(b.byURL) != 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.WriteFile(file, []byte(`{"version":1,"addresses":[null,{"url":"http://x"},{"url":"ws://ok:1/p2p"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := openBook(file); err != nil || len(b.byURL) != 1 {
		t.Errorf("%v, %v", b.byURL, err)
	}
}

// A new node knows one seed and finds the others through it.
func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var stations []*station
		for i := range 6 {
			name := string(rune('a' + i))
			stations = append(stations, w.add(name, func(c *Config) {
				c.Advertise = "ws://" + name + ":1"
				c.Outbound = 3
				if i > 0 {
					c.Seeds = []string{"ws://a:1"}
				}
			}))
		}
		w.until("everybody has three outbound peers", func() bool {
			for _, s := range stations {
				if _, out := s.ConnectionCount(); out != 3 {
					return false
				}
			}
			return true
		})
		for _, s := range stations {
			var urls []string
			for _, p := range s.Peers() {
				if !p.Inbound {
					urls = append(urls, p.URL)
				}
			}
			slices.Sort(urls)
			if len(slices.Compact(urls)) != 3 || slices.Contains(urls, s.url) {
				t.Errorf("%s dialled %v", s.name, urls)
			}
		}
	})
}

func TestGetAddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		s.book.learn("ws://8.8.8.8:1/p2p", 9, time.Now(), "x")
		s.book.learn("ws://10.0.0.77:1/p2p", 9, time.Now(), "x")
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(msgEmpty(cmdGetAddr))
		got := a.hear(cmdAddrV2).(msgAddrV2)
		if len(got) != 1 || string(got[0].addr) != "ws://8.8.8.8:1/p2p" || got[0].network != networkURL {
			t.Errorf("told %v: a stranger must hear of public addresses only", got)
		}
		a.say(msgEmpty(cmdGetAddr))
		if !a.silentOn(cmdAddrV2) {
			t.Error("answered twice")
		}
	})
}

func TestStrangersCannotPointInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(msgAddrV2{
			wireAddr("ws://127.0.0.1:6379/p2p", 9, time.Now()), wireAddr("ws://192.168.1.1/p2p", 9, time.Now()),
			wireAddr("http://8.8.8.8/", 9, time.Now()), wireAddr("ws://8.8.8.8:1/p2p", 9, time.Now()),
			{network: 1, addr: []byte{8, 8, 4, 4}, port: 8333},
		})
		w.until("learnt", func() bool { return s.Peers()[0].AddrsProcessed == 5 })
		list := s.book.sample(10)
		slices.SortFunc(list, func(a, b address) int { return strings.Compare(a.URL, b.URL) })
		if len(list) != 2 || list[0].URL != "tcp://8.8.4.4:8333" || list[1].URL != "ws://8.8.8.8:1/p2p" {
			t.Errorf("learnt %v", list)
		}
	})
}

func TestAddedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(a, b)
		if err := a.AddNode(b.url); err == nil {
			t.Error("added twice")
		}
		if got := a.AddedNodes(); !slices.Equal(got, []string{b.url}) {
			t.Errorf("added: %v", got)
		}
		if err := a.RemoveNode(b.url); err != nil {
			t.Error(err)
		}
		if err := a.RemoveNode(b.url); err == nil {
			t.Error("removed twice")
		}
		w.until("disconnected", func() bool { return len(a.Peers()) == 0 })
		if err := a.Connect(t.Context(), "ws://b:1"); err != nil {
			t.Error(err)
		}
		w.until("connected", func() bool { in, _ := b.ConnectionCount(); return in == 1 })
		if err := a.Disconnect(0, b.url); err != nil {
			t.Error(err)
		}
		w.until("disconnected again", func() bool { return len(a.Peers()) == 0 })
		if err := a.Disconnect(99, ""); err == nil {
			t.Error("disconnected nobody")
		}
		if err := a.Connect(t.Context(), "ws://nobody:1"); err == nil {
			t.Error("connected to nobody")
		}
	})
}
