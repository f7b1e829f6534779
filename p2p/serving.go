package p2p

import (
	"context"
	"runtime"
	"sync"
	"time"

	"lode/consensus"
	"lode/internal/clock"
)

const (
	// maxServedBytes bounds the memory of all answers that are made or on their
	// way, of blocks and other large things that are not in the cache;
	// maxInboundBytes, of which for peers that dialled this node. Each has one
	// answer at a time.
	maxServedBytes  = 64 << 20
	maxInboundBytes = 40 << 20
	// inboundShare is the part of the processors that inbound peers have
	// for what they ask, and for long messages that they send unasked.
	inboundShare = 4
	// servingBurst is what may be saved up of that.
	servingBurst = 100 * time.Millisecond
	// longMessage is from how many bytes on a message that nobody asked for
	// waits for its turn.
	longMessage = 32_000
)

// maxReceivedBytes bounds the memory of long messages that nobody asked for, from
// when longMessage bytes of them have come until they are handled, and
// maxInboundReceived, of which for inbound peers.
const (
	maxReceivedBytes   = 32 << 20
	maxInboundReceived = 24 << 20
)

// server hands out turns to the readers and writers of peers.
type server struct {
	steady *clock.Face

	mu    sync.Mutex // guards what follows
	turns turns
	lanes map[*turn]*lane
	timer *clock.Timer
}

// lane is the reader's or the writer's side of a peer, which works on one thing at
// a time.
type lane struct {
	turn  turn
	peer  *peer
	ready chan struct{} // has room for one: the turn has begun
	begun time.Time
}

func newServer(rates turnRates, steady *clock.Face) *server {
	return &server{steady: steady, lanes: make(map[*turn]*lane), turns: turns{rates: rates}}
}

// servingRates is for what peers ask, and receivingRates for what they send unasked,
// of which only the memory is bounded here: the work has its turn in serving.
func servingRates() turnRates {
	cores := time.Duration(runtime.GOMAXPROCS(0))
	return turnRates{
		bytes: maxServedBytes, inbound: maxInboundBytes,
		perSecond: cores * time.Second / inboundShare, burst: servingBurst,
	}
}

func receivingRates() turnRates {
	return turnRates{bytes: maxReceivedBytes, inbound: maxInboundReceived, perSecond: time.Hour, burst: time.Hour}
}

// openLanes gives a peer its accounts. Nothing is kept of it while it asks for nothing.
func (p *peer) openLanes() {
	work, memory := &account{inbound: p.inbound() && !p.trusted}, &account{inbound: p.inbound() && !p.trusted}
	p.reading = &lane{peer: p, turn: turn{account: work}, ready: make(chan struct{}, 1)}
	p.writing = &lane{peer: p, turn: turn{account: work}, ready: make(chan struct{}, 1)}
	p.receiving = &lane{peer: p, turn: turn{account: memory}, ready: make(chan struct{}, 1)}
	if c, ok := p.conn.(interface{ onLong(longFunc) }); ok {
		c.onLong(p.awaitRoom)
	}
}

// awaitRoom waits until there is memory for the rest of a long message. A peer that is
// slow to send it makes room for others, see turns.late.
func (p *peer) awaitRoom(command string, head []byte) (room int, err error) {
	if p.node.sync.awaits(p, command, head) {
		return 0, nil
	}
	p.hasRoom, room = true, payloadLimit(command)
	if err := p.node.readers.begin(p.ctx.Done(), p.receiving, turnLight, room); err != nil {
		return 0, err
	}
	p.node.readers.built(p.receiving, room, true)
	return room, nil
}

// begin waits until the lane may work on something of that kind that takes so many
// bytes at most, or the connection ends. finish must follow in any case.
func (v *server) begin(gone <-chan struct{}, l *lane, kind turnKind, bytes int) error {
	v.mu.Lock()
	l.turn.kind, l.turn.bytes = kind, int64(bytes)
	v.lanes[&l.turn] = l
	v.turns.ask(&l.turn)
	v.pump()
	v.mu.Unlock()
	select {
	case <-l.ready:
		l.begun = v.steady.Now()
		return nil
	case <-gone:
		return context.Canceled
	}
}

// built notes that what is left of the work is to send so many bytes, and whether
// they are memory of this answer alone.
func (v *server) built(l *lane, size int, held bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	cost := max(v.steady.Since(l.begun), leastCost(int64(size)))
	if !held {
		size = 0
	}
	v.turns.built(&l.turn, cost, int64(size))
	v.pump()
}

// finish ends what begin began.
func (v *server) finish(l *lane) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turns.built(&l.turn, v.steady.Since(l.begun), 0)
	v.turns.end(&l.turn)
	delete(v.lanes, &l.turn)
	select {
	case <-l.ready: // it was ready when the connection ended
	default:
	}
	v.pump()
}

// pump lets begin what may. The caller holds mu.
func (v *server) pump() {
	now := v.steady.Now()
	for t, ok := v.turns.next(now); ok; t, ok = v.turns.next(now) {
		v.lanes[t].ready <- struct{}{}
	}
	if t, ok := v.turns.late(now); ok {
		v.lanes[t].peer.drop(errSlowReader)
	}
	wait := v.turns.again(now)
	switch {
	case wait == 0:
	case v.timer == nil:
		v.timer = v.steady.AfterFunc(wait, func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.pump()
		})
	default:
		v.timer.Reset(wait)
	}
}

// largeMessage is from how many bytes on a message with transactions is handled while
// it holds one of a few slots: decoded it may take 24 times its size, as many empty
// slices.
const largeMessage = 200_000

// admit waits until a message may be looked at. A block that the peer was asked for
// waits for nothing but a slot; what takes long and was not asked for waits for its
// turn first, so that it never stands between a block and its slot.
func (p *peer) admit(command string, payload []byte) error {
	isBulk := command == cmdGetHeaders || command == cmdGetBlocks || len(payload) >= longMessage
	if isBulk && !p.node.sync.awaits(p, command, payload) {
		p.awaitVerdicts() // or others would wait for them too
		p.beginWait()
		p.hasTurn = true
		err := p.node.serving.begin(p.ctx.Done(), p.reading, turnHeavy, 0)
		p.endWait()
		if err != nil {
			return err
		}
	}
	switch command {
	case cmdBlock, cmdTx, cmdCmpctBlock, cmdBlockTxn:
		if len(payload) >= largeMessage {
			p.node.large <- struct{}{} // no other reader that holds one waits for this one
			p.holds = true
		}
	}
	return nil
}

// release gives back what the message took that was handled last.
func (p *peer) release() {
	if p.holds {
		p.holds = false
		<-p.node.large
	}
	if p.hasTurn {
		p.hasTurn = false
		p.node.serving.finish(p.reading)
	}
	if p.hasRoom {
		p.hasRoom = false
		p.node.readers.finish(p.receiving)
	}
}

// awaits reports whether a message is, or has parts of, a block that p was asked for,
// or is to send unasked, or the headers that it owes.
func (s *syncer) awaits(p *peer, command string, payload []byte) bool {
	var hash consensus.Hash
	switch {
	case command == cmdHeaders:
		s.mu.Lock()
		defer s.mu.Unlock()
		return !p.sync.asked.IsZero()
	case len(payload) < consensus.HeaderSize:
		return false
	case command == cmdCmpctBlock && s.isFast(p):
		return true
	case command == cmdBlock, command == cmdCmpctBlock:
		hash = consensus.DoubleSHA256(payload[:consensus.HeaderSize])
	case command == cmdBlockTxn:
		hash = consensus.Hash(payload[:32])
	default:
		return false
	}
	return s.asked(p, hash)
}
