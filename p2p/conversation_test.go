package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
)

// A conversation is a string of steps; a step is an operation, an argument, and,
// where the operation says so, bytes of its own. Every string is a conversation,
// so that the fuzzer can cut, join and repeat them.
const (
	opSend      = iota // the sample message number arg as it is
	opMutate           // likewise, with a byte changed as the next two bytes say
	opTruncate         // likewise, without its last bytes, their number in the next byte
	opRaw              // a command number arg, with a payload of the next byte's length
	opUnknown          // an unknown command
	opWait             // time passes: arg seconds
	opMine             // the node's own miner finds a block
	opHeaders          // arg headers on top of the node's tip
	opBlock            // a block on top of the node's tip, valid if arg is even
	opTx               // a transaction that spends coin number arg
	opAnswer           // what the node asks for is answered
	opReconnect        // hang up and call again from another address, without a handshake if arg is odd
	opSecond           // another link of the same kind begins to talk
	opCompact          // a block on top of the node's tip in compact form, spoilt in the way that arg says
	opCount
)

// player is the other side of a conversation.
type player struct {
	t      *testing.T
	spec   *consensus.Spec
	ledger *chain.Chain
	node   *Node
	coins  []*consensus.Tx
	blocks []*consensus.Block // that it has made
	said   []message          // samples to choose from
	links  []*playerLink
	calls  int
}

type playerLink struct {
	conn  Conn
	asked chan invItem // by getdata of the node
}

// call connects to the node and reads what it says, at last until it hangs up.
func (p *player) call(handshake bool) {
	p.calls++
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(p.calls >> 8), byte(p.calls)}), 1)
	a, b := Pipe(net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:1")), 0)
	l := &playerLink{conn: a, asked: make(chan invItem, 1000)}
	p.links = append(p.links, l)
	p.node.Accept(b)
	go func() {
		for {
			command, payload, err := a.ReadMessage()
			if err != nil {
				return
			}
			m, err := decodeMessage(command, payload)
			if err != nil {
				p.t.Errorf("the node sent %s that cannot be read: %v", command, err)
				return
			}
			var items []invItem
			if inv, ok := m.(*msgInv); ok && inv.cmd == cmdGetData {
				items = inv.items
			} else if get, ok := m.(*msgGetBlockTxn); ok {
				items = []invItem{{invCmpct, get.hash}}
			}
			for _, item := range items {
				select {
				case l.asked <- item:
				default:
				}
			}
		}
	}()
	if handshake {
		for _, m := range []message{actorVersion(ProtocolVersion), msgEmpty(cmdWTxIDRelay), msgEmpty(cmdSendAddrV2), msgEmpty(cmdSendAddrURL), msgEmpty(cmdVerack)} {
			p.send(m.command(), m.append(nil))
		}
	}
}

func (p *player) link() *playerLink { return p.links[len(p.links)-1] }

// send does not mind if the node has hung up.
func (p *player) send(command string, payload []byte) {
	_ = p.link().conn.WriteMessage(command, payload)
	synctest.Wait()
}

func (p *player) say(m message) { p.send(m.command(), m.append(nil)) }

// take cuts n bytes off the script, or as many as are left, and zeros for the rest.
func take(script *[]byte, n int) []byte {
	b := make([]byte, n)
	*script = (*script)[copy(b, *script):]
	return b
}

// step plays one step.
func (p *player) step(op, arg byte, script *[]byte) {
	sample := p.said[int(arg)%len(p.said)]
	payload := sample.append(nil)
	switch op % opCount {
	case opSend:
		p.say(sample)
	case opMutate:
		at := take(script, 2)
		if len(payload) > 0 {
			payload[int(at[0])%len(payload)] ^= at[1]
		}
		p.send(sample.command(), payload)
	case opTruncate:
		p.send(sample.command(), payload[:max(0, len(payload)-int(take(script, 1)[0]))])
	case opRaw:
		p.send(sample.command(), take(script, int(take(script, 1)[0])))
	case opUnknown:
		p.send("hello", []byte{arg})
	case opWait:
		time.Sleep(time.Duration(arg) * time.Second) // virtual
	case opMine:
		if err := p.ledger.AddBlock(mineOn(p.spec, p.ledger.Tip(), arg)); err != nil {
			p.t.Fatal(err)
		}
	case opHeaders:
		blocks := mine(p.spec, p.ledger.Tip(), arg, int(arg%20)+1)
		p.blocks = append(p.blocks, blocks...)
		p.say(headersOf(blocks))
	case opBlock:
		b := mineOn(p.spec, p.ledger.Tip(), arg)
		if arg%2 == 1 {
			b.Txs[0].Out[0].Value++
			b.Seal()
			work(p.spec, b)
		}
		p.say(msgBlock{b})
	case opTx:
		p.say(msgTx{spend(p.coins[int(arg)%len(p.coins)], consensus.Amount(arg)*100)})
	case opAnswer:
		p.answer(arg)
	case opReconnect:
		_ = p.link().conn.Close("")
		p.call(arg%2 == 0)
	case opSecond:
		p.call(arg%2 == 0)
	case opCompact:
		p.compact(arg)
	}
	synctest.Wait()
}

// compact sends a block with one transaction that the node may not have.
func (p *player) compact(arg byte) {
	p.say(msgSendCmpct{arg%2 == 0, compactVersion})
	b := mineOn(p.spec, p.ledger.Tip(), arg, spend(p.coins[int(arg)%len(p.coins)], 1000))
	p.blocks = append(p.blocks, b)
	m, _ := compactOf(b, uint64(arg))
	switch arg % 8 {
	case 1:
		m.shortIDs = append(m.shortIDs, m.shortIDs...)
	case 2:
		m.shortIDs[0]++
	case 3:
		m.prefilled[0].tx = b.Txs[1]
	case 4:
		m.prefilled, m.shortIDs = append(m.prefilled, placedTx{1, b.Txs[1]}), nil
	case 5:
		m.header.Nonce++
	}
	p.say(m)
	p.say(&msgGetBlockTxn{b.Header.Hash(), []uint16{uint16(arg % 3)}})
}

// answer gives what the node has asked for, if the player has it.
func (p *player) answer(arg byte) {
	for range arg {
		select {
		case item := <-p.link().asked:
			i := slices.IndexFunc(p.blocks, func(b *consensus.Block) bool { return b.Header.Hash() == item.hash })
			switch {
			case i < 0:
				p.say(&msgInv{cmdNotFound, []invItem{item}})
			case item.kind == invCmpct:
				p.say(&msgBlockTxn{item.hash, p.blocks[i].Txs[1:]})
			default:
				p.say(msgBlock{p.blocks[i]})
			}
		default:
			return
		}
	}
}

// bounded checks what a node keeps for its peers.
func (p *player) bounded() {
	n := p.node
	for _, q := range n.ready() {
		q.out.mu.Lock()
		messages, size, requests := len(q.out.messages), q.out.bytes, len(q.out.requests)
		q.out.mu.Unlock()
		if messages > maxQueuedMessages || size > maxQueuedBytes || requests > maxQueuedRequests {
			p.t.Errorf("queued for one peer: %d messages, %d bytes, %d requests", messages, size, requests)
		}
	}
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	if len(n.sync.requests) > maxBlocksInFlight*len(n.sync.peers) {
		p.t.Errorf("%d blocks asked for of %d peers", len(n.sync.requests), len(n.sync.peers))
	}
	if len(n.sync.fast) > maxFast {
		p.t.Errorf("%d peers are to announce at once", len(n.sync.fast))
	}
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	for q := range n.relay.peers {
		if q.relay.assigned > maxTxAssigned || q.relay.inFlight > maxTxInFlight || q.relay.assigned < q.relay.inFlight || q.relay.inFlight < 0 {
			p.t.Errorf("%d transactions assigned, %d in flight", q.relay.assigned, q.relay.inFlight)
		}
	}
	if len(n.relay.orphans) > maxOrphans || len(n.relay.ready) > maxReady {
		p.t.Errorf("%d orphans, %d to be tried again", len(n.relay.orphans), len(n.relay.ready))
	}
	if len(n.relay.peers) == 0 && len(n.relay.requests) > 0 || len(n.sync.peers) == 0 && len(n.sync.requests) > 0 {
		p.t.Errorf("with no peer left, %d transactions and %d blocks are asked for", len(n.relay.requests), len(n.sync.requests))
	}
}

// maxSteps bounds a conversation.
const maxSteps = 200

// converse plays a conversation with a node of its own. If the first byte is
// odd, the node knows that the chain must have much work.
func converse(t *testing.T, script []byte) {
	spec := regtest(t)
	if take(&script, 1)[0]%2 == 1 {
		spec = needing(spec, 2*maxHeaders+100)
	}
	ledger, err := chain.Open(chain.Config{Dir: t.TempDir(), Spec: spec, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	pool := mempool.New(mempool.Config{Ledger: ledger, Sigs: sigcheck.New(1000), Policy: mempool.DefaultPolicy(), Now: now})
	node := New(Config{
		Spec: spec, Chain: ledger, Pool: pool, Outbound: -1, UserAgent: "/fuzz/", Advertise: "ws://192.0.2.1:1",
		Dial: func(context.Context, string) (Conn, error) { return nil, errUnreachable },
		Log:  slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	synctest.Wait()

	p := &player{t: t, spec: spec, ledger: ledger, node: node, said: samples(t)}
	for _, b := range mine(spec, ledger.Tip(), 0, 3) {
		if err := ledger.AddBlock(b); err != nil {
			t.Fatal(err)
		}
		p.coins, p.blocks = append(p.coins, b.Txs[0]), append(p.blocks, b)
	}
	if len(p.said) != sampleInv {
		t.Fatalf("%d samples: the seeds are out of step", len(p.said))
	}
	p.said = append(p.said, p.own()...)
	p.call(true)
	for steps := 0; len(script) > 0 && steps < maxSteps; steps++ {
		head := take(&script, 2)
		p.step(head[0], head[1], &script)
		p.bounded()
	}
	for _, l := range p.links {
		_ = l.conn.Close("")
	}
	synctest.Wait()
	p.bounded()
	if peers := node.Peers(); len(peers) > 0 {
		t.Errorf("%d peers have gone and are still known", len(peers))
	}
	cancel()
	if err := errors.Join(<-ended, ledger.Close()); err != nil {
		t.Error(err)
	}
	time.Sleep(2 * time.Second) // virtual: LevelDB takes one to end after Close
}

// Where some of the samples stand, for the seeds.
const (
	sampleInv  = 27 // the first of own
	sampleLong = sampleInv + 12
	sampleLast = sampleLong + 3
)

// own are messages about the blocks of this conversation.
func (p *player) own() []message {
	genesis, first := p.spec.Rules.GenesisHash(), p.blocks[0].Header.Hash()
	many := make([]invItem, 2000)
	for i := range many {
		many[i].kind = invWTx
		binary.LittleEndian.PutUint32(many[i].hash[:], uint32(i))
	}
	side := mine(p.spec, p.spec.Rules.GenesisState(), 9, 5)
	p.blocks = append(p.blocks, side...)
	return []message{
		&msgInv{cmdInv, []invItem{{invBlock, first}, {invBlock, consensus.Hash{1}}, {invTx, consensus.Hash{2}}}},
		&msgInv{cmdInv, many}, &msgInv{cmdGetData, many}, &msgInv{cmdNotFound, many},
		&msgInv{cmdGetData, []invItem{{invBlock, first}, {invBlock | invWitness, first}, {invBlock, consensus.Hash{1}}}},
		&msgLocate{cmdGetHeaders, ProtocolVersion, []consensus.Hash{genesis}, consensus.Hash{}},
		&msgLocate{cmdGetHeaders, ProtocolVersion, nil, first},
		&msgLocate{cmdGetBlocks, ProtocolVersion, []consensus.Hash{first}, consensus.Hash{}},
		headersOf(side), headersOf(side[3:]), msgBlock{side[0]}, msgBlock{side[4]},
		headersOf(longChain(p.t, maxHeaders)), headersOf(longChain(p.t, 2*maxHeaders)[maxHeaders:]), headersOf(longChain(p.t, 2*maxHeaders+200)[2*maxHeaders:]),
		msgTx{spend(spend(p.coins[0], 1000), 1000)},
	}
}

// FuzzConversation has a stranger talk to a node in every way: whatever comes in
// whatever order, the node must not crash, hang, leave goroutines behind (the
// bubble would not end) or keep more than its bounds.
func FuzzConversation(f *testing.F) {
	for _, script := range [][]byte{
		{},
		{0, opSend, 0, opSend, 2, opSend, 5},
		{0, opHeaders, 7, opAnswer, 3, opWait, 5, opAnswer, 20, opMine, 1, opWait, 1},
		{0, opBlock, 0, opBlock, 1, opReconnect, 0, opBlock, 2},
		{0, opTx, 0, opTx, 1, opSend, sampleLast, opMine, 3, opWait, 2},
		{0, opSend, sampleInv, opSend, sampleInv + 3, opWait, 30, opSend, sampleInv + 4, opWait, 200},
		{0, opSecond, 0, opHeaders, 19, opWait, 11, opSecond, 0, opHeaders, 3, opWait, 130, opAnswer, 16},
		{0, opCompact, 0, opAnswer, 9, opCompact, 6, opMine, 1, opAnswer, 9, opCompact, 8, opAnswer, 9, opMine, 2, opWait, 1},
		{0, opCompact, 1, opAnswer, 9, opCompact, 2, opCompact, 3, opAnswer, 9, opAnswer, 9, opCompact, 4, opReconnect, 0, opCompact, 5},
		{0, opReconnect, 1, opSend, 0, opSend, 0, opUnknown, 0, opWait, 31},
		{0, opMutate, 20, 3, 1, opReconnect, 0, opTruncate, 23, 1, opReconnect, 0, opRaw, 11, 4, 1, 2, 3, 4},
		{0, opSend, sampleLong - 3, opSend, sampleLong - 4, opAnswer, 5, opSend, sampleLong - 1, opSend, sampleLong - 2, opWait, 2},
		{1, opSend, sampleLong, opSend, sampleLong + 1, opSend, sampleLong + 2, opSend, sampleLong, opSend, sampleLong + 1, opSend, sampleLong + 2, opWait, 2},
		{1, opSend, sampleLong, opSend, sampleLong + 1, opSend, sampleLong + 2, opSend, sampleLong, opSend, sampleLong, opWait, 200},
	} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) { converse(t, script) })
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapAlloc > 512<<20 {
			t.Errorf("%d MB of heap", m.HeapAlloc>>20)
		}
	})
}
