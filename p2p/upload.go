package p2p

import (
	"errors"
	"sync"
	"time"

	"lode/chain"
)

const (
	// uploadCycle is the time for which Config.MaxUpload holds, and oldBlock
	// how much older than the tip a block is that is not served once that is
	// used up, as in Bitcoin Core (-maxuploadtarget). New blocks always are.
	uploadCycle = 24 * time.Hour
	oldBlock    = 7 * 24 * time.Hour
	// newBlockEvery is for how much time to the end of the cycle one block is
	// reserved.
	newBlockEvery = 10 * time.Minute
)

var errUploadLimit = errors.New("asked for an old block when the upload limit of the day was used up")

// uploadCount knows how much was sent in the cycle.
type uploadCount struct {
	mu    sync.Mutex // guards what follows
	begun time.Time
	base  uint64 // bytes that were sent before it
}

// Upload is what is left of Config.MaxUpload.
type Upload struct {
	Limit uint64 // bytes in a cycle; 0 for none
	Left  uint64 // bytes
	Cycle time.Duration
	Ends  time.Duration // from now to the end of the cycle; 0 without a limit
}

// Upload tells what is left of the upload limit.
func (n *Node) Upload() Upload {
	u := Upload{Limit: n.cfg.MaxUpload, Cycle: uploadCycle}
	if u.Limit == 0 {
		return u
	}
	_, sent := n.NetTotals()
	now := n.wall.Now()
	c := &n.upload
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.begun); age >= uploadCycle || age < 0 { // the clock may have been set back
		c.begun, c.base = now, sent
	}
	if used := sent - c.base; used < u.Limit {
		u.Left = u.Limit - used
	}
	u.Ends = uploadCycle - now.Sub(c.begun)
	return u
}

// mayServe refuses old blocks when the limit is used up, or what is left of it is
// needed for the new ones that are to come, but not to those whom the operator named.
func (n *Node) mayServe(p *peer, info *chain.HeaderInfo) error {
	if n.cfg.MaxUpload == 0 || p.kind == kindManual || p.may.Has(MayDownload) {
		return nil
	}
	age := int64(n.chain.BestHeader().Header.Time) - int64(info.Header.Time)
	if age <= int64(oldBlock/time.Second) {
		return nil
	}
	if u := n.Upload(); !u.ServesOld() {
		return errUploadLimit
	}
	return nil
}

// ServesOld reports whether more is left than is kept for new blocks.
func (u *Upload) ServesOld() bool { return u.Limit == 0 || u.Left > u.reserve() }

// reserve is how many bytes of the limit are kept for new blocks: one of the largest
// every ten minutes to the end of the cycle, as in Bitcoin Core.
func (u *Upload) reserve() uint64 { return uint64(u.Ends/newBlockEvery) * maxPayload }
