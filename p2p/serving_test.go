package p2p

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/internal/clock"
)

// bulkyBlocks are blocks of about so many bytes each, after a state.
func bulkyBlocks(spec *consensus.Spec, s consensus.State, count, size int) (blocks []*consensus.Block) {
	for range count {
		b := mineOn(spec, s, 1)
		b.Txs[0].Out = append(b.Txs[0].Out, consensus.TxOut{Script: append([]byte{0x6a}, make([]byte, size)...)})
		b.Seal()
		work(spec, b)
		blocks = append(blocks, b)
		s = spec.Rules.NextState(s, &b.Header)
	}
	return blocks
}

// Peers ask for many old blocks and read none: what is made for them is bounded, each
// has one answer at a time, and the slowest make room for one who waits. A peer that
// this node dialled, and whoever asks for the tip, do not have to wait for that.
func TestAnswersThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Clock = nowClock() })
		const size = 900_000
		blocks := bulkyBlocks(w.spec, w.spec.Rules.GenesisState(), maxTxsDepth+5, size)
		s.feed(blocks...)
		s.serving.mu.Lock()
		s.serving.turns.rates.bytes, s.serving.turns.rates.inbound = 4*maxPayload, 2*maxPayload
		s.serving.mu.Unlock()
		old, tip := []invItem{{invBlock, blocks[0].Header.Hash()}, {invBlock | invWitness, blocks[1].Header.Hash()}}, blocks[len(blocks)-1]
		var silent []*stuck
		for i := range 20 {
			from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(fmt.Sprintf("203.0.%d.1:1", i)))
			a, b := Pipe(from, s.addr, w.latency)
			conn := &stuck{Conn: b, closed: make(chan struct{})}
			s.Accept(conn)
			actor := &actor{Conn: a, t: t}
			actor.shake(ProtocolVersion)
			time.Sleep(time.Second) // virtual: what follows the handshake
			conn.full.Store(true)
			actor.say(&msgInv{cmdGetData, old})
			silent = append(silent, conn)
			t.Cleanup(func() { _ = a.Close("") })
		}
		time.Sleep(time.Second) // virtual
		held := func() (bytes int64, turns int) {
			s.serving.mu.Lock()
			defer s.serving.mu.Unlock()
			return s.serving.turns.bytes, len(s.serving.turns.holding)
		}
		if bytes, turns := held(); bytes > 2*maxPayload || turns == 0 || turns > 2*maxPayload/size {
			t.Errorf("%d answers with %d bytes are held", turns, bytes)
		}
		for kind, ask := range map[connectionKind]invItem{
			kindInbound: {invBlock | invWitness, tip.Header.Hash()},
			kindManual:  old[0],
		} {
			a := w.callAs(s, kind, "198.51.100.1:1")
			a.shake(ProtocolVersion)
			start := time.Now()
			a.say(&msgInv{cmdGetData, []invItem{ask}})
			a.hear(cmdBlock)
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s peer: %v", kind, took)
			}
		}
		honest := w.call(s, "198.51.100.2:1")
		honest.shake(ProtocolVersion)
		start := time.Now()
		honest.say(&msgInv{cmdGetData, old[:1]})
		honest.hear(cmdBlock)
		if took := time.Since(start); took > 4*holdPatience { // 20 of them, of whom 9 are served at a time
			t.Errorf("an old block took %v", took)
		}
		for _, c := range silent {
			_ = c.Close("")
		}
		w.until("all is given back", func() bool { _, turns := held(); return turns == 0 })
	})
}

// A peer that begins long messages and does not end them makes room for others.
func TestLongMessagesHaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newServer(turnRates{bytes: 1000, inbound: 1000, perSecond: time.Hour, burst: time.Hour}, clock.New(nil).Steady)
		lane := func() (*lane, context.Context) {
			ctx, drop := context.WithCancelCause(t.Context())
			p := &peer{kind: kindInbound, drop: drop}
			return &lane{peer: p, turn: turn{account: &account{inbound: true}}, ready: make(chan struct{}, 1)}, ctx
		}
		slow, gone := lane()
		if err := v.begin(gone.Done(), slow, turnLight, 800); err != nil {
			t.Fatal(err)
		}
		v.built(slow, 800, true)
		go func() {
			<-gone.Done()
			v.finish(slow)
		}()
		next, ctx := lane()
		start := time.Now()
		if err := v.begin(ctx.Done(), next, turnLight, 800); err != nil || time.Since(start) != holdPatience {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		v.finish(next)
		synctest.Wait()
		if len(v.lanes) > 0 || v.turns.bytes != 0 {
			t.Errorf("%d lanes, %d bytes are kept", len(v.lanes), v.turns.bytes)
		}
	})
}

// stuck is a connection whose other side does not read from some time on.
type stuck struct {
	Conn
	full   atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (c *stuck) WriteMessage(command string, payload []byte) error {
	if c.full.Load() {
		<-c.closed
		return errClosed
	}
	return c.Conn.WriteMessage(command, payload)
}

func (c *stuck) Close(reason string) error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close(reason)
}
