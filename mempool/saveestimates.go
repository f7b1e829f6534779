package mempool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/mempool/fees"
)

// EstimatesFileName is that of saved fee estimates in the directory of a network.
const EstimatesFileName = "fee_estimates.dat"

// EstimatesMaxAge is how old saved fee estimates may be: what is older says little
// about the fees of today, as in Bitcoin Core.
const EstimatesMaxAge = 60 * time.Hour

const (
	estimatesVersion = 2
	// estimatesSize is the length of the file: version, estimates, checksum.
	estimatesSize = 8 + fees.Size + 32
	// estimatesMissed is after how many blocks that were not watched estimates begin
	// anew, as in Bitcoin Core.
	estimatesMissed = 6 * fees.MaxTarget
)

// SaveEstimates replaces a file by one with what fee estimates rest on. Nothing is
// known yet of how long a transaction that is waiting will wait in all: it counts
// as one that has not been confirmed so far. It does nothing while the pool is
// loading. The file's time is that of the node's clock, and nothing in it changes
// without a block or a transaction.
func (p *Pool) SaveEstimates(path string) error {
	if !p.Loaded() {
		return nil
	}
	p.mu.Lock()
	e := p.estimator.Clone()
	for n := range p.graph.All() {
		e.Leave(n.Mark)
	}
	p.mu.Unlock()
	err := replaceFile(path, func(w *bufio.Writer) { w.Write(estimatesBody(e)) })
	if now := p.cfg.Now(); err == nil {
		err = os.Chtimes(path, now, now)
	}
	if err != nil {
		return fmt.Errorf("save the fee estimates: %w", err)
	}
	return nil
}

func estimatesBody(e *fees.Estimator) []byte {
	return e.Append(binary.LittleEndian.AppendUint64(nil, estimatesVersion))
}

// LoadEstimates goes on with what SaveEstimates has left, unless that is older than
// maxAge, and logs what came of that. Transactions that have come before are not
// counted any more. Without a file that is right and recent, estimates begin anew: too
// little is known for a while then. Blocks that came meanwhile let what is known fade.
func (p *Pool) LoadEstimates(path string, maxAge time.Duration) {
	saved, at, err := loadEstimates(path)
	switch age := p.cfg.Now().Sub(at); {
	case errors.Is(err, os.ErrNotExist):
		p.cfg.Log.Info("fee estimates begin empty: none were saved", "file", path)
		return
	case err != nil:
		p.cfg.Log.Warn("fee estimates begin empty: the saved ones cannot be read", "file", path, "error", err)
		return
	case age > maxAge || age < -maxAge:
		p.cfg.Log.Info("fee estimates begin empty: the saved ones are too old, or from a time to come", "file", path, "saved", at.UTC())
		return
	}
	then, missed := saved.Height(), 0
	err = p.locked(func(*chain.Reader) error { // so that the pool has a height to save, though no block comes
		if missed = int(p.height) - int(then); missed > estimatesMissed {
			return nil
		}
		saved.Block(p.height)
		p.estimator = saved
		for n := range p.graph.All() {
			n.Mark = fees.Mark{} // saved has not counted it in
		}
		return nil
	})
	switch {
	case err != nil:
		return // and the node stops for that
	case missed > estimatesMissed:
		p.cfg.Log.Info("fee estimates begin empty: too many blocks came since they were saved", "file", path, "blocks", missed)
		return
	}
	p.cfg.Log.Info("loaded the fee estimates", "file", path, "saved", at.UTC(), "height", then, "blocks", saved.Span())
}

func loadEstimates(path string) (e *fees.Estimator, at time.Time, err error) {
	raw, err := readFile(path, estimatesSize)
	if err != nil {
		return nil, at, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, at, err
	}
	body, err := checked(raw)
	if err != nil {
		return nil, at, err
	}
	e, err = readEstimates(body)
	return e, info.ModTime(), err
}

func readEstimates(body []byte) (*fees.Estimator, error) {
	d := consensus.NewDecoder(body)
	if v := d.Uint64(); v != estimatesVersion {
		d.Fail("version %d is not known", v)
	}
	e := fees.Decode(d)
	return e, d.Finish()
}
