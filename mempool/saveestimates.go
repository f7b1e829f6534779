package mempool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"lode/chain"
	"lode/consensus"
)

// EstimatesFileName is that of saved fee estimates in the directory of a network.
const EstimatesFileName = "fee_estimates.dat"

const (
	estimatesVersion = 1
	// What is older says little about the fees of today, as in Bitcoin Core.
	estimatesMaxAge = 60 * time.Hour
	// estimatesSize is the length of the file: version, time, height and blocks,
	// the counts of each bucket, and the checksum.
	estimatesSize = 4*8 + estimateBuckets*(2+2*(estimateTarget+1))*8 + 32
)

// SaveEstimates replaces a file by one with what fee estimates rest on. Nothing is
// known yet of how long a transaction that is waiting will wait in all: it counts
// as one that has not been confirmed so far. It does nothing while the pool is
// loading.
func (p *Pool) SaveEstimates(path string) error {
	if !p.Loaded() {
		return nil
	}
	p.mu.Lock()
	e, height := p.estimator, p.height
	for _, n := range p.byTxID {
		e.left(n, height)
	}
	p.mu.Unlock()
	if err := replaceFile(path, func(w *bufio.Writer) { e.write(w, p.cfg.Now(), height) }); err != nil {
		return fmt.Errorf("save the fee estimates: %w", err)
	}
	return nil
}

func (e *estimator) write(w *bufio.Writer, now time.Time, height uint32) {
	number := func(v uint64) { w.Write(binary.LittleEndian.AppendUint64(nil, v)) }
	number(estimatesVersion)
	number(uint64(now.Unix()))
	number(uint64(height))
	number(uint64(e.blocks))
	for i := range e.buckets {
		e.buckets[i].each(func(count *float64) { number(math.Float64bits(*count)) })
	}
}

// each calls f with every count, in the order of the file.
func (b *estimateBucket) each(f func(*float64)) {
	f(&b.rates)
	f(&b.total)
	for t := range b.within {
		f(&b.within[t])
		f(&b.failed[t])
	}
}

// LoadEstimates goes on with what SaveEstimates has left, and logs what came of
// that. It is called before the pool is in use. Without a file that is right and
// recent, estimates begin anew: too little is known for a while then. Blocks that
// came meanwhile let what is known fade.
func (p *Pool) LoadEstimates(path string) {
	saved, err := loadEstimates(path)
	switch age := p.cfg.Now().Sub(saved.at); {
	case errors.Is(err, os.ErrNotExist):
		p.cfg.Log.Info("fee estimates begin empty: none were saved", "file", path)
		return
	case err != nil:
		p.cfg.Log.Warn("fee estimates begin empty: the saved ones cannot be read", "file", path, "error", err)
		return
	case age > estimatesMaxAge || age < -estimatesMaxAge:
		p.cfg.Log.Info("fee estimates begin empty: the saved ones are too old, or from a time to come", "file", path, "saved", saved.at.UTC())
		return
	}
	err = p.locked(func(*chain.Reader) error { // so that the pool has a height to save, though no block comes
		if p.height > saved.height {
			saved.fade(int(p.height - saved.height))
		}
		p.estimator = saved.estimator
		p.estimator.counts = true
		return nil
	})
	if err != nil {
		return // and the node stops for that
	}
	p.cfg.Log.Info("loaded the fee estimates", "file", path, "saved", saved.at.UTC(), "height", saved.height, "blocks", saved.blocks)
}

// savedEstimates is what a file holds.
type savedEstimates struct {
	estimator
	at     time.Time
	height uint32 // of the tip then
}

func loadEstimates(path string) (s savedEstimates, err error) {
	raw, err := readFile(path, estimatesSize)
	if err != nil {
		return s, err
	}
	body, err := checked(raw)
	if err != nil {
		return s, err
	}
	return readEstimates(body)
}

func readEstimates(body []byte) (s savedEstimates, err error) {
	d := consensus.NewDecoder(body)
	if v := d.Uint64(); v != estimatesVersion {
		d.Fail("version %d is not known", v)
	}
	s.at = time.Unix(int64(d.Uint64()), 0)
	height, blocks := d.Uint64(), d.Uint64()
	s.height, s.blocks = uint32(height), int(blocks)
	if height > math.MaxUint32 || blocks > math.MaxUint32 { // reorganizations make blocks that are more than the height
		d.Fail("%d blocks, at height %d", blocks, height)
	}
	for i := range s.buckets {
		b := &s.buckets[i]
		b.each(func(count *float64) {
			if *count = math.Float64frombits(d.Uint64()); !(*count >= 0 && *count < 1e18) { // nor NaN
				d.Fail("a count of %v", *count)
			}
		})
		for t := range b.within {
			if b.within[t] > b.total { // rounding cannot do that, for it keeps order
				d.Fail("%v of %v transactions", b.within[t], b.total)
			}
		}
	}
	return s, d.Finish()
}
