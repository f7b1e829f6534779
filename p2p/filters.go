package p2p

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"lode/chain"
	"lode/chain/blockfilter"
	"lode/consensus"
)

// Filters are the basic block filters (BIP158) that a node serves to light clients. The
// errors are of kind chain.ErrNotFound for what is not built yet, or never will be.
type Filters interface {
	// IndexReady waits until the filters of all blocks are there, if they have been.
	IndexReady(ctx context.Context, name string) (bool, error)
	BlockFilter(block consensus.Hash) (filter []byte, header consensus.Hash, err error)
	// FilterBlocks lists the last blocks of a chain, FilterHashes the hashes of their
	// filters and the filter header before.
	FilterBlocks(last consensus.Hash, count int) ([]consensus.Hash, error)
	FilterHashes(last consensus.Hash, count int) (before consensus.Hash, hashes []consensus.Hash, err error)
	FilterCheckpoints(last consensus.Hash) ([]consensus.Hash, error)
}

const (
	// filterPatience is how long a request waits for the filter of a block that has just
	// come: who has heard of the block asks at once.
	filterPatience = time.Second
	// filterShare is about how many bytes of filters are read at a time, and filterQueue
	// how many bytes may wait to be sent to the peer before that.
	filterShare = 128 << 10
	filterQueue = maxQueuedBytes / 2
)

// answerFilters answers what light clients ask for (BIP157), in the reader of the peer:
// a client that is slow to take what it has asked for is not listened to meanwhile. What
// is not built is not answered.
func (n *Node) answerFilters(p *peer, m *msgGetFilters) error {
	count, err := n.checkFilters(m)
	if err != nil {
		return err
	}
	answer := map[string]func(*peer, *msgGetFilters, int) error{cmdGetCFilters: n.sendFilters, cmdGetCFHeaders: n.sendFilterHashes, cmdGetCFCheckpt: n.sendCheckpoints}[m.cmd]
	if err = answer(p, m, count); errors.Is(err, chain.ErrNotFound) {
		ctx, cancel := context.WithTimeout(p.ctx, filterPatience)
		p.beginWait()
		ready, _ := n.cfg.Filters.IndexReady(ctx, chain.FilterIndex)
		p.endWait()
		cancel()
		if ready {
			err = answer(p, m, count)
		}
	}
	if err != nil {
		n.log.Debug(fmt.Sprintf("Failed to find block filters in index: start_height=%d, stop_hash=%s, peer=%d", m.start, m.stop, p.id), "error", err)
	}
	return nil
}

// checkFilters says for how many blocks a request is. The limits, and that whoever asks
// for what it cannot have is hung up on, are Bitcoin Core's.
func (n *Node) checkFilters(m *msgGetFilters) (count int, err error) {
	if n.cfg.Filters == nil || m.kind != blockfilter.Basic {
		return 0, fmt.Errorf("%w: peer requested unsupported block filter type: %d", errFilters, m.kind)
	}
	info, known := n.chain.Header(m.stop)
	if !known || !n.mayTell(&info) {
		return 0, fmt.Errorf("%w: peer requested invalid block hash: %s", errFilters, m.stop)
	}
	if m.start > info.Height {
		return 0, fmt.Errorf("%w: peer sent invalid getcfilters/getcfheaders with start height %d and stop height %d", errFilters, m.start, info.Height)
	}
	most := map[string]uint32{cmdGetCFilters: maxCFilters, cmdGetCFHeaders: maxCFHeaders, cmdGetCFCheckpt: math.MaxUint32}[m.cmd]
	if info.Height-m.start >= most {
		return 0, fmt.Errorf("%w: peer requested too many cfilters/cfheaders: %d / %d", errFilters, info.Height-m.start+1, most)
	}
	return int(min(info.Height-m.start+1, maxCFHeaders)), nil
}

// inTurn has f read from disk when it is the peer's turn; false if the connection ends before.
func (n *Node) inTurn(p *peer, f func() error) error {
	defer n.serving.finish(p.reading)
	if err := n.serving.begin(p.ctx.Done(), p.reading, turnHeavy, 0); err != nil {
		return err
	}
	return f()
}

func (n *Node) sendFilterHashes(p *peer, m *msgGetFilters, count int) error {
	return n.inTurn(p, func() error {
		before, hashes, err := n.cfg.Filters.FilterHashes(m.stop, count)
		if err == nil {
			p.send(&msgCFHeaders{m.kind, m.stop, before, hashes})
		}
		return err
	})
}

func (n *Node) sendCheckpoints(p *peer, m *msgGetFilters, _ int) error {
	return n.inTurn(p, func() error {
		headers, err := n.cfg.Filters.FilterCheckpoints(m.stop)
		if err == nil {
			p.send(&msgCFCheckpt{m.kind, m.stop, headers})
		}
		return err
	})
}

// sendFilters sends all of them or, if one is missing, none.
func (n *Node) sendFilters(p *peer, m *msgGetFilters, count int) error {
	var blocks []consensus.Hash
	err := n.inTurn(p, func() (err error) {
		if _, _, err = n.cfg.Filters.FilterHashes(m.stop, count); err == nil {
			blocks, err = n.cfg.Filters.FilterBlocks(m.stop, count)
		}
		return err
	})
	for err == nil && len(blocks) > 0 && p.drained() {
		err = n.inTurn(p, func() error {
			for size := 0; size < filterShare && len(blocks) > 0; {
				filter, _, err := n.cfg.Filters.BlockFilter(blocks[0])
				if err != nil {
					return err
				}
				p.send(&msgCFilter{m.kind, blocks[0], filter})
				blocks, size = blocks[1:], size+len(filter)
			}
			return nil
		})
	}
	return err
}

// drained waits until the peer has taken most of what was sent; false if the connection ends
// before. It is the peer that is waited for: what it owes meanwhile is late.
func (p *peer) drained() bool {
	p.beginWait()
	defer p.endWait()
	return p.out.drain(filterQueue, p.ctx.Done())
}
