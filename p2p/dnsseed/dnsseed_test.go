package dnsseed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/miekg/dns"
)

var testZone = Zone{Name: "seed.test.", NameServer: "ns.seed.test.", Mailbox: "host.seed.test.", Port: 9555, TTL: 60}

func at(ip string, port uint16) Target { return Target{IP: netip.MustParseAddr(ip), Port: port} }

var goodNodes = []Target{at("192.0.2.1", 9555), at("2001:db8::1", 9555), at("192.0.2.2", 7), {Name: "node.example", Port: 443, TLS: true}}

func ask(name string, kind uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, kind) }

// TestAnswers: each kind of node is named where it belongs, and nothing else.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  uint16
		rcode int
		want  string // of the answers
	}{
		{"seed.test.", dns.TypeA, dns.RcodeSuccess, "192.0.2.1"},
		{"SEED.test.", dns.TypeA, dns.RcodeSuccess, "192.0.2.1"},
		{"seed.test.", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::1"},
		{"seed.test.", dns.TypeNS, dns.RcodeSuccess, "ns.seed.test."},
		{"seed.test.", dns.TypeMX, dns.RcodeSuccess, ""},
		{"seed.test.", dns.TypeANY, dns.RcodeSuccess, "RFC8482"},
		{"_lode._tcp.seed.test.", dns.TypeSRV, dns.RcodeSuccess, "9555 192-0-2-1.seed.test. 9555 2001-db8-0-0-0-0-0-1.seed.test. 7 192-0-2-2.seed.test."},
		{"_lode-tls._tcp.seed.test.", dns.TypeSRV, dns.RcodeSuccess, "443 node.example."},
		{"_tcp.seed.test.", dns.TypeSRV, dns.RcodeSuccess, ""},
		{"192-0-2-2.seed.test.", dns.TypeA, dns.RcodeSuccess, "192.0.2.2"},
		{"2001-db8-0-0-0-0-0-1.seed.test.", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::1"},
		{"192-0-2-2.seed.test.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"127-0-0-1.seed.test.", dns.TypeA, dns.RcodeNameError, ""}, // no name for any address that somebody wants
		{"node.example.", dns.TypeA, dns.RcodeRefused, ""},
		{"xseed.test.", dns.TypeA, dns.RcodeRefused, ""},
		{".", dns.TypeNS, dns.RcodeRefused, ""},
	} {
		m := testZone.Answer(ask(c.name, c.kind), goodNodes, true)
		var got []string
		for _, r := range m.Answer {
			switch r := r.(type) {
			case *dns.A:
				got = append(got, r.A.String())
			case *dns.AAAA:
				got = append(got, r.AAAA.String())
			case *dns.SRV:
				got = append(got, fmt.Sprint(r.Port, " ", r.Target))
			case *dns.NS:
				got = append(got, r.Ns)
			case *dns.HINFO:
				got = append(got, r.Cpu)
			}
		}
		if m.Rcode != c.rcode || strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: %s, %q, want %q", c.name, dns.TypeToString[c.kind], dns.RcodeToString[m.Rcode], got, c.want)
		}
		if c.rcode != dns.RcodeRefused && c.want == "" && len(m.Ns) != 1 {
			t.Errorf("%s: nobody is told how long to remember that there is nothing", c.name)
		}
	}
}

// TestOddQuestions: an answer is not answered, and what is not understood is said so.
func TestOddQuestions(t *testing.T) {
	for what, c := range map[string]struct {
		change func(q *dns.Msg)
		rcode  int
	}{
		"another class": {func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		"an update":     {func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"no question":   {func(q *dns.Msg) { q.Question = nil }, dns.RcodeFormatError},
		"two questions": {func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }, dns.RcodeFormatError},
		"later EDNS":    {func(q *dns.Msg) { q.SetEdns0(4096, false); q.IsEdns0().SetVersion(1) }, dns.RcodeBadVers},
	} {
		q := ask("seed.test.", dns.TypeA)
		c.change(q)
		if m := testZone.Answer(q, goodNodes, true); m == nil || m.Rcode != c.rcode {
			t.Errorf("%s: %v", what, m)
		}
	}
	q := ask("seed.test.", dns.TypeA)
	q.Response = true
	if m := testZone.Answer(q, goodNodes, true); m != nil {
		t.Errorf("an answer is answered: %v", m)
	}
}

// TestTruncation: over UDP no answer is longer than the asker can take, or than fits
// into packets, and what was left out is to be had over TCP.
func TestTruncation(t *testing.T) {
	var many []Target
	for i := range 200 {
		many = append(many, at(fmt.Sprintf("2001:db8::%x", i+1), 9555))
	}
	for _, c := range []struct {
		edns uint16
		udp  bool
		most int
	}{{0, true, 512}, {100, true, 512}, {1232, true, 1232}, {65535, true, 1232}, {0, false, 4096}} {
		q := ask("_lode._tcp.seed.test.", dns.TypeSRV)
		if c.edns > 0 {
			q.SetEdns0(c.edns, false)
		}
		m := testZone.Answer(q, many, c.udp)
		b, err := m.Pack()
		if err != nil || len(b) > c.most || m.Truncated != c.udp || len(m.Answer) == 0 && !m.Truncated || len(m.Answer) > maxRecords {
			t.Errorf("EDNS %d, UDP %v: %d bytes, truncated %v, %d answers, %v", c.edns, c.udp, len(b), m.Truncated, len(m.Answer), err)
		}
	}
}

// TestFloodOfQuestions: a network gets so many answers, another still gets its own, and
// those who come from everywhere share what is left.
func TestFloodOfQuestions(t *testing.T) {
	l, now := newLimiter(), time.Unix(1e9, 0)
	count := func(ip string, n int) (got int) {
		for range n {
			if l.allow(netip.MustParseAddr(ip), now) {
				got++
			}
		}
		return got
	}
	if got := count("192.0.2.1", 200) + count("192.0.2.200", 200); got != burst {
		t.Errorf("a network got %d answers, want %d", got, burst)
	}
	if got := count("2001:db8::1", 200) + count("2001:db8:0:ff::1", 200); got != burst {
		t.Errorf("a network of IPv6 got %d answers, want %d", got, burst)
	}
	if got := count("198.51.100.1", 5); got != 5 {
		t.Errorf("another got %d of 5", got)
	}
	for i := range 3 * maxSources {
		now = now.Add(time.Millisecond)
		l.allow(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		l.allow(netip.AddrFrom4([4]byte{byte(12 + i%200), byte(i >> 8), byte(i), 1}), now)
	}
	if len(l.of) > maxSources {
		t.Errorf("%d sources are kept", len(l.of))
	}
	now = now.Add(time.Second)
	if got := count("203.0.113.1", 5); got == 0 {
		t.Error("after a flood nobody gets an answer")
	}
}

// TestRoll: a node is named from when it was reached until it was not, and forgotten
// when it fails again and again.
func TestRoll(t *testing.T) {
	var r Roll
	now := time.Unix(1e9, 0)
	public := func(ip netip.Addr) bool { return !ip.IsPrivate() }
	for url, want := range map[string]bool{
		"ws://192.0.2.1:9555/p2p": true, "ws://10.0.0.1:9555/p2p": false, "tcp://192.0.2.1:8333": false, "ws://192.0.2.1:9555/admin": false,
		"wss://node.example:443/p2p": true, "wss://192.0.2.1:443/p2p": false, "ws://node.example:80/p2p": false, "ws://192.0.2.1/p2p": false, "%": false,
	} {
		if got := r.Learn(url, public); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
	const url = "ws://192.0.2.1:9555/p2p"
	if due := r.Due(now, 10); len(due) != 2 || len(r.Due(now, 10)) != 0 {
		t.Fatalf("due: %v", due)
	}
	r.Tried(url, true, now)
	if good := r.Good(now); len(good) != 1 || good[0].URL() != url {
		t.Errorf("good: %v", good)
	}
	if good := r.Good(now.Add(goodFor)); len(good) != 0 {
		t.Errorf("good long after: %v", good)
	}
	now = now.Add(retryGood)
	if due := r.Due(now, 10); len(due) != 1 || due[0] != url {
		t.Errorf("due again: %v", due)
	}
	for range maxMisses {
		r.Tried(url, false, now)
		if good := r.Good(now); len(good) != 0 {
			t.Errorf("good after it failed: %v", good)
		}
	}
	if len(r.nodes) != 1 || !r.Learn(url, public) {
		t.Error("it is not forgotten")
	}
	for i := range 2 * maxRoll {
		r.Learn(fmt.Sprintf("ws://198.%d.%d.%d:1/p2p", i>>16, i>>8&255, i&255), public)
	}
	if len(r.nodes) > maxRoll {
		t.Errorf("%d nodes are kept", len(r.nodes))
	}
}

// TestSchedule: seeds are asked at once, and again while there are too few peers, the
// longer the rarer.
func TestSchedule(t *testing.T) {
	var s Schedule
	var asked []time.Duration
	start := time.Unix(1e9, 0)
	for d := time.Duration(0); d < time.Hour; d += 5 * time.Second {
		peers := 0
		if d > 40*time.Minute && d < 41*time.Minute {
			peers = enoughPeers
		}
		if s.Step(start.Add(d), peers) {
			asked = append(asked, d)
		}
	}
	want := "[0s 30s 1m30s 3m30s 7m30s 15m30s 25m30s 35m30s 41m0s 42m0s 44m0s 48m0s 56m0s]"
	if got := fmt.Sprint(asked); got != want {
		t.Errorf("asked after %s, want %s", got, want)
	}
}

// zoneResolver is a resolver that a stranger has the answers of.
type zoneResolver struct {
	ips map[string][]netip.Addr
	srv map[string][]*net.SRV
}

func (z *zoneResolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if ips, ok := z.ips[host]; ok {
		return ips, nil
	}
	return nil, errors.New("no such host")
}

func (z *zoneResolver) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	if list, ok := z.srv[service+" "+name]; ok {
		return "", list, nil
	}
	return "", nil, errors.New("no such host")
}

// TestHostileSeed: of what a seed says so much is taken, and no text that is no name.
func TestHostileSeed(t *testing.T) {
	z := &zoneResolver{ips: map[string][]netip.Addr{"a.test": nil, "t.test": {netip.MustParseAddr("192.0.2.9")}}, srv: map[string][]*net.SRV{
		"lode a.test":     {{Target: "T.test.", Port: 7}, {Target: "t.test.", Port: 0}, {Target: "x/../y.", Port: 1}, {Target: "127.0.0.1", Port: 22}},
		"lode-tls a.test": {{Target: "node.example.", Port: 443}, {Target: "u:p@host.", Port: 443}, {Target: "192.0.2.1", Port: 443}},
	}}
	urls, err := Resolve(t.Context(), z, Name{Host: "a.test"}, 9555)
	got := strings.Join(urls, " ")
	if err != nil || len(urls) != 2 || !strings.Contains(got, "ws://192.0.2.9:7/p2p") || !strings.Contains(got, "wss://node.example:443/p2p") {
		t.Errorf("%v, %v", urls, err)
	}
	for i := range 1000 {
		z.ips["a.test"] = append(z.ips["a.test"], netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}))
	}
	if urls, err = Resolve(t.Context(), z, Name{Host: "a.test", Port: 5}, 9555); err != nil || len(urls) != maxAddresses || !strings.Contains(strings.Join(urls, " "), ":5/p2p") {
		t.Errorf("of 1000 addresses %d, %v", len(urls), err)
	}
	if urls, err = Resolve(t.Context(), z, Name{Host: "none.test"}, 9555); err == nil || urls != nil {
		t.Errorf("of nobody: %v", urls)
	}
	for text, ok := range map[string]bool{"dns:seed.test": true, "dns:Seed.Test.:99": true, "dns:": false, "dns:1.2.3.4": false, "dns:a..b": false, "dns:a b": false, "dns:a:0": false, "dns:a:x": false, "dns:[::1]": false} {
		if n, isDNS, err := ParseName(text); !isDNS || (err == nil) != ok {
			t.Errorf("%s: %+v, %v, %v", text, n, isDNS, err)
		}
	}
	if _, isDNS, _ := ParseName("ws://dns:1"); isDNS {
		t.Error("a URL is no seed by DNS")
	}
}

// TestServe asks over both transports, after the server has tried its nodes: one that
// speaks of the network, one of another network, and one at an address that is not
// allowed.
func TestServe(t *testing.T) {
	node := func(protocol string) (url string) {
		up := websocket.Upgrader{Subprotocols: []string{protocol}}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ws, err := up.Upgrade(w, r, nil); err == nil {
				ws.Close()
			}
		}))
		t.Cleanup(s.Close)
		return "ws" + strings.TrimPrefix(s.URL, "http") + "/p2p"
	}
	right, wrong := node("lode-1"), node("lode-2")
	z := testZone
	one, _ := targetOf(right)
	z.Port = one.Port
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(z, nil)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 2)
	go func() { served <- s.Serve(ctx, udp, tcp) }()
	go func() {
		s.Probe(ctx, &Prober{Protocol: "lode-1", Allowed: func(ip netip.Addr) bool { return ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) },
			Book: func(context.Context) ([]string, error) { return []string{right, wrong, "wss://localhost:1/p2p"}, nil }})
		served <- nil
	}()
	for _, transport := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: transport, Timeout: 10 * time.Second}
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			m, _, err := c.Exchange(ask("_lode._tcp.seed.test.", dns.TypeSRV), udp.LocalAddr().String())
			if err == nil && len(m.Answer) == 1 && m.Answer[0].(*dns.SRV).Port == one.Port {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v, %v", transport, m, err)
			}
		}
	}
	r := ServerResolver(udp.LocalAddr().String())
	urls, err := Resolve(t.Context(), r, Name{Host: "seed.test"}, one.Port)
	if err != nil || len(urls) != 1 || urls[0] != right {
		t.Errorf("a node finds %v, %v, want %s", urls, err, right)
	}
	if conn, err := net.Dial("udp", udp.LocalAddr().String()); err == nil { // no DNS at all
		for _, b := range []string{"", "x", strings.Repeat("\xff", 2000)} {
			_, _ = conn.Write([]byte(b))
		}
		conn.Close()
	}
	stop()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// FuzzAnswer: whatever a stranger sends, the answer can be sent, is no longer than it
// may be, and names good nodes alone.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"seed.test.", "_lode._tcp.seed.test.", "192-0-2-1.seed.test.", "x."} {
		q := ask(name, dns.TypeA)
		q.SetEdns0(4096, true)
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q := new(dns.Msg)
		if q.Unpack(b) != nil {
			return
		}
		m := testZone.Answer(q, goodNodes, true)
		if m == nil {
			return
		}
		out, err := m.Pack()
		if err != nil {
			t.Fatalf("%v: %v", err, m)
		}
		if len(out) > maxUDP {
			t.Fatalf("%d bytes", len(out))
		}
		for _, r := range m.Answer {
			if a, ok := r.(*dns.A); ok && !strings.HasPrefix(a.A.String(), "192.0.2.") {
				t.Fatalf("it names %s", a.A)
			}
		}
	})
}

// FuzzParseName: what is taken for a name is one, and can be written into a URL.
func FuzzParseName(f *testing.F) {
	f.Add("dns:seed.example.org:9555")
	f.Fuzz(func(t *testing.T, text string) {
		n, isDNS, err := ParseName(text)
		if !isDNS || err != nil {
			return
		}
		if target, ok := targetOf(fmt.Sprintf("wss://%s:1/p2p", n.Host)); !ok || target.Name != n.Host {
			t.Errorf("%q gives %+v, %v", text, n, target)
		}
	})
}
