package chain

import (
	"slices"
	"testing"

	"lode/consensus"
)

// TestStillMissing: one question about many blocks gives what as many questions
// about one would.
func TestStillMissing(t *testing.T) {
	s := newForgetStory(t) // a, b and s are headers alone
	if err := s.c.AddBlock(s.a[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.c.InvalidateBlock(s.b[2].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	stranger := s.a[0].Header
	stranger.Time++
	all := []MissingBlock{{Hash: s.s[1].Header.Hash()}, {Hash: stranger.Hash()}, {Hash: s.g.Blocks[2].Header.Hash()}}
	for _, block := range slices.Concat(s.a, s.b[2:]) {
		all = append(all, MissingBlock{Hash: block.Header.Hash()})
	}
	var want []consensus.Hash
	for _, b := range all {
		if info, ok := s.c.Header(b.Hash); ok && !info.HaveBlock && (!info.Invalid || info.Active) {
			want = append(want, b.Hash)
		}
	}
	if len(want) != 4 { // s[1], a[1], a[2], a[3]
		t.Errorf("%d blocks are missing one by one", len(want))
	}
	got := s.c.StillMissing(all)
	for i, b := range got {
		if info, _ := s.c.Header(b.Hash); i >= len(want) || b.Hash != want[i] || b.Height != info.Height {
			t.Errorf("number %d is block %s at height %d", i, b.Hash, b.Height)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d blocks are missing, want %d", len(got), len(want))
	}
}
