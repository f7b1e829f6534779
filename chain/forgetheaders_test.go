package chain

import (
	"testing"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// forgetStory is a ledger with five blocks, and branches of headers on them.
//
//	0 - 1 - 2 - 3 - 4 - 5
//	         \           \- a1 - a2 - a3 - a4    better than the tip
//	          \                    \- b3 - b4 - b5
//	           \- c3 - c4
type forgetStory struct {
	t       *testing.T
	disk    *faultDisk
	c       *Chain
	g       *chaingen.Chain
	a, b, s []*consensus.Block
}

func newForgetStory(t *testing.T) *forgetStory {
	s := &forgetStory{t: t, disk: newFaultDisk(1)}
	s.c = onFaultDisk(t, s.disk, nil)
	s.g = chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 3})
	addBlocks(t, s.c, s.g.Extend(5))
	tip := s.g.Blocks[5]
	side := s.g.Fork(2, 9)
	s.a = s.g.Extend(4)
	s.b = append(s.a[:2:2], s.g.Fork(7, 8).Extend(3)...)
	s.s = side.Extend(2)
	for _, branch := range [][]*consensus.Block{s.a, s.b, s.s} {
		if err := s.c.AddHeaders(headersFrom(branch)); err != nil {
			t.Fatal(err)
		}
	}
	if s.c.Tip().Hash != tip.Header.Hash() || s.c.BestHeader().Height != 10 {
		t.Fatalf("tip %d, best header %d", s.c.Tip().Height, s.c.BestHeader().Height)
	}
	return s
}

func (s *forgetStory) forget(keep map[consensus.Hash]struct{}, ends ...*consensus.Block) (forgotten, left int) {
	s.t.Helper()
	var hashes []consensus.Hash
	for _, b := range ends {
		hashes = append(hashes, b.Header.Hash())
	}
	gone, rest, err := s.c.ForgetHeaders(hashes, keep)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(gone), len(rest)
}

// known checks which blocks are known, now and after a restart.
func (s *forgetStory) known(want bool, blocks ...*consensus.Block) {
	s.t.Helper()
	for _, b := range blocks {
		if _, ok := s.c.Header(b.Header.Hash()); ok != want {
			s.t.Errorf("header %s is known: %v, want %v", b.Header.Hash(), ok, want)
		}
	}
}

func (s *forgetStory) restart() {
	s.t.Helper()
	if err := s.c.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.c = onFaultDisk(s.t, s.disk, nil)
}

func TestForgetHeadersDropsBranches(t *testing.T) {
	s := newForgetStory(t)
	if n, left := s.forget(nil, s.a[1], s.g.Blocks[5], s.g.Blocks[0]); n != 0 || left != 0 {
		t.Errorf("%d headers were dropped on which others are built", n)
	}
	if n, _ := s.forget(nil, s.b[4]); n != 3 {
		t.Errorf("%d headers of b were dropped, want 3: the others are a's", n)
	}
	s.known(false, s.b[2:]...)
	s.known(true, s.a...)
	if h := s.c.BestHeader(); h.Hash != s.a[3].Header.Hash() {
		t.Errorf("the best header is at %d", h.Height)
	}
	keep := map[consensus.Hash]struct{}{s.a[0].Header.Hash(): {}}
	if n, left := s.forget(keep, s.a[3], s.a[3], s.s[1], s.a[1]); n != 3+2 || left != 1 {
		t.Errorf("%d headers were dropped and %d left, want 5 and 1", n, left)
	}
	if h := s.c.BestHeader(); h.Hash != s.a[0].Header.Hash() {
		t.Errorf("the best header is at %d", h.Height)
	}
	for range 2 {
		s.known(true, s.a[0])
		s.known(false, append(s.a[1:4:4], append(s.b[2:], s.s...)...)...)
		s.restart()
	}
	if n, left := s.forget(nil, s.a[0]); n != 1 || left != 0 || s.c.BestHeader().Height != 5 {
		t.Errorf("%d dropped, %d left, the best header is at %d", n, left, s.c.BestHeader().Height)
	}
	// All of it may come again, and be connected.
	if err := s.c.AddHeaders(headersFrom(s.b)); err != nil {
		t.Fatal(err)
	}
	addBlocks(t, s.c, s.b)
	if s.c.Tip().Height != 10 {
		t.Errorf("the tip is at %d", s.c.Tip().Height)
	}
}

// What is stored, invalid or the operator's stays, and what leads to it.
func TestForgetHeadersKeepsWhatIsNeeded(t *testing.T) {
	s := newForgetStory(t)
	if err := s.c.AddBlock(s.b[3]); err != nil { // waits for those before it
		t.Fatal(err)
	}
	if n, _ := s.forget(nil, s.b[4], s.a[3]); n != 3 {
		t.Errorf("%d headers were dropped, want one above the stored block, and two beside it", n)
	}
	s.known(true, s.b[:4]...)
	if err := s.c.InvalidateBlock(s.s[0].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.forget(nil, s.s[1]); n != 1 {
		t.Errorf("%d headers were dropped, want the one on what the operator named", n)
	}
	for range 2 {
		s.known(true, append(s.b[:4:4], s.s[0])...)
		if info, _ := s.c.Header(s.s[0].Header.Hash()); !info.Invalidated {
			t.Error("the operator's word is forgotten")
		}
		s.restart()
	}
	addBlocks(t, s.c, s.b[:3])
	if s.c.Tip().Height != 9 {
		t.Errorf("the tip is at %d", s.c.Tip().Height)
	}
}

// Very many are dropped in several steps, and a start drops all that nobody shows.
func TestForgetAllHeaders(t *testing.T) {
	s := newForgetStory(t)
	long := s.g.Fork(5, 11).Extend(2*maxForgotten + 100)
	if err := s.c.AddHeaders(headersFrom(long)); err != nil {
		t.Fatal(err)
	}
	if err := s.c.ForgetAllHeaders(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := len(s.c.Tips()); got != 1 || s.c.BestHeader().Height != 5 {
			t.Errorf("%d tips, the best header is at %d", got, s.c.BestHeader().Height)
		}
		s.known(false, long...)
		s.restart()
	}
}

func headersFrom(blocks []*consensus.Block) []consensus.Header {
	headers := make([]consensus.Header, len(blocks))
	for i, b := range blocks {
		headers[i] = b.Header
	}
	return headers
}
