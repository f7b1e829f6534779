package p2p

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// The tests read the answers, as light clients do.
func init() {
	hashes := func(d *consensus.Decoder) []consensus.Hash {
		list := make([]consensus.Hash, readCount(d, 32, maxCFHeaders))
		for i := range list {
			list[i] = d.Hash()
		}
		return list
	}
	formats[cmdCFilter] = format{maxPayload, func(d *consensus.Decoder) message {
		m := &msgCFilter{kind: d.Uint8(), block: d.Hash()}
		m.filter = bytes.Clone(d.Bytes(d.Count(1)))
		return m
	}}
	formats[cmdCFHeaders] = format{maxPayload, func(d *consensus.Decoder) message {
		return &msgCFHeaders{d.Uint8(), d.Hash(), d.Hash(), hashes(d)}
	}}
	formats[cmdCFCheckpt] = format{maxPayload, func(d *consensus.Decoder) message {
		return &msgCFCheckpt{d.Uint8(), d.Hash(), hashes(d)}
	}}
}

// filterSet is the filters of a chain whose first blocks alone are built; the filter of a
// block is its hash, so many times.
type filterSet struct {
	blocks []consensus.Hash // from the first on
	built  int
	asked  int // times that somebody has waited for the rest, which is there then
	length int
}

func (f *filterSet) IndexReady(ctx context.Context, _ string) (bool, error) {
	f.asked++
	if f.built == 0 {
		return false, nil
	}
	time.Sleep(filterPatience / 2)
	f.built = len(f.blocks)
	return true, ctx.Err()
}

func (f *filterSet) BlockFilter(block consensus.Hash) ([]byte, consensus.Hash, error) {
	return bytes.Repeat(block[:], f.length), consensus.Hash{}, nil
}

func (f *filterSet) FilterBlocks(last consensus.Hash, count int) ([]consensus.Hash, error) {
	end := slices.Index(f.blocks, last) + 1
	if end > f.built {
		return nil, fmt.Errorf("%w: not built", chain.ErrNotFound)
	}
	return f.blocks[end-count : end], nil
}

func (f *filterSet) FilterHashes(last consensus.Hash, count int) (consensus.Hash, []consensus.Hash, error) {
	hashes, err := f.FilterBlocks(last, count)
	return consensus.Hash{byte(count)}, hashes, err
}

func (f *filterSet) FilterCheckpoints(last consensus.Hash) ([]consensus.Hash, error) {
	_, err := f.FilterBlocks(last, 1)
	return []consensus.Hash{{7}}, err
}

// filtered is a station with a chain of so many blocks and their filters.
func filtered(w *world, blocks int) (*station, *filterSet) {
	set := &filterSet{blocks: []consensus.Hash{w.spec.Rules.GenesisHash()}, length: 1}
	s := w.add("s", func(c *Config) { c.Filters = set })
	list := longChain(w.t, blocks)
	s.feed(list...)
	for _, b := range list {
		set.blocks = append(set.blocks, b.Header.Hash())
	}
	set.built = len(set.blocks)
	return s, set
}

// heard reads messages up to the answer to a ping, which the actor sends now, and gives those of
// one command.
func (a *actor) heard(command string) (payloads [][]byte) {
	a.t.Helper()
	const nonce = 77
	a.say(msgPing(nonce))
	for {
		got, payload, err := a.ReadMessage()
		if err != nil {
			a.t.Fatal(err)
		}
		if got == command {
			payloads = append(payloads, bytes.Clone(payload))
		}
		if got == cmdPong {
			return payloads
		}
	}
}

// TestFiltersAreServed: the bit is set, and each request gets its answer, before that to a ping
// which follows it.
func TestFiltersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, set := filtered(w, 1100)
		if s.Services()&serviceCompactFilters == 0 {
			t.Error("the service is not announced")
		}
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		stop := set.blocks[1099]
		a.say(&msgGetFilters{cmdGetCFilters, 0, 100, stop})
		got := a.heard(cmdCFilter)
		if len(got) != maxCFilters {
			t.Fatalf("%d filters", len(got))
		}
		for i, payload := range got {
			block := set.blocks[100+i]
			if want := (&msgCFilter{0, block, block[:]}).append(nil); !bytes.Equal(payload, want) {
				t.Fatalf("filter %d is %x, want %x", i, payload, want)
			}
		}
		a.say(&msgGetFilters{cmdGetCFHeaders, 0, 1098, stop})
		if got := a.heard(cmdCFHeaders); len(got) != 1 || !bytes.Equal(got[0], (&msgCFHeaders{0, stop, consensus.Hash{2}, set.blocks[1098:1100]}).append(nil)) {
			t.Errorf("cfheaders: %x", got)
		}
		a.say(&msgGetFilters{cmd: cmdGetCFCheckpt, stop: stop})
		if got := a.heard(cmdCFCheckpt); len(got) != 1 || !bytes.Equal(got[0], (&msgCFCheckpt{0, stop, []consensus.Hash{{7}}}).append(nil)) {
			t.Errorf("cfcheckpt: %x", got)
		}
	})
}

// TestFiltersThatAreNotBuilt: who asks for the filter of a block that has just come waits a
// moment; while the index is built there is no answer, and the peer stays.
func TestFiltersThatAreNotBuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, set := filtered(w, 3)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		set.built = 3
		a.say(&msgGetFilters{cmdGetCFilters, 0, 1, set.blocks[3]})
		if got := a.heard(cmdCFilter); len(got) != 3 || set.asked != 1 {
			t.Errorf("%d filters after %d waits", len(got), set.asked)
		}
		set.built = 0
		a.say(&msgGetFilters{cmdGetCFilters, 0, 1, set.blocks[3]})
		a.say(&msgGetFilters{cmdGetCFHeaders, 0, 1, set.blocks[3]})
		a.say(&msgGetFilters{cmd: cmdGetCFCheckpt, stop: set.blocks[3]})
		for _, command := range []string{cmdCFilter, cmdCFHeaders, cmdCFCheckpt} {
			if got := a.heard(command); len(got) > 0 {
				t.Errorf("%d of %s", len(got), command)
			}
		}
	})
}

// TestFiltersThatNobodyHas: whoever asks for what it cannot have is hung up on.
func TestFiltersThatNobodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, set := filtered(w, 2001)
		tip := set.blocks[2001]
		for i, m := range []*msgGetFilters{
			{cmdGetCFilters, 0, 1001, tip},      // 1,001 filters
			{cmdGetCFHeaders, 0, 1, tip},        // 2,001 hashes
			{cmdGetCFHeaders, 0, 2002, tip},     // the end before the beginning
			{cmdGetCFilters, 0, 1 << 31, tip},   // likewise
			{cmdGetCFCheckpt, 255, 0, tip},      // another kind
			{cmdGetCFCheckpt, 0, 0, [32]byte{}}, // an unknown block
		} {
			a := w.call(s, fmt.Sprintf("203.0.113.%d:1", i+1))
			a.shake(ProtocolVersion)
			a.say(m)
			a.isCut()
		}
		if set.asked > 0 {
			t.Error("somebody waited for them")
		}
		a := w.call(s, "203.0.113.99:1")
		a.shake(ProtocolVersion)
		a.say(&msgGetFilters{cmdGetCFilters, 0, 1002, tip})
		if got := a.heard(cmdCFilter); len(got) != maxCFilters {
			t.Errorf("%d filters", len(got))
		}
	})
}

// TestFiltersWaitForWhoReadsThem: of many long filters few are made while the peer takes none.
func TestFiltersWaitForWhoReadsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, set := filtered(w, 1000)
		set.length = 1000 // 32 kB each
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(&msgGetFilters{cmdGetCFilters, 0, 1, set.blocks[1000]})
		synctest.Wait()
		for _, p := range s.ready() {
			p.out.mu.Lock()
			if p.out.bytes > filterQueue+filterShare+32<<10 {
				t.Errorf("%d bytes wait", p.out.bytes)
			}
			p.out.mu.Unlock()
		}
		if got := a.heard(cmdCFilter); len(got) != 1000 {
			t.Errorf("%d filters", len(got))
		}
	})
}
