package attack

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// honest is a peer that the node under attack has dialled by the operator's wish.
// It announces what it has and sends what it is asked for.
type honest struct {
	address string
	chain   *chaingen.Chain
	ready   chan struct{}
	before  func() // runs before a block is announced, if it is set

	mu      sync.Mutex // guards what follows
	w       *wire
	compact bool // the node wants compact blocks pushed
	best    consensus.Header
	sent    map[consensus.Hash]*consensus.Block
	txs     map[consensus.Hash]*consensus.Tx // by wtxid and by txid
}

func listenHonest(t *testing.T, chain *chaingen.Chain) *honest {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &honest{
		address: l.Addr().String(), chain: chain, ready: make(chan struct{}),
		sent: make(map[consensus.Hash]*consensus.Block), txs: make(map[consensus.Hash]*consensus.Tx),
		best: chain.Blocks[len(chain.Blocks)-1].Header,
	}
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = c.Close() })
			serving.Go(func() { defer c.Close(); h.serve(newWire(c, spec.Defaults.Magic)) })
		}
	})
	return h
}

func (h *honest) waitReady(t *testing.T) {
	t.Helper()
	select {
	case <-h.ready:
	case <-time.After(time.Minute):
		t.Fatal("the node does not dial its honest peer")
	}
}

func (h *honest) serve(w *wire) {
	if w.greet(false, h.chain.Tip().Height) != nil {
		return
	}
	if w.send("sendcmpct", append([]byte{0, 2}, make([]byte, 7)...)) != nil { // it speaks BIP152
		return
	}
	h.mu.Lock()
	first := h.w == nil
	h.w = w
	h.mu.Unlock()
	if first {
		close(h.ready)
	}
	for {
		command, payload, err := w.read()
		if err != nil {
			return
		}
		switch command {
		case "ping":
			err = w.send("pong", payload)
		case "sendcmpct":
			h.mu.Lock()
			h.compact = payload[0] == 1
			h.mu.Unlock()
		case "getheaders":
			h.mu.Lock()
			headers := h.headers()
			h.mu.Unlock()
			err = w.send("headers", headersPayload(headers...))
		case "getdata":
			h.answer(w, payload)
		}
		if err != nil {
			return
		}
	}
}

// headers are the last ones of the chain: the node knows the others. The caller
// holds mu.
func (h *honest) headers() (list []consensus.Header) {
	blocks := h.chain.Blocks
	for _, b := range blocks[max(1, len(blocks)-20):] {
		list = append(list, b.Header)
	}
	return list
}

func (h *honest) answer(w *wire, payload []byte) {
	invItems(payload, func(kind uint32, hash consensus.Hash) {
		h.mu.Lock()
		block, tx := h.sent[hash], h.txs[hash]
		h.mu.Unlock()
		switch {
		case block != nil && kind == kindCompact:
			_ = w.send("cmpctblock", compactPayload(block))
		case block != nil:
			_ = w.send("block", block.Bytes())
		case tx != nil:
			_ = w.send("tx", tx.Bytes())
		default:
			_ = w.send("notfound", invPayload(kind, hash))
		}
	})
}

// mine makes the next block, and tells nobody.
func (h *honest) mine() *consensus.Block {
	h.mu.Lock()
	defer h.mu.Unlock()
	block := h.chain.Next()
	if err := h.chain.Add(block); err != nil {
		panic(err)
	}
	h.sent[block.Header.Hash()] = block
	h.best = block.Header
	return block
}

// tip is the header of the last block, also before anybody was told of it.
func (h *honest) tip() consensus.Header {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.best
}

// announce tells the node of a block: in compact form where byHeader is false and
// the node takes that, else by its header.
func (h *honest) announce(block *consensus.Block, byHeader bool) error {
	h.mu.Lock()
	w, compact := h.w, h.compact && !byHeader
	h.mu.Unlock()
	if compact {
		return w.send("cmpctblock", compactPayload(block))
	}
	return w.send("headers", headersPayload(block.Header))
}

// pay makes a transaction of one mature coin that no other has spent.
func (h *honest) pay() *consensus.Tx {
	h.mu.Lock()
	defer h.mu.Unlock()
	for out, coin := range h.chain.Coins {
		if coin.Coinbase || h.spends(out) {
			continue
		}
		tx := &consensus.Tx{
			Version: 2,
			In:      []consensus.TxIn{{PrevOut: out, Sequence: 0xfffffffd}},
			Out:     []consensus.TxOut{{Value: coin.Value - 1000, Script: h.chain.Script()}},
		}
		h.chain.Sign(tx, []consensus.Coin{coin})
		h.txs[tx.WTxID()], h.txs[tx.TxID()] = tx, tx
		return tx
	}
	panic("no coin left")
}

func (h *honest) spends(out consensus.OutPoint) bool {
	for _, tx := range h.txs {
		if slices.ContainsFunc(tx.In, func(in consensus.TxIn) bool { return in.PrevOut == out }) {
			return true
		}
	}
	return false
}
