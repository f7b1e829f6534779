package mempool

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lode/consensus"
)

// Arrival is a transaction of the pool.
type Arrival struct {
	TxID consensus.Hash
	Tx   *consensus.Tx
}

// ErrPlace is the kind of the error for a place that Since has never given.
var ErrPlace = errors.New("not a place in the mempool")

// newRun makes a name that tells the places of one pool from those of another.
func newRun() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Since lists the first transactions, at most limit of them, that came in behind a place and are
// still there, in the order of entry, and gives the place of the last: whoever has seen the
// transactions up to a place need not see them again. The empty place is the beginning, and so is
// one that another pool gave, as before a restart. more says that there are more now. The error is
// of kind ErrPlace.
func (p *Pool) Since(place string, limit int) (list []Arrival, next string, more bool, err error) {
	seq, err := p.seqOf(place)
	if err != nil {
		return nil, "", false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var nodes []*Node
	for n := range p.graph.All() {
		if n.Seq > seq {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *Node) int { return cmp.Compare(a.Seq, b.Seq) })
	if more = len(nodes) > limit; more {
		nodes = nodes[:limit]
	}
	for _, n := range nodes {
		list, seq = append(list, Arrival{n.TxID, n.Tx}), n.Seq
	}
	return list, fmt.Sprintf("%s-%d", p.run, seq), more, nil
}

// seqOf reads a place: the run of the pool that gave it, and a number in the order of entry.
func (p *Pool) seqOf(place string) (uint64, error) {
	run, number, found := strings.Cut(place, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	switch {
	case place == "":
		return 0, nil
	case !found || err != nil:
		return 0, fmt.Errorf("%.80q is %w", place, ErrPlace)
	case run != p.run:
		return 0, nil
	}
	return seq, nil
}
