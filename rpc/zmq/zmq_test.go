package zmq

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/rpc/stream"
	"lode/testnet/chaingen"
)

var generated = chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })

// world is a ledger and a pool whose changes are published at one address.
type world struct {
	t       *testing.T
	ledger  *chain.Chain
	pool    *mempool.Pool
	gen     *chaingen.Chain
	address string
	pub     *Publisher
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sigs := sigcheck.New(1000)
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: generated, Sigs: sigs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ledger.Close() })
	w := &world{t: t, ledger: ledger, pool: mempool.New(mempool.Config{Ledger: ledger, Sigs: sigs, Policy: mempool.DefaultPolicy(), Now: time.Now})}
	w.gen = chaingen.New(&generated.Rules, chaingen.Params{Seed: 5, Txs: 3, Inputs: 1, Outputs: 3, Fee: 2000})
	w.add(w.gen.Extend(8)...)
	if err := w.pool.Sync(); err != nil {
		t.Fatal(err)
	}
	w.address = "ipc://" + t.TempDir() + "/pub"
	var list []Notification
	for _, topic := range Topics {
		list = append(list, Notification{topic, w.address, DefaultHWM})
	}
	cfg := Config{Chain: ledger, Sync: w.pool.Sync, Point: w.pool.Point, Initial: func() bool { return false }, Log: slog.New(slog.DiscardHandler)}
	if w.pub, err = Listen(t.Context(), cfg, list); err != nil {
		t.Fatal(err)
	}
	w.pool.OnMove(w.pub.Move)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.pub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) add(blocks ...*consensus.Block) {
	w.t.Helper()
	for _, b := range blocks {
		if err := w.ledger.AddBlock(b); err != nil {
			w.t.Fatal(err)
		}
	}
}

// connect shakes hands as a subscriber, which wants all topics.
func (w *world) connect() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(w.address, "ipc://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	hello := append(greeting(), command("READY", []byte("\x0bSocket-Type\x00\x00\x00\x03SUB"))...)
	hello = appendFrame(hello, []byte{1}, 0)
	hello = append(hello, command("PING", []byte("\x00\x10here"))...)
	if _, err := conn.Write(hello); err != nil {
		w.t.Fatal(err)
	}
	head := make([]byte, greetingSize)
	if _, err := io.ReadFull(conn, head); err != nil || !bytes.Equal(head, greeting()) {
		w.t.Fatal(err, head)
	}
	f, err := readFrame(conn)
	if name, _, ok := cutCommand(f.body); err != nil || !ok || name != "READY" {
		w.t.Fatal(err, f)
	}
	f, err = readFrame(conn) // by then it has subscribed
	if name, data, ok := cutCommand(f.body); err != nil || !ok || name != "PONG" || string(data) != "here" {
		w.t.Fatal(err, f)
	}
	return conn
}

// text is a message as tests write it: topic, the beginning of its body in hex, number.
func (w *world) text(conn net.Conn) string {
	w.t.Helper()
	var parts [3][]byte
	for i := range parts {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			w.t.Fatal(err)
		}
		size := int(head[1])
		if head[0]&flagLong != 0 {
			var rest [7]byte
			if _, err := io.ReadFull(conn, rest[:]); err != nil {
				w.t.Fatal(err)
			}
			for _, b := range append([]byte{head[1]}, rest[:]...) {
				size = size<<8 | int(b)
			}
		}
		if (head[0]&flagMore != 0) != (i < 2) {
			w.t.Fatalf("part %d has the flags %02x", i, head[0])
		}
		parts[i] = make([]byte, size)
		if _, err := io.ReadFull(conn, parts[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	return fmt.Sprintf("%s %.90x %d", parts[0], parts[1], parts[2][0])
}

func (w *world) wants(conn net.Conn, list ...string) {
	w.t.Helper()
	for i, want := range list {
		if got := w.text(conn); got != want {
			w.t.Fatalf("message %d is %s, want %s", i, got, want)
		}
	}
}

// expect lists the messages of one event after the other, and counts them.
type expect struct {
	numbers map[string]int
	list    []string
}

func (e *expect) add(topic string, body []byte) {
	if e.numbers == nil {
		e.numbers = make(map[string]int)
	}
	e.list = append(e.list, fmt.Sprintf("%s %.90x %d", topic, body, e.numbers[topic]))
	e.numbers[topic]++
}

func (e *expect) tx(tx *consensus.Tx) {
	id := tx.TxID()
	e.add("hashtx", unhex(id.String()))
	e.add("rawtx", tx.Bytes())
}

func (e *expect) move(tx *consensus.Tx, label byte, seq byte) {
	if label == 'A' {
		e.tx(tx)
	}
	id := tx.TxID()
	e.add("sequence", append(append(unhex(id.String()), label), seq, 0, 0, 0, 0, 0, 0, 0))
}

func (e *expect) block(b *consensus.Block, label byte, tip bool) {
	for _, tx := range b.Txs {
		e.tx(tx)
	}
	hash := b.Header.Hash()
	e.add("sequence", append(unhex(hash.String()), label))
	if tip {
		e.add("hashblock", unhex(hash.String()))
		e.add("rawblock", b.Bytes())
	}
}

func unhex(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}

// TestMessagesAreBitcoinCores has a payment come in, be confirmed, and come back by a
// reorganization.
func TestMessagesAreBitcoinCores(t *testing.T) {
	w := newWorld(t)
	conn := w.connect()
	next := w.gen.Extend(1)[0]
	var e expect
	for i, tx := range next.Txs[1:] {
		if err := w.pool.Add(tx); err != nil {
			t.Fatal(err)
		}
		e.move(tx, 'A', byte(i+1))
	}
	w.wants(conn, e.list...)
	e.list = nil
	w.add(next)
	e.block(next, 'C', true)
	w.wants(conn, e.list...)
	e.list = nil

	w.gen = w.gen.Fork(8, 3)
	w.gen.Params.Txs = 0
	better := w.gen.Extend(2)
	w.add(better...)
	e.block(next, 'D', false)
	for i, tx := range next.Txs[1:] { // 3 of them were counted as they left with the block
		e.move(tx, 'A', byte(len(next.Txs)-1+len(next.Txs)-1+i+1))
	}
	e.block(better[0], 'C', false)
	e.block(better[1], 'C', true)
	w.wants(conn, e.list...)
}

// TestOneThatDoesNotReadBlocksNobody lets one subscriber be silent and another one read
// far more than the first one's queue holds.
func TestOneThatDoesNotReadBlocksNobody(t *testing.T) {
	s := newSocket(slog.New(slog.DiscardHandler), 10)
	silent, reader := &subscriber{awake: make(chan struct{}, 1), topics: map[string]int{"": 1}}, &subscriber{awake: make(chan struct{}, 1), topics: map[string]int{"hash": 1}}
	s.enter(silent)
	s.enter(reader)
	for i := range 1000 {
		s.send("hashtx", []byte{byte(i)})
		s.send("rawtx", []byte{1})
		if m, ok := reader.next(); !ok || m[0] != byte(i) {
			t.Fatalf("message %d is %v", i, m)
		}
		s.waiting.Add(-1)
	}
	if len(silent.queue) != 10 || s.waiting.Load() != 10 {
		t.Errorf("%d messages wait, %d bytes", len(silent.queue), s.waiting.Load())
	}
	large := make([]byte, maxQueue/2+1)
	for range 3 {
		s.send("hashblock", large)
	}
	if len(reader.queue) != 1 {
		t.Errorf("%d large messages wait", len(reader.queue))
	}
}

// TestStrangersAtTheSocket sends what is no subscriber's.
func TestStrangersAtTheSocket(t *testing.T) {
	w := newWorld(t)
	ready := command("READY", []byte("\x0bSocket-Type\x00\x00\x00\x03SUB"))
	many := slices.Concat(greeting(), ready)
	for i := range maxTopics + 1 {
		many = appendFrame(many, []byte{1, byte(i)}, 0)
	}
	plain := greeting()
	copy(plain[mechanismAt:], "CURVE")
	for name, bytes := range map[string][]byte{
		"HTTP":              []byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a browser that knows no better\r\n\r\n"),
		"another mechanism": plain,
		"no socket":         append(greeting(), command("READY", []byte("\x0bSocket-Type\x00\x00\x00\x03PUB"))...),
		"a large frame":     append(append(greeting(), ready...), 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"many topics":       many,
	} {
		conn, err := net.Dial("unix", strings.TrimPrefix(w.address, "ipc://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = conn.Write(bytes)
		if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
			t.Errorf("%s: the connection stays open", name)
		}
		conn.Close()
	}
	for _, address := range []string{"", "foo", "tcp://", "tcp://127.0.0.1", "tcp://:1", "unix:", "http://127.0.0.1:1"} {
		if CheckAddress(address) == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
	if IsLocal("tcp://*:28332") || IsLocal("tcp://192.0.2.1:1") || !IsLocal("tcp://127.0.0.1:1") || !IsLocal("tcp://[::1]:1") || !IsLocal("unix:/x") {
		t.Error("what is beyond loopback is not known")
	}
}

// TestSubscriberOfOthers has the subscriber of LODE_TEST_ZMQ, a Python with python3-zmq,
// hear the same as this one, and of the same blocks and transactions as a client of /ws.
func TestSubscriberOfOthers(t *testing.T) {
	python := os.Getenv("LODE_TEST_ZMQ")
	if python == "" {
		t.Skip("set LODE_TEST_ZMQ to a Python that has python3-zmq, or call make zmq")
	}
	w := newWorld(t)
	const script = `
import sys, zmq
s = zmq.Context().socket(zmq.SUB)
s.setsockopt(zmq.SUBSCRIBE, b"")
s.setsockopt(zmq.HEARTBEAT_IVL, 500)
s.connect(sys.argv[1])
while True:
    topic, body, number = s.recv_multipart()
    print(topic.decode(), body[:90].hex(), number[0], flush=True)
`
	cmd := exec.Command(python, "-c", script, w.address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	for len(w.subscribed()) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	conn, events := w.connect(), w.followWS()
	w.add(w.gen.Extend(20)...)
	w.gen = w.gen.Fork(20, 9)
	w.add(w.gen.Extend(12)...)
	var theirs bytes.Buffer
	var heard []string
	for len(heard) < 20+8+12 {
		want := w.text(conn) + "\n"
		line := make([]byte, len(want))
		if _, err := io.ReadFull(out, line); err != nil {
			t.Fatal(err)
		}
		theirs.Write(line)
		if string(line) != want {
			t.Fatalf("theirs is %s, want %s", line, want)
		}
		if topic, body, _ := strings.Cut(want, " "); topic == "sequence" && body[64] == '4' && body[65] != '1' { // C or D
			heard = append(heard, body[64:66]+" "+body[:64])
		}
	}
	if !strings.Contains(theirs.String(), "hashblock ") || !strings.Contains(theirs.String(), "rawtx ") {
		t.Error("it heard of no block")
	}
	for i, want := range heard {
		if got := <-events; got != want {
			t.Fatalf("event %d of /ws is %s, and ZeroMQ's subscriber heard %s", i, got, want)
		}
	}
}

// followWS follows the stream of package stream: blocks by label and hash.
func (w *world) followWS() <-chan string {
	w.t.Helper()
	feed, err := stream.Open(w.t.TempDir(), stream.Sources{Chain: w.ledger}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	go func() { _ = feed.Run(w.t.Context()) }()
	server := httptest.NewServer(http.HandlerFunc(stream.NewServer(feed.Log, "test").ServeWS))
	w.t.Cleanup(server.Close)
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"?topics=blocks", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	events := make(chan string, 1000)
	go func() {
		for {
			var list []struct{ Topic, Type, Hash string }
			if conn.ReadJSON(&list) != nil {
				return
			}
			for _, e := range list {
				if e.Topic == "blocks" {
					events <- map[string]string{"connected": "43", "disconnected": "44"}[e.Type] + " " + e.Hash
				}
			}
		}
	}()
	return events
}

// subscribed are the connections that want something.
func (w *world) subscribed() (list []*subscriber) {
	s := w.pub.sockets[w.address]
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs {
		sub.mu.Lock()
		if len(sub.topics) > 0 {
			list = append(list, sub)
		}
		sub.mu.Unlock()
	}
	return list
}

// FuzzSubscriber reads whatever a subscriber may send.
func FuzzSubscriber(f *testing.F) {
	f.Add(slices.Concat(command("READY", []byte("\x0bSocket-Type\x00\x00\x00\x03SUB")), appendFrame(nil, []byte{1}, 0)))
	f.Add([]byte{4, 5, 4, 'P', 'I', 'N', 'G'})
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			fr, err := readFrame(r)
			if err != nil {
				return
			}
			if len(fr.body) > maxFrame {
				t.Fatalf("a frame of %d bytes", len(fr.body))
			}
			_ = checkReady(fr)
			if w, ok := readWish(fr); ok && len(w.topic) > maxTopic {
				t.Fatalf("a topic of %d bytes", len(w.topic))
			}
		}
	})
}
