package p2p

import (
	"time"

	"lode/chain"
	"lode/consensus"
)

// staleTime is how old a block beside the active chain may be, by its time and by the
// work that has come since, to be told to those who ask for it by its hash: which stale
// blocks a node has tells it apart from others. As in Bitcoin Core
// (STALE_RELAY_AGE_LIMIT).
const staleTime = 30 * 24 * time.Hour

// mayTell reports whether others may learn that this node has a block.
func (n *Node) mayTell(info *chain.HeaderInfo) bool {
	if info.Active {
		return true
	}
	if !info.Connected || info.Invalid {
		return false
	}
	best := n.chain.BestHeader()
	if int64(best.Header.Time)-int64(info.Header.Time) >= int64(staleTime/time.Second) {
		return false
	}
	blocks := uint64(staleTime/time.Second) / uint64(max(1, n.cfg.Spec.Rules.TargetSpacing))
	ago, most := consensus.Work{}, consensus.WorkFromBits(best.Header.Bits)
	if best.Work.Gt(&info.Work) {
		ago.Sub(&best.Work, &info.Work)
	}
	_, overflow := most.MulOverflow(&most, new(consensus.Work).SetUint64(blocks))
	return overflow || ago.Lt(&most)
}
