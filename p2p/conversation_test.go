package p2p

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
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
	opMine             // the node's own miner finds a block, with some of the pool
	opHeaders          // arg headers on top of the node's tip
	opFork             // arg headers on top of a block below it
	opBlock            // a block on top of the node's tip, changed in the way that arg says
	opTx               // a transaction that spends number arg, in the way that the next byte says
	opAnswer           // up to arg things that the node has asked for are given, all at once if arg is at least 128
	opPong             // the answer to the last ping, wrong if arg is odd
	opReconnect        // hang up and call again from another address, the handshake as arg says
	opSecond           // another link begins to talk, of a kind and with a handshake as arg says
	opTurn             // the link number arg goes on
	opCompact          // a block on top of the node's tip in compact form, spoilt in the way that arg says
	opAddrs            // arg addresses
	opSubmit           // somebody gives the node a transaction that spends number arg
	opCount
)

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
	if known := len(n.book.all()); known > maxBook {
		p.t.Errorf("%d addresses", known)
	}
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	if err := errors.Join(n.relay.requests.Check(), n.relay.orphans.Check()); err != nil {
		p.t.Error(err)
	}
	if len(n.relay.peers) == 0 && n.relay.requests.Size()+n.relay.orphans.Len() > 0 || len(n.sync.peers) == 0 && len(n.sync.requests) > 0 {
		p.t.Errorf("with no peer left, %d transactions and %d blocks are asked for, and there are %d orphans",
			n.relay.requests.Size(), len(n.sync.requests), n.relay.orphans.Len())
	}
}

// maxSteps bounds a conversation.
const maxSteps = 200

// ripe is regtest with coins that can be spent soon, so that a conversation gets
// to transactions.
func ripe(t testing.TB) *consensus.Spec {
	spec := *regtest(t)
	spec.Rules.Maturity = 2
	return &spec
}

// converse plays a conversation with a node of its own. If the first byte is
// odd, the node knows that the chain must have much work.
func converse(t *testing.T, script []byte) {
	spec := ripe(t)
	if take(&script, 1)[0]%2 == 1 {
		spec = needing(spec, 2*maxHeaders+100)
	}
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	policy := mempool.DefaultPolicy()
	policy.MaxMemory = 20_000 // a dozen transactions: it may well be full
	pool := mempool.New(mempool.Config{Ledger: ledger, Sigs: sigcheck.New(1000), Policy: policy, Now: now})
	ledger.Subscribe(func() {
		if err := pool.Sync(); err != nil {
			t.Error(err)
		}
	})
	node := New(Config{
		Spec: spec, Chain: ledger, Pool: pool, Outbound: -1, UserAgent: "/fuzz/", Advertise: []string{"ws://192.0.2.1:1"},
		Dial: func(context.Context, string) (Conn, error) { return nil, errUnreachable },
		Log:  slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	synctest.Wait()

	p := &player{t: t, spec: spec, ledger: ledger, node: node, said: samples(t)}
	for range coinsAtFirst {
		p.feed(mineOn(spec, ledger.Tip(), 0))
	}
	if len(p.said) != sampleInv {
		t.Fatalf("%d samples: the seeds are out of step", len(p.said))
	}
	p.said = append(p.said, p.own()...)
	p.call(kindInbound)
	p.shake(0)
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

// The seeds, by what they reach.
var conversations = [][]byte{
	{},
	{0, opSend, 0, opSend, 2, opSend, 5},
	// Blocks: headers, bodies, forks, changed ones.
	{0, opHeaders, 7, opAnswer, 3, opWait, 5, opAnswer, 20, opMine, 1, opWait, 1},
	{0, opFork, 3, opAnswer, 20, opWait, 1, opFork, 7, opAnswer, 20, opWait, 1, opMine, 0, opFork, 1, opAnswer, 20},
	{0, opBlock, 0, opBlock, 6, opBlock, 4, opWait, 130, opBlock, 8, opBlock, 2, opReconnect, 0, opBlock, 3, opReconnect, 0, opBlock, 1, opReconnect, 0, opBlock, 5},
	{0, opSend, sampleGet, opSend, sampleGet + 1, opSend, sampleGet + 2, opSend, sampleGet + 3, opSend, sampleGet + 4, opWait, 1},
	{0, opSend, sampleLong - 3, opSend, sampleLong - 4, opAnswer, 9, opSend, sampleLong - 1, opSend, sampleLong - 2, opWait, 2, opAnswer, 9},
	{0, opHeaders, 19, opAnswer, 255, opWait, 1, opAnswer, 255, opFork, 19, opAnswer, 200, opWait, 1, opAnswer, 200},
	{0, opHeaders, 19, opAnswer, 2, opMutate, 17, 5, 1, opWait, 40, opAnswer, 30},
	{0, opSend, 5, opMine, 0, opSend, 8, opSend, 16, opSend, 15, opSend, 18, opSend, 20, opSend, 17, opWait, 1},
	// Headers with too little work, honest and not.
	{1, opSend, sampleLong, opSend, sampleLong + 1, opSend, sampleLong + 2, opSend, sampleLong, opSend, sampleLong + 1, opSend, sampleLong + 2, opWait, 2},
	{1, opSend, sampleLong, opSend, sampleLong + 1, opSend, sampleLong + 2, opSend, sampleLong, opSend, sampleLong, opWait, 200},
	// Transactions: sent, announced, orphans, pairs, refused ones.
	{0, opTx, 0, 0, opTx, 1, txAnnounced, opAnswer, 9, opWait, 30, opSend, 13, opMine, 3, opWait, 2, opTx, 7, 0, opTx, 0, txDear, opSubmit, 2, opSubmit, 2, opWait, 60, opWait, 255, opWait, 255, opWait, 255, opWait, 255},
	{0, opTx, 0, 0, opTx, 6, txNowhere, opTx, 6, txNowhere, opMine, 1, opWait, 2, opTx, 7, 0},
	{0, opSend, sampleLast, opTx, 0, 0, opAnswer, 3, opTx, 1, txSpoilt, opTx, 1, txStripped, opTx, 1, txFree, opMine, 3, opWait, 2},
	{0, opTx, 0, txFree | txV3 | txAnnounced, opAnswer, 3, opTx, 6, txV3 | txAnnounced, opAnswer, 1, opAnswer, 1, opWait, 10},
	{0, opTx, 0, txFree | txV3, opTx, 6, txV3 | txSpoilt, opAnswer, 9, opTx, 6, txV3, opSecond, 0, opAnswer, 9, opTx, 6, txV3, opAnswer, 9},
	{0, opTx, 0, 0, opTx, 6, 0, opTx, 7, 0, opTx, 8, 0, opTx, 9, 0, opTx, 10, 0, opTx, 1, 0, opTx, 12, 0, opTx, 13, 0, opTx, 14, 0, opTx, 15, 0,
		opTx, 2, 0, opTx, 17, 0, opTx, 18, 0, opTx, 3, txDear, opTx, 4, txDear, opWait, 6, opTx, 5, 0, opTx, 22, txDear, opAnswer, 9},
	{0, opSend, sampleInv, opSend, sampleInv + 1, opSend, sampleInv + 3, opWait, 30, opSend, sampleInv + 2, opWait, 200},
	{0, opReconnect, 1, opTx, 0, txAnnounced, opAnswer, 2, opSubmit, 1, opWait, 60, opSend, 13, opAddrs, 3, opSend, 10},
	{0, opReconnect, 5, opTx, 0, txAnnounced, opAnswer, 2, opTx, 6, txAnnounced, opAnswer, 2, opSend, 7, opSubmit, 2, opWait, 60},
	// Compact blocks: known, unknown, spoilt, asked for.
	{0, opCompact, 0, opAnswer, 9, opCompact, 6, opMine, 1, opAnswer, 9, opCompact, 8, opAnswer, 9, opMine, 2, opWait, 1},
	{0, opCompact, 1, opAnswer, 9, opCompact, 2, opCompact, 3, opAnswer, 9, opAnswer, 9, opCompact, 4, opReconnect, 0, opCompact, 5},
	{0, opTx, 1, 0, opTx, 2, 0, opCompact, 32, opCompact, 34, opAnswer, 9, opCompact, 7, opSend, 25, opAnswer, 9, opWait, 30},
	{0, opSecond, 0, opCompact, 0, opTurn, 0, opCompact, 0, opAnswer, 9, opSecond, 1, opCompact, 7, opTurn, 1, opAnswer, 9, opMine, 0, opWait, 20},
	{0, opTx, 1, 0, opCompact, 11, opCompact, 10, opCompact, 9, opAnswer, 9, opReconnect, 0, opCompact, 12, opReconnect, 0, opCompact, 32 + 9, opAnswer, 9},
	{0, opSecond, 1, opSecond, 0, opSecond, 0, opSecond, 0, opCompact, 0, opAnswer, 9, opTurn, 0, opCompact, 1, opAnswer, 9, opCompact, 32, opTurn, 0,
		opCompact, 34, opAnswer, 9, opTurn, 0, opCompact, 36, opAnswer, 9, opTurn, 0, opCompact, 38, opAnswer, 9, opMine, 0, opWait, 1},
	{0, opHeaders, 3, opCompact, 0, opAnswer, 1, opCompact, 0, opMine, 0, opMine, 0, opMine, 0, opMine, 0, opMine, 0, opMine, 0, opSend, sampleGet, opSend, sampleGet + 4, opSend, 24},
	// Several links, of every kind, and time.
	{0, opSecond, 0, opHeaders, 19, opWait, 11, opSecond, 0, opHeaders, 3, opWait, 130, opAnswer, 16},
	{0, opSecond, 1, opAddrs, 9, opSecond, 2, opTx, 0, 0, opSecond, 3, opAddrs, 200, opSend, 6, opSecond, 4, opTurn, 0, opSend, 6, opAddrs, 5, opWait, 1},
	{0, opSecond, 6, opSecond, 11, opSecond, 16, opSecond, 21, opSecond, 26, opSecond, 31, opSecond, 36, opWait, 1},
	{0, opWait, 130, opPong, 1, opPong, 0, opWait, 255, opWait, 255, opPong, 0, opWait, 255, opWait, 255, opWait, 255, opWait, 255, opWait, 255},
	{0, opReconnect, 7, opSend, 0, opSend, 0, opUnknown, 0, opWait, 31},
	{0, opReconnect, 2, opHeaders, 2, opAnswer, 9, opReconnect, 3, opHeaders, 1, opAnswer, 9, opReconnect, 4, opSend, 4, opReconnect, 6, opMine, 0, opWait, 1},
	// What cannot be read.
	{0, opMutate, 20, 3, 1, opReconnect, 0, opTruncate, 23, 1, opReconnect, 0, opRaw, 11, 4, 1, 2, 3, 4},
}

// FuzzConversation has a stranger talk to a node in every way: whatever comes in
// whatever order, the node must not crash, hang, leave goroutines behind (the
// bubble would not end) or keep more than its bounds.
func FuzzConversation(f *testing.F) {
	for _, script := range conversations {
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
