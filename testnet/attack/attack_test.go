package attack

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"lode/consensus"
)

// Peers that announce what nobody has, and others that do nothing but come and go.
func TestChurn(t *testing.T) {
	v := startVictim(t)
	announcer := v.visitor(t, func(ctx context.Context, w *wire) error {
		for ctx.Err() == nil {
			if err := w.send("inv", invPayload(kindWTx, randomHashes(5000)...)); err != nil {
				return err
			}
			pauseFor(ctx, 10*time.Second)
		}
		return nil
	})
	strangers := many(scale(90, 20), announcer)
	for _, wandering := range []bool{false, false, true, true} {
		strangers = append(strangers, v.comesAndGoes(wandering))
	}
	v.under(judged(), false, strangers...)
}

// comesAndGoes is a stranger that finishes the handshake and hangs up, again and
// again, from one address or from many.
func (v *victim) comesAndGoes(wandering bool) stranger {
	return func(ctx context.Context, n int) {
		for i := 0; ctx.Err() == nil; i++ {
			from := address(n)
			if wandering {
				from = address(200 + n*4000 + i%4000)
			}
			w, err := dial(ctx, from, v.tcp, spec.Defaults.Magic)
			if err != nil {
				pauseFor(ctx, 10*time.Millisecond)
				continue
			}
			stop := context.AfterFunc(ctx, func() { _ = w.c.Close() })
			_ = w.greet(true, 0)
			stop()
			_ = w.c.Close()
		}
	}
}

// Peers that ask for one transaction of old blocks, a hundred times a second.
func TestOldTransactionsAskedFor(t *testing.T) {
	v := startVictim(t)
	old := v.fullHashes()
	v.under(judged(), false, many(scale(112, 24), v.visitor(t, func(ctx context.Context, w *wire) error {
		for i := 0; ctx.Err() == nil; i++ {
			hash := old[i%len(old)]
			payload := append(slices.Clone(hash[:]), 1, byte(1+i%100))
			if err := w.send("getblocktxn", payload); err != nil {
				return err
			}
			pauseFor(ctx, 10*time.Millisecond)
		}
		return nil
	}))...)
}

// Peers that ask for full blocks in every form, as fast as they come.
func TestBlocksAskedFor(t *testing.T) {
	v := startVictim(t)
	old := v.fullHashes()
	kinds := []uint32{kindBlock, kindBlock | kindWitness, kindCompact}
	v.under(judged(), false, many(scale(112, 24), v.visitor(t, func(ctx context.Context, w *wire) error {
		for i := 0; ctx.Err() == nil; i++ {
			if err := w.send("getdata", invPayload(kinds[i%len(kinds)], old...)); err != nil {
				return err
			}
			pauseFor(ctx, 10*time.Millisecond)
		}
		return nil
	}))...)
}

// Peers that ask for full blocks, and read nothing of what they asked for.
func TestAnswersNotRead(t *testing.T) {
	v := startVictim(t)
	old := v.fullHashes()
	v.under(judged(), false, many(scale(112, 24), func(ctx context.Context, n int) {
		for ctx.Err() == nil {
			w, err := dial(ctx, address(n), v.tcp, spec.Defaults.Magic)
			if err == nil {
				stop := context.AfterFunc(ctx, func() { _ = w.c.Close() })
				for w.greet(true, 0) == nil && ctx.Err() == nil {
					if w.send("getdata", invPayload(kindBlock|kindWitness, old...)) != nil {
						break
					}
					pauseFor(ctx, 20*time.Millisecond)
					if w.send("getdata", invPayload(kindBlock|kindWitness, old...)) != nil {
						break
					}
					<-ctx.Done()
				}
				stop()
				_ = w.c.Close()
			}
			pauseFor(ctx, 100*time.Millisecond)
		}
	})...)
}

// Peers that announce transactions that nobody has, 20,000 at a time.
func TestLargeInventories(t *testing.T) {
	v := startVictim(t)
	// They are made before, or making them would take more of the machine than
	// the node has.
	var strangers []stranger
	for range scale(112, 24) {
		var frames [2][]byte
		for i, kind := range []uint32{kindTx, kindWTx} {
			frames[i] = frame(spec.Defaults.Magic, "inv", invPayload(kind, randomHashes(20_000)...))
		}
		strangers = append(strangers, v.visitor(t, func(ctx context.Context, w *wire) error {
			for i := 0; ctx.Err() == nil; i++ {
				if err := w.write(frames[i%2]); err != nil {
					return err
				}
				pauseFor(ctx, 200*time.Millisecond)
			}
			return nil
		}))
	}
	v.under(judged(), false, strangers...)
}

// Peers that announce each honest block first, by its header, and never send it.
func TestFirstAnnouncersWithholdBlocks(t *testing.T) {
	for _, byHeader := range []bool{true, false} {
		name, b := "compact", judged()
		if byHeader {
			name, b = "headers", headerBounds()
		}
		t.Run(name, func(t *testing.T) {
			v := startVictim(t)
			v.block(byHeader) // whoever has sent a block may send the next ones unasked
			heard := make(chan struct{}, 1000)
			teaser := v.visitor(t, func(ctx context.Context, w *wire) error {
				for last := (consensus.Hash{}); ctx.Err() == nil; pauseFor(ctx, time.Millisecond) {
					header := v.honest.tip()
					if header.Hash() == last {
						continue
					}
					last = header.Hash()
					if err := w.send("headers", headersPayload(header)); err != nil {
						return err
					}
					heard <- struct{}{}
				}
				return nil
			})
			n := scale(40, 20)
			v.honest.before = func() { // the strangers are first
				for range n {
					select {
					case <-heard:
					case <-time.After(2 * time.Second):
						return
					}
				}
				time.Sleep(50 * time.Millisecond)
			}
			v.under(b, byHeader, many(n, teaser)...)
		})
	}
}

// Peers that announce an honest transaction first, and never send it.
func TestFirstAnnouncersWithholdTransactions(t *testing.T) {
	v := startVictim(t)
	tx := v.honest.pay()
	wtxid, txid := tx.WTxID(), tx.TxID()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	told := make(chan struct{}, 100)
	for n, attack := range many(12, v.visitor(t, func(ctx context.Context, w *wire) error {
		if err := w.send("inv", invPayload(kindWTx, wtxid)); err != nil {
			return err
		}
		told <- struct{}{}
		<-ctx.Done()
		return nil
	})) {
		go attack(ctx, n)
	}
	for range 12 {
		<-told
	}
	time.Sleep(200 * time.Millisecond)
	start := time.Now()
	if err := v.honest.w.send("inv", invPayload(kindWTx, wtxid)); err != nil {
		t.Fatal(err)
	}
	for v.call(nil, "getmempoolentry", txid.String()) != nil {
		if time.Since(start) > scale(5*time.Second, 60*time.Second) {
			t.Fatalf("a transaction of an honest peer that the node dialled has not come after %v", time.Since(start))
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("honest transaction: %v", time.Since(start).Round(time.Millisecond))
}

// A peer shows headers with more work, and withholds the blocks: work is still
// given at once, also while the peer goes on.
func TestHeadersWithoutBlocksDoNotStopMining(t *testing.T) {
	v := startVictim(t)
	v.under(judged(), false, v.visitor(t, func(ctx context.Context, w *wire) error {
		fork := grown.Fork(grown.Tip().Height-2, 99)
		for ctx.Err() == nil {
			var headers []consensus.Header
			for _, b := range fork.Extend(24) {
				headers = append(headers, b.Header)
			}
			if err := w.send("headers", headersPayload(headers...)); err != nil {
				return err
			}
			pauseFor(ctx, time.Second)
		}
		return nil
	}))
}

// Peers that send as many headers without blocks as they can make.
func TestHeaderFlood(t *testing.T) {
	v := startVictim(t)
	size := v.databaseSize()
	v.under(judged(), false, many(scale(24, 4), v.visitor(t, func(ctx context.Context, w *wire) error {
		after := grown.Blocks[len(grown.Blocks)-1-3].Header // above the threshold, so that it is worth storing
		parent, stamp := after.Hash(), after.Time
		for nonce := uint32(binary.LittleEndian.Uint32(randomHashes(1)[0][:])); ctx.Err() == nil; {
			headers := make([]consensus.Header, 2000)
			for i := range headers {
				stamp++
				h := consensus.Header{Version: 4, Prev: parent, Time: stamp, Bits: after.Bits, MerkleRoot: randomHashes(1)[0], Nonce: nonce}
				block := consensus.Block{Header: h}
				mineHeader(&block.Header)
				headers[i], parent = block.Header, block.Header.Hash()
			}
			if err := w.send("headers", headersPayload(headers...)); err != nil {
				return err
			}
		}
		return nil
	}))...)
	if grown := v.databaseSize() - size; grown > 32<<20 {
		t.Errorf("the flood left %d MB on disk", grown>>20)
	}
}

// mineHeader finds a nonce on a network of the lowest difficulty.
func mineHeader(h *consensus.Header) {
	target, _ := consensus.TargetFromBits(h.Bits)
	for !h.Hash().MeetsTarget(&target) {
		h.Nonce++
	}
}

// fullHashes are the hashes of the old blocks that are full.
func (v *victim) fullHashes() (list []consensus.Hash) {
	for _, b := range grown.Blocks {
		if len(b.Txs) > blockTxs/2 {
			list = append(list, b.Header.Hash())
		}
	}
	if len(list) == 0 {
		v.t.Fatal("no full block")
	}
	return list
}
