package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
)

// framedPair is a Conn and the raw other end of its stream, without a network.
func framedPair(t *testing.T) (raw net.Conn, conn Conn) {
	raw, here := net.Pipe()
	conn = newFramed(here, regtest(t))
	t.Cleanup(func() { _, _ = raw.Close(), conn.Close("") })
	return raw, conn
}

func magicOf(t testing.TB) [magicSize]byte { return [magicSize]byte(regtest(t).Defaults.Magic) }

// frame is one message as it stands in the stream.
func frame(t testing.TB, command string, payload []byte) []byte {
	return append(appendFrame(nil, magicOf(t), command, payload), payload...)
}

// Bitcoin's own bytes: a verack and a ping on regtest, made by hand after the
// protocol documentation.
func TestFrameBytes(t *testing.T) {
	for want, got := range map[string][]byte{
		"\xfa\xbf\xb5\xdaverack\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x5d\xf6\xe0\xe2": frame(t, cmdVerack, nil),
		"\xfa\xbf\xb5\xdasendaddrv2\x00\x00\x00\x00\x00\x00\x5d\xf6\xe0\xe2":             frame(t, cmdSendAddrV2, nil),
	} {
		if string(got) != want {
			t.Errorf("%x, want %x", got, want)
		}
	}
}

func TestFramesCarryMessages(t *testing.T) {
	raw, conn := framedPair(t)
	other := newFramed(raw, regtest(t))
	big := make([]byte, maxPayload)
	big[0], big[maxPayload-1] = 1, 2
	messages := []outMessage{{cmdVerack, nil}, {cmdBlock, big}, {"hello", []byte("x")}, {cmdPing, make([]byte, 8)}}
	go func() {
		for _, m := range messages {
			_ = conn.WriteMessage(m.command, m.payload)
		}
	}()
	for _, m := range messages {
		want := m.payload
		if _, known := formats[m.command]; !known {
			want = nil
		}
		command, payload, err := other.ReadMessage()
		if err != nil || command != m.command || !bytes.Equal(payload, want) {
			t.Errorf("%s: got %s of %d bytes, %v", m.command, command, len(payload), err)
		}
	}
	_ = conn.Close("because")
	if command, _, err := other.ReadMessage(); err == nil {
		t.Errorf("%s after the end", command)
	}
}

func TestFramesRefused(t *testing.T) {
	change := func(b []byte, at int, x byte) []byte {
		b = bytes.Clone(b)
		b[at] ^= x
		return b
	}
	announce := func(command string, length uint32) []byte {
		b := frame(t, command, nil)
		binary.LittleEndian.PutUint32(b[magicSize+commandSize:], length)
		return b
	}
	ping := frame(t, cmdPing, make([]byte, 8))
	for name, c := range map[string]struct {
		stream []byte
		kind   error
	}{
		"another magic":           {change(ping, 0, 1), errMagic},
		"four bytes of noise":     {[]byte("GET "), errMagic},
		"a wrong checksum":        {change(ping, 20, 1), errChecksum},
		"a changed payload":       {change(ping, frameSize, 1), errChecksum},
		"a changed unknown":       {change(frame(t, "hello", []byte("x")), frameSize, 1), errChecksum},
		"a command with control":  {change(ping, 4, 0x77), consensus.ErrDecode},
		"a command with a gap":    {change(ping, 12, 'x'), consensus.ErrDecode},
		"a long ping":             {announce(cmdPing, minPayloadLimit+1), errTooLong},
		"a block of 4 GB":         {announce(cmdBlock, 1<<32-1), errOversized},
		"a block a byte too long": {announce(cmdBlock, maxPayload+1), errOversized},
		"a huge unknown":          {announce("hello", maxPayload+1), errOversized},
		"nothing":                 {nil, io.EOF},
		"half a magic":            {ping[:2], io.ErrUnexpectedEOF},
		"half a header":           {ping[:frameSize-1], io.ErrUnexpectedEOF},
		"half a payload":          {ping[:len(ping)-1], io.ErrUnexpectedEOF},
		"half an unknown":         {frame(t, "hello", []byte("x"))[:frameSize], io.ErrUnexpectedEOF},
	} {
		// What is refused is refused without a byte more than needed.
		if _, _, _, err := readFrame(iotest.OneByteReader(bytes.NewReader(c.stream)), magicOf(t), nil); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// Who announces the longest block and sends nothing of it costs no memory.
func TestAnnouncedLengthTakesNoMemory(t *testing.T) {
	b := frame(t, cmdBlock, nil)
	binary.LittleEndian.PutUint32(b[magicSize+commandSize:], maxPayload)
	magic := magicOf(t)
	const times = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if _, _, _, err := readFrame(bytes.NewReader(b), magic, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if taken := (after.TotalAlloc - before.TotalAlloc) / times; taken > 64<<10 {
		t.Errorf("%d bytes were taken", taken)
	}
}

// A message that has begun may not take for ever, nor may the wait for one.
func TestFrameDeadlines(t *testing.T) {
	for name, c := range map[string]struct {
		first []byte
		limit time.Duration
	}{
		"silence":        {nil, idleTimeout},
		"half a message": {[]byte{0xfa}, messageTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				raw, conn := framedPair(t)
				go func() { _, _ = raw.Write(c.first) }()
				start := time.Now()
				if _, _, err := conn.ReadMessage(); err == nil {
					t.Error("a message came")
				}
				if took := time.Since(start); took != c.limit {
					t.Errorf("given up after %v, want %v", took, c.limit)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, conn := framedPair(t)
		start := time.Now()
		if err := conn.WriteMessage(cmdPing, make([]byte, 8)); err == nil || time.Since(start) != writeTimeout {
			t.Errorf("nobody reads: %v after %v", err, time.Since(start))
		}
	})
}

func listeningTCP(t *testing.T) (net.Listener, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, "tcp://" + l.Addr().String()
}

func TestSyncOverTCP(t *testing.T) {
	l, url := listeningTCP(t)
	n, a := realNode(t, func(c *Config) { c.ListenTCP = l })
	_, b := realNode(t, func(c *Config) { c.Connect = []string{url} })
	for _, block := range mine(regtest(t), a.Tip(), 1, 100) {
		if err := a.AddBlock(block); err != nil {
			t.Fatal(err)
		}
	}
	reach(t, b, a.Tip().Hash)
	block := mineOn(regtest(t), b.Tip(), 2)
	if err := b.AddBlock(block); err != nil {
		t.Fatal(err)
	}
	reach(t, a, block.Header.Hash())
	if peers := n.Peers(); len(peers) != 1 || peers[0].Transport != "v1" || peers[0].LocalAddr != l.Addr().String() || peers[0].Received.PerMessage[cmdVerack] != frameSize {
		t.Errorf("peers %+v", peers)
	}
}

// Bitcoin Core hangs up and comes again without encryption only if it was hung
// up on before a byte came back.
func TestEncryptedTransportIsHungUpOn(t *testing.T) {
	l, url := listeningTCP(t)
	n, _ := realNode(t, func(c *Config) { c.ListenTCP = l })
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(bytes.Repeat([]byte{7}, 64)); err != nil { // a key, BIP324
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); len(got) > 0 {
		t.Errorf("answered with %x, %v", got, err)
	}
	if n.bans.banned(hostOfString("127.0.0.1:1")) {
		t.Error("banned")
	}
}

// A dial to a node of another network ends with a reason.
func TestWrongNetworkOverTCP(t *testing.T) {
	l, url := listeningTCP(t)
	realNode(t, func(c *Config) { c.ListenTCP = l })
	main, err := consensus.EmbeddedSpec("main")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dialAny(main)(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close("")
	if err := conn.WriteMessage(cmdVersion, actorVersion(ProtocolVersion).append(nil)); err != nil {
		t.Fatal(err)
	}
	if command, _, err := conn.ReadMessage(); !errors.Is(err, errNoWord) {
		t.Errorf("answered with %q, %v", command, err)
	}
}

// Who says nothing takes no peer's place, and is hung up on.
func TestSilenceOnTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		silent, here := net.Pipe()
		speaks, there := net.Pipe()
		l := &oneListener{conns: make(chan net.Conn, 2), closed: make(chan struct{})}
		l.conns <- here
		l.conns <- there
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.serveTCP(ctx, l) }()
		go func() { _, _ = silent.Write(w.spec.Defaults.Magic[:3]) }()
		go func() {
			_ = newFramed(speaks, w.spec).WriteMessage(cmdVersion, actorVersion(ProtocolVersion).append(nil))
		}()
		heard := func() (n int) {
			for _, p := range s.Peers() {
				if p.Version != 0 {
					n++
				}
			}
			return n
		}
		w.until("both are listed", func() bool { return len(s.Peers()) == 2 && heard() == 1 })
		s.mu.Lock()
		if s.inbound != 1 {
			t.Errorf("%d places are taken", s.inbound)
		}
		s.mu.Unlock()
		start := time.Now()
		if _, err := silent.Read(make([]byte, 1)); err == nil || time.Since(start) > headerTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if n := len(s.Peers()); n != 1 {
			t.Errorf("%d peers", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = speaks.Close()
		w.until("gone", func() bool { return len(s.Peers()) == 0 })
	})
}

// Who has said nothing is listed with a number, as in Bitcoin Core, and can be
// disconnected by it; who comes next has the next.
func TestSilentPeersHaveNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		l := &oneListener{conns: make(chan net.Conn, 2), closed: make(chan struct{})}
		silent, here := net.Pipe()
		l.conns <- here
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.serveTCP(ctx, l) }()
		w.until("it is listed", func() bool { return len(s.Peers()) == 1 })
		if p := s.Peers()[0]; p.ID != 0 || p.Version != 0 || p.StartingHeight != -1 || p.SyncedHeaders != -1 || p.SyncedBlocks != -1 ||
			!p.Inbound || p.RelayTxs || p.HandshakeIsOver || p.Transport != transportTCP {
			t.Errorf("%+v", p)
		}
		speaks, there := net.Pipe()
		l.conns <- there
		go func() {
			_ = newFramed(speaks, w.spec).WriteMessage(cmdVersion, actorVersion(ProtocolVersion).append(nil))
		}()
		w.until("the other is listed", func() bool { p := s.Peers(); return len(p) == 2 && p[1].ID == 1 && p[1].Version != 0 })
		if err := s.Disconnect(0, ""); err != nil {
			t.Error(err)
		}
		if _, err := silent.Read(make([]byte, 1)); err == nil {
			t.Error("it is still connected")
		}
		w.until("it is not listed any more", func() bool { p := s.Peers(); return len(p) == 1 && p[0].ID == 1 })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = speaks.Close()
		w.until("gone", func() bool { return len(s.Peers()) == 0 })
	})
}

// Who is banned is hung up on.
func TestBannedOverTCP(t *testing.T) {
	l, url := listeningTCP(t)
	n, _ := realNode(t, func(c *Config) { c.ListenTCP = l })
	if err := n.Ban(Subnet{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("let in")
	}
}

// A node that cannot listen any more ends and says where.
func TestTCPListenerFails(t *testing.T) {
	l, _ := listeningTCP(t)
	spec := regtest(t)
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	pool := mempool.New(mempool.Config{Ledger: ledger, Sigs: sigcheck.New(1000), Policy: mempool.DefaultPolicy(), Now: now})
	n := New(Config{Spec: spec, Chain: ledger, Pool: pool, ListenTCP: l, Outbound: -1})
	_ = l.Close()
	if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// flakyListener fails a few times in a way that passes, and then for good.
type flakyListener struct {
	net.Listener
	failures []error
}

func (l *flakyListener) Accept() (net.Conn, error) {
	err := l.failures[0]
	l.failures = l.failures[1:]
	return nil, err
}

func TestAcceptIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		full := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		l := &flakyListener{Listener: &oneListener{closed: make(chan struct{})}, failures: []error{full, full, net.ErrClosed}}
		start := time.Now()
		if err := s.serveTCP(t.Context(), l); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 3*firstAcceptBackoff {
			t.Errorf("tried for %v", took)
		}
	})
}

// FuzzTCPFrame has a stranger send any stream: what is read of it is what it
// says, and no more than is there.
func FuzzTCPFrame(f *testing.F) {
	var all []byte
	for _, m := range samples(f) {
		one := frame(f, m.command(), m.append(nil))
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	f.Add(all[:len(all)-1])
	f.Add(frame(f, "hello", []byte("x")))
	huge := frame(f, cmdBlock, nil)
	binary.LittleEndian.PutUint32(huge[magicSize+commandSize:], maxPayload+1)
	f.Add(huge)
	magic := magicOf(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			at := len(stream) - r.Len()
			command, payload, _, err := readFrame(r, magic, nil)
			if err != nil {
				for _, kind := range []error{consensus.ErrDecode, errOversized, errMagic, errChecksum, io.EOF, io.ErrUnexpectedEOF} {
					if errors.Is(err, kind) {
						return
					}
				}
				t.Fatalf("an error of no kind: %v", err)
			}
			read := stream[at : len(stream)-r.Len()]
			if _, known := formats[command]; !known {
				payload = read[frameSize:]
			}
			if again := frame(t, command, payload); !bytes.Equal(again, read) {
				t.Fatalf("%x was read, %x written", read, again)
			}
		}
	})
}
