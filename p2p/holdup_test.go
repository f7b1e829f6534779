package p2p

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

func TestHoldUpEndsWithABlockOrThePatience(t *testing.T) {
	var h holdUp
	if h.over(time.Hour, holdUpPatience) {
		t.Error("cut without having held anything up")
	}
	if !h.begin(10*time.Second) || h.begin(11*time.Second) {
		t.Error("it begins once")
	}
	if h.over(12*time.Second-1, holdUpPatience) || !h.over(12*time.Second, holdUpPatience) || h.over(12*time.Second, 2*holdUpPatience) {
		t.Error("not cut after the patience")
	}
	h.came()
	if h.over(time.Hour, holdUpPatience) || !h.begin(time.Hour) {
		t.Error("a block that came did not free it")
	}
}

func TestPatienceGrowsAndFalls(t *testing.T) {
	var p patience
	var got []float64
	for range 7 {
		got = append(got, p.now().Seconds())
		p.cut()
	}
	if want := []float64{2, 4, 8, 16, 32, 64, 64}; !slices.Equal(got, want) {
		t.Errorf("with each that is cut: %v, want %v", got, want)
	}
	if !p.connected(1) || p.now() != 64*time.Second*85/100 {
		t.Errorf("after a block: %v", p.now())
	}
	if !p.connected(21) || p.now() != holdUpPatience {
		t.Errorf("after 22 blocks: %v", p.now())
	}
	if p.connected(1<<32 - 1) {
		t.Error("it falls below the least")
	}
}

// withholder gives all blocks that it is asked for, but some.
type withholder struct {
	*actor
	blocks map[consensus.Hash]*consensus.Block

	mu       sync.Mutex // guards what follows
	withheld map[consensus.Hash]bool
	asked    map[consensus.Hash]bool
}

func (w *world) withholder(s *station, i int, kind connectionKind, blocks []*consensus.Block, withheld ...int) *withholder {
	h := &withholder{w.choose(s, kind, fmt.Sprintf("203.%d.0.1:1", i)), make(map[consensus.Hash]*consensus.Block), sync.Mutex{}, make(map[consensus.Hash]bool), make(map[consensus.Hash]bool)}
	for _, b := range blocks {
		h.blocks[b.Header.Hash()] = b
	}
	for _, at := range withheld {
		h.withheld[blocks[at].Header.Hash()] = true
	}
	h.welcome(serviceNetwork | serviceWitness)
	h.hear(cmdSendHeaders)
	go h.serve()
	return h
}

func (h *withholder) serve() {
	for {
		command, payload, err := h.ReadMessage()
		if err != nil {
			return
		}
		m, _ := decodeMessage(command, payload)
		if m, ok := m.(*msgInv); ok && command == cmdGetData {
			for _, item := range m.items {
				h.give(item.hash, false)
			}
		}
		if ping, ok := m.(msgPing); ok {
			_ = h.WriteMessage(cmdPong, ping.append(nil))
		}
	}
}

// give sends a block, one that is withheld only if it was asked for and force says so.
func (h *withholder) give(hash consensus.Hash, force bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !force {
		h.asked[hash] = true
	}
	if h.blocks[hash] != nil && (!h.withheld[hash] || force && h.asked[hash]) {
		_ = h.WriteMessage(cmdBlock, msgBlock{h.blocks[hash]}.append(nil))
	}
}

// Who keeps the window from moving is cut after 2 s, the next after 4 s, and so on; who
// does so while nothing lies beyond the window is not. It is what Bitcoin Core's
// p2p_ibd_stalling asks.
func TestWhoHoldsUpTheWindowIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		const second = 500
		blocks := longChain(t, downloadWindow+1)
		var all []*withholder
		for i := range 5 {
			h := w.withholder(s, i, kindOutbound, blocks, 0, second)
			h.tell(headersOf(blocks[:downloadWindow]))
			all = append(all, h)
		}
		time.Sleep(5 * time.Second) // virtual
		if n := len(s.Peers()); n != 5 {
			t.Fatalf("%d peers are left of 5, while nothing waits for the missing blocks", n)
		}
		start := time.Now()
		for _, h := range all {
			h.tell(headersOf(blocks))
		}
		for left, most := 4, 2*time.Second; left >= 2; left, most = left-1, 2*most {
			w.until("one is cut", func() bool { return len(s.Peers()) == left })
			took := time.Since(start)
			start = time.Now()
			if took < most-time.Second || took > most+2*time.Second {
				t.Errorf("%d peers after %v, want about %v", left, took, most)
			}
		}
		for _, h := range all {
			h.give(blocks[0].Header.Hash(), true)
		}
		w.until("the blocks below the second are connected", func() bool { return s.ledger.Tip().Height == second })
		if n := len(s.Peers()); n != 2 {
			t.Errorf("%d peers are left of 2", n)
		}
	})
}

// Others are asked for the blocks as well, and a peer that has held up the window is cut
// all the same; one that the operator wants is kept.
func TestHelpDoesNotExcuseWhoHoldsUp(t *testing.T) {
	for kind, kept := range map[connectionKind]int{kindOutbound: 0, kindManual: 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.add("s", nil)
			blocks := longChain(t, 3*downloadWindow)
			bad := w.withholder(s, 1, kind, blocks, 0)
			bad.tell(headersOf(blocks[:maxHeaders]))
			time.Sleep(time.Second) // virtual
			good := w.withholder(s, 2, kindOutbound, blocks)
			good.tell(headersOf(blocks[:maxHeaders]))
			good.tell(headersOf(blocks[maxHeaders:]))
			w.until("all is here", func() bool { return s.ledger.Tip().Height == uint32(len(blocks)) })
			time.Sleep(holdUpPatience + 2*time.Second) // virtual
			if n := len(s.Peers()); n != 1+kept {
				t.Errorf("%s: %d peers are left, want %d", kind, n, 1+kept)
			}
		})
	}
}
