package p2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
)

// stranger is one who connects again and again, and sends what it likes.
type stranger struct {
	send  []byte
	pause time.Duration // between two bytes; 0 sends all at once
}

// strangers are the ways to waste a node's sockets, by transport. Each is cut off
// at another point: by the HTTP server, by the magic, as a peer without a version,
// as one that says rubbish.
func strangers(spec *consensus.Spec, address string) map[string][]stranger {
	garbage := make([]byte, 64<<10)
	_, _ = rand.Read(garbage)
	upgrade := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", socketPath, address, subProtocol(&spec.Rules))
	magic := bytes.Clone(spec.Defaults.Magic)
	return map[string][]stranger{
		"WebSocket": {
			{}, {send: garbage}, {send: upgrade, pause: 100 * time.Millisecond}, {send: upgrade},
			{send: append(bytes.Clone(upgrade), garbage...)},
			{send: append(bytes.Clone(upgrade), 0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0)}, // the frame of a large message that does not come
		},
		"TCP": {
			{}, {send: garbage}, {send: append(bytes.Clone(magic), make([]byte, 100)...), pause: 100 * time.Millisecond}, {send: magic},
			{send: append(bytes.Clone(magic), garbage...)},
		},
	}
}

// visit connects again and again until ctx ends.
func (s stranger) visit(ctx context.Context, address string, visits *atomic.Int64) {
	var d net.Dialer
	for ctx.Err() == nil {
		if c, err := d.DialContext(ctx, "tcp", address); err == nil {
			visits.Add(1)
			hangUp := context.AfterFunc(ctx, func() { _ = c.Close() })
			s.talk(c)
			hangUp()
			_ = c.Close()
		}
		pause(ctx, 500*time.Millisecond)
	}
}

// talk sends what there is to send, and stays until it is hung up on.
func (s stranger) talk(c net.Conn) {
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for rest := s.send; len(rest) > 0; {
			n := len(rest)
			if s.pause > 0 {
				n = 1
			}
			if _, err := c.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			time.Sleep(s.pause)
		}
	})
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// until waits for something that must happen.
func until(so func() bool) {
	for !so() {
		time.Sleep(10 * time.Millisecond)
	}
}

func (n *Node) hasPeers(want int) bool {
	in, out := n.ConnectionCount()
	return in+out == want
}

// TestStrangersOverSockets opens 500 sockets on this machine that send garbage,
// slow bytes or nothing, and are opened again when they are closed: a new block of
// an honest peer still gets to the others, a new peer still gets in, memory stays
// bounded, and no goroutine is left behind. How long a block takes is logged; it
// is only bounded where the clock is virtual, see TestStrangersOverTCP.
func TestStrangersOverSockets(t *testing.T) {
	const sockets = 500
	ws, wsURL := listening(t)
	tcp, tcpURL := listeningTCP(t)
	spec := regtest(t)
	n, _ := realNode(t, func(c *Config) { c.Listen, c.ListenTCP = ws, tcp })
	_, source := realNode(t, func(c *Config) { c.Connect = []string{wsURL} })
	_, bySocket := realNode(t, func(c *Config) { c.Connect = []string{wsURL} })
	_, byTCP := realNode(t, func(c *Config) { c.Connect = []string{tcpURL} })
	late, lateLedger := realNode(t, func(*Config) {})
	until(func() bool { return n.hasPeers(3) })
	for name, all := range strangers(spec, ws.Addr().String()) {
		address := map[string]net.Addr{"WebSocket": ws.Addr(), "TCP": tcp.Addr()}[name].String()
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var visitors sync.WaitGroup
			var visits atomic.Int64
			for i := range sockets {
				visitors.Go(func() { all[i%len(all)].visit(ctx, address, &visits) })
			}
			url := map[string]string{"WebSocket": wsURL, "TCP": tcpURL}[name]
			if err := late.AddNode(url); err != nil {
				t.Fatal(err)
			}
			until(func() bool { return late.hasPeers(1) })

			var memory runtime.MemStats
			var slowest time.Duration
			for i := range 10 {
				until(func() bool { return visits.Load() >= int64(sockets*(i+2)/2) })
				block := mineOn(spec, source.Tip(), byte(i))
				start := time.Now()
				if err := source.AddBlock(block); err != nil {
					t.Fatal(err)
				}
				for _, ledger := range []*chain.Chain{bySocket, byTCP, lateLedger} {
					reach(t, ledger, block.Header.Hash())
				}
				slowest = max(slowest, time.Since(start))
				if runtime.ReadMemStats(&memory); memory.HeapInuse+memory.StackInuse > 200<<20 {
					t.Errorf("%d MB", (memory.HeapInuse+memory.StackInuse)>>20)
				}
			}
			peers := len(n.Peers())
			cancel()
			visitors.Wait()
			if err := late.RemoveNode(url); err != nil {
				t.Error(err)
			}
			until(func() bool {
				_ = late.Disconnect(0, url)                                // which may just be dialling
				return n.hasPeers(3) && runtime.NumGoroutine() <= before+5 // a few may be just ending, or only now begun
			})
			t.Logf("a block took at most %v; %d peers and would-be peers, %d visits, %d MB of memory, %d goroutines before and %d after",
				slowest, peers, visits.Load(), (memory.HeapInuse+memory.StackInuse)>>20, before, runtime.NumGoroutine())
		})
	}
}
