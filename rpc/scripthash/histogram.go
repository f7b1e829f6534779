package scripthash

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"lode/consensus"
	"lode/mempool"
)

// Bin is a part of the mempool: transactions of VSize virtual bytes together that pay
// at least Rate, and less than the bin before. Its width is that of Esplora.
type Bin struct {
	Rate  float64 // sat per virtual byte
	VSize int
}

// binWidth is how many virtual bytes a bin holds at least, but for the last.
const binWidth = 50_000

// Backlog is what waits in the mempool.
type Backlog struct {
	Count     int
	VSize     int              // of all
	Fees      consensus.Amount // of all
	Histogram []Bin            // the best paying first
}

// backlog remembers the last answer, so that asking again costs nothing while the
// mempool stays as it is.
type backlog struct {
	mu      sync.Mutex // guards what follows
	changes uint64
	known   *Backlog
}

// Summary sums up what waits in the mempool.
func (s *Summarizer) Summary() (*Backlog, error) {
	if err := s.x.pull(); err != nil {
		return nil, err
	}
	s.last.mu.Lock()
	defer s.last.mu.Unlock()
	s.x.mu.RLock()
	changes := s.x.view.changes
	if s.last.known != nil && changes == s.last.changes {
		s.x.mu.RUnlock()
		return s.last.known, nil
	}
	entries := make([]*mempool.Entry, 0, len(s.x.view.txs))
	for _, t := range s.x.view.txs {
		entries = append(entries, t.Entry)
	}
	s.x.mu.RUnlock()
	s.last.changes, s.last.known = changes, summarize(entries)
	return s.last.known, nil
}

// Summarizer gives summaries of the mempool of an index.
type Summarizer struct {
	x    *Index
	last backlog
}

// NewSummarizer gives one.
func NewSummarizer(x *Index) *Summarizer { return &Summarizer{x: x} }

func summarize(entries []*mempool.Entry) *Backlog {
	rate := func(e *mempool.Entry) float64 { return float64(e.Fee) / float64(e.Size) }
	slices.SortFunc(entries, func(a, b *mempool.Entry) int { return cmp.Compare(rate(b), rate(a)) })
	b := &Backlog{Count: len(entries), Histogram: []Bin{}}
	size, last := 0, 0.0
	for _, e := range entries {
		r := rate(e)
		if size > binWidth && last != r {
			b.Histogram = append(b.Histogram, Bin{rounded(last), size})
			size = 0
		}
		last, size = r, size+e.Size
		b.VSize, b.Fees = b.VSize+e.Size, b.Fees+e.Fee
	}
	if size > 0 {
		b.Histogram = append(b.Histogram, Bin{rounded(last), size})
	}
	return b
}

// rounded is a rate with three decimal places, downwards: a bin pays at least that.
func rounded(rate float64) float64 { return math.Floor(rate*1000) / 1000 }
