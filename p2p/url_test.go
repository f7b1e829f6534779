package p2p

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

func TestCheckURL(t *testing.T) {
	socketOnly, both := consensus.Ports{WebSocket: 9555}, consensus.Ports{WebSocket: 18454, TCP: 18444}
	for _, c := range []struct {
		in    string
		ports consensus.Ports
		want  string // empty: refused
	}{
		{"ws://Example.org:9555", socketOnly, "ws://example.org:9555/p2p"},
		{"ws://example.org:9555/", socketOnly, "ws://example.org:9555/p2p"},
		{"wss://example.org/lode/p2p", both, "wss://example.org/lode/p2p"},
		{"127.0.0.1:18454", socketOnly, "ws://127.0.0.1:18454/p2p"},
		{"[::1]:18454", socketOnly, "ws://[::1]:18454/p2p"},
		{"127.0.0.1", socketOnly, "ws://127.0.0.1:9555/p2p"},
		{"127.0.0.1:18444", both, "tcp://127.0.0.1:18444"},
		{"127.0.0.1", both, "tcp://127.0.0.1:18444"},
		{"127.1:18444", both, "tcp://127.0.0.1:18444"}, // as resolvers read it
		{"ws://0x7f.1/p2p", socketOnly, "ws://127.0.0.1/p2p"},
		{"ws://2130706433:9555", socketOnly, "ws://127.0.0.1:9555/p2p"},
		{"ws://1.256/p2p", socketOnly, "ws://1.0.1.0/p2p"},
		{"ws://1.2.3.256/p2p", socketOnly, "ws://1.2.3.256/p2p"},
		{"::1", both, "tcp://[::1]:18444"},
		{"Example.org", both, "tcp://example.org:18444"},
		{"tcp://Example.org:1", socketOnly, "tcp://example.org:1"},
		{"tcp://[::ffff:1.2.3.4]:05", both, "tcp://1.2.3.4:5"},
		{"tcp://[2001:db8:0::1]:5", both, "tcp://[2001:db8::1]:5"},
		{"tcp://Example.org", both, "tcp://example.org:18444"},
		{"tcp://127.1", both, "tcp://127.0.0.1:18444"},
		{"tcp://[::1]", both, "tcp://[::1]:18444"},
		{"tcp://::1", both, "tcp://[::1]:18444"},
		{"tcp://[::1]:5", both, "tcp://[::1]:5"},
		{"tcp://example.org", socketOnly, ""}, // which has no such port
		{"tcp://", both, ""},
		{"tcp://example.org:", both, ""},
		{"tcp://example.org/", both, ""},
		{"tcp://user@example.org", both, ""},
		{"tcp://example.org:0", both, ""},
		{"tcp://example.org:65536", both, ""},
		{"tcp://example.org:1/", both, ""},
		{"tcp://[fe80::1%25eth0]:1", both, ""},
		{"tcp://:18444", both, ""},
		{":18444", both, ""},
		{"http://example.org", both, ""},
		{"ws://", both, ""},
		{"ws://example.org:0", both, ""},
		{"wss://example.org:65536", both, ""},
		{"ws://user@example.org", both, ""},
		{"ws://example.org/?x=1", both, ""},
		{"ws://example.org/#x", both, ""},
		{"ws://exa mple.org", both, ""},
		{"", both, ""},
		{"ws://" + strings.Repeat("x", 600), both, ""},
	} {
		got, err := CheckURL(c.in, c.ports)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q became %q, %v; want %q", c.in, got, err, c.want)
		}
		if again, err := cleanURL(got); c.want != "" && (again != got || err != nil) {
			t.Errorf("%q is not clean: %q, %v", got, again, err)
		}
	}
}

func TestPrivateURLs(t *testing.T) {
	for url, want := range map[string]bool{
		"ws://127.0.0.1:1/p2p": true, "ws://10.1.2.3/p2p": true, "ws://192.168.0.1/p2p": true, "ws://[::1]/p2p": true,
		"ws://169.254.169.254/p2p": true, "ws://[fe80::1]/p2p": true, "ws://0.0.0.0/p2p": true, "ws://localhost/p2p": true,
		"ws://[::ffff:10.0.0.1]/p2p": true, "ws://8.8.8.8/p2p": false, "ws://example.org/p2p": false,
		"tcp://127.0.0.1:18444": true, "tcp://[fc00::1]:1": true, "tcp://8.8.8.8:1": false,
	} {
		if got := (space{}).isPrivateURL(url); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

// URLs survive the way through addrv2, and those with an IP address through addr.
func TestURLsOnTheWire(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for url, network := range map[string]uint8{
		"tcp://8.8.8.8:18444": networkIPv4, "tcp://[2001:db8::1]:1": networkIPv6, "tcp://example.org:1": networkURL, "ws://8.8.8.8:1/p2p": networkURL,
	} {
		a := wireAddr(url, 9, at)
		if got, ok := a.url(); !ok || got != url || a.network != network || a.time != 1_700_000_000 {
			t.Errorf("%s became %q in network %d", url, got, a.network)
		}
		old, ok := a.v1()
		if ok != (network != networkURL) {
			t.Errorf("%s in an addr message: %v", url, ok)
			continue
		}
		if again := old.v2(); ok {
			if got, ok := again.url(); !ok || got != url || again.services != 9 || again.time != a.time {
				t.Errorf("%s became %q by addr", url, got)
			}
		}
	}
	mapped := append(make([]byte, 10), 0xff, 0xff, 8, 8, 8, 8)
	for name, a := range map[string]addrV2{
		"no port":                 {network: networkIPv4, addr: []byte{8, 8, 8, 8}},
		"IPv4 in IPv6":            {network: networkIPv6, addr: mapped, port: 1},
		"Tor":                     {network: 4, addr: make([]byte, 32), port: 1},
		"a URL that is not clean": {network: networkURL, addr: []byte("http://8.8.8.8/")},
	} {
		if url, ok := a.url(); ok {
			t.Errorf("%s is %q", name, url)
		}
	}
}

// Peers with and without addrv2 learn of each other's addresses.
func TestAddrBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		old, modern := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		old.shake(ProtocolVersion - 1)
		modern.shake(ProtocolVersion)
		modern.say(msgEmpty(cmdGetAddr)) // from now on it is told of addresses
		modern.say(msgPing(1))
		modern.hear(cmdPong)
		now := uint32(time.Now().Unix())
		old.say(msgAddr{{now, netAddr{services: 9, ip: [16]byte{10: 0xff, 11: 0xff, 12: 8, 13: 8, 14: 8, 15: 8}, port: 18444}}})
		time.Sleep(addrInterval) // for another
		old.say(msgAddr{
			{uint32(time.Now().Unix()), netAddr{services: 9, ip: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}, port: 18444}}, // a stranger cannot point inside
		})
		modern.hear(cmdAddrV2) // passed on
		modern.say(msgAddrV2{wireAddr("tcp://[2001:db9::1]:1", 9, time.Now()), wireAddr("ws://8.8.4.4:1/p2p", 9, time.Now())})
		got := old.hear(cmdAddr).(msgAddr)
		if len(got) != 1 || got[0].ip != [16]byte{0x20, 1, 0xd, 0xb9, 15: 1} || got[0].port != 1 {
			t.Errorf("passed on %v", got)
		}
		var urls []string
		for _, a := range s.book.sample(10) {
			urls = append(urls, a.URL)
		}
		if slices.Sort(urls); !slices.Equal(urls, []string{"tcp://8.8.8.8:18444", "tcp://[2001:db9::1]:1", "ws://8.8.4.4:1/p2p"}) {
			t.Errorf("learnt %v", urls)
		}
		other := w.call(s, "203.0.113.3:1")
		other.shake(ProtocolVersion - 1)
		other.say(msgEmpty(cmdGetAddr))
		if got := other.hear(cmdAddr).(msgAddr); len(got) != 2 {
			t.Errorf("getaddr was answered with %v", got)
		}
	})
}

// btcd hangs up on an addrv2 message in which it knows no address.
func TestURLsGoOnlyToThoseWhoKnowThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Advertise = []string{"ws://203.0.113.99:1"} })
		s.book.learn("ws://8.8.8.8:1/p2p", 9, time.Now(), "x")
		a := w.call(s, "203.0.113.1:1")
		a.say(actorVersion(ProtocolVersion))
		a.say(msgEmpty(cmdSendAddrV2))
		a.say(msgEmpty(cmdVerack))
		a.hear(cmdSendHeaders)
		a.say(msgEmpty(cmdGetAddr))
		if !a.silentOn(cmdAddrV2) {
			t.Error("told of URLs")
		}
		s.book.learn("tcp://8.8.4.4:1", 9, time.Now(), "x")
		b := w.call(s, "203.0.113.2:1")
		b.say(actorVersion(ProtocolVersion))
		b.say(msgEmpty(cmdSendAddrV2))
		b.say(msgEmpty(cmdVerack))
		b.hear(cmdSendHeaders)
		b.say(msgEmpty(cmdGetAddr))
		if got := b.hear(cmdAddrV2).(msgAddrV2); len(got) != 1 || got[0].network != networkIPv4 {
			t.Errorf("told %v", got)
		}
	})
}
