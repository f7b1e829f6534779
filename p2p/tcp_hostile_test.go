package p2p

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// 500 strangers connect by TCP who send garbage, slow bytes or nothing: a new
// block still reaches the honest peer within a second, memory stays bounded, and
// nothing of them is left (the bubble would not end).
func TestStrangersOverTCP(t *testing.T) {
	const strangers = 500
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		w.link(honest, s)
		l := &oneListener{conns: make(chan net.Conn, strangers), closed: make(chan struct{})}
		version := frame(t, cmdVersion, actorVersion(ProtocolVersion).append(nil))
		random := rand.New(rand.NewPCG(5, 0))
		for i := range strangers {
			there, here := net.Pipe()
			l.conns <- here
			go func() { _, _ = io.Copy(io.Discard, there) }()
			switch i % 4 {
			case 0: // garbage
				garbage := make([]byte, 1000)
				for j := range garbage {
					garbage[j] = byte(random.Uint32())
				}
				go func() { _, _ = there.Write(garbage) }()
			case 1: // garbage behind the magic
				b := append(w.spec.Defaults.Magic[:magicSize:magicSize], byte(random.Uint32()), byte(random.Uint32()))
				go func() { _, _ = there.Write(append(b, make([]byte, 100)...)) }()
			case 2: // slow bytes
				go func() {
					for at := range version {
						if _, err := there.Write(version[at : at+1]); err != nil {
							return
						}
						time.Sleep(100 * time.Millisecond) // virtual
					}
				}()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.serveTCP(ctx, l) }()
		for i := range 5 {
			s.feed(mineOn(w.spec, s.ledger.Tip(), byte(i)))
			if took := w.agree(s.ledger.Tip().Hash, honest); took > time.Second {
				t.Errorf("a block took %v", took)
			}
			time.Sleep(5 * time.Second) // virtual
		}
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapInuse > 200<<20 {
			t.Errorf("%d MB of heap", m.HeapInuse>>20)
		}
		w.until("the strangers have gone", func() bool { return len(s.Peers()) == 1 })
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
