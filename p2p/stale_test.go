package p2p

import (
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// A block beside the active chain is told for 30 days, and never what was not once
// part of it.
func TestStaleBlocksAreToldForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		s := w.add("s", nil)
		start := w.spec.Rules.GenesisState()
		stale := mineOn(w.spec, start, 1)
		s.feed(stale)
		better := mine(w.spec, start, 2, 2)
		s.feed(better...)
		never := mineOn(w.spec, start, 3)
		s.feed(never) // less work than the tip from the first
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		asks := func(b *consensus.Block) (header, block bool) {
			hash := b.Header.Hash()
			a.say(&msgLocate{cmdGetHeaders, ProtocolVersion, nil, hash})
			a.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, hash}}})
			time.Sleep(time.Second)
			a.settle()
			for _, m := range a.unheard {
				switch m := m.(type) {
				case msgHeaders:
					header = header || len(m) == 1 && m[0].Hash() == hash
				case msgBlock:
					block = block || m.Header.Hash() == hash
				}
			}
			a.unheard = nil
			return header, block
		}
		for name, c := range map[string]struct {
			block *consensus.Block
			want  bool
		}{"active": {better[0], true}, "stale": {stale, true}, "never active": {never, false}} {
			if header, block := asks(c.block); header != c.want || block != c.want {
				t.Errorf("%s: header %v, block %v; want %v", name, header, block, c.want)
			}
		}
		tip := s.ledger.Tip()
		late := mineOn(w.spec, tip, 4)
		late.Header.Time = stale.Header.Time + uint32(staleTime/time.Second)
		late.Seal()
		work(w.spec, late)
		s.feed(late)
		a.settle()
		if header, block := asks(stale); header || block {
			t.Errorf("stale for a month: header %v, block %v", header, block)
		}
	})
}
