package stratum

import (
	"crypto/rand"
	"fmt"
	"math"
	"strconv"
	"sync"

	"lode/consensus"
	"lode/miner"
)

// work is what all connections search: a template and whom its block pays.
type work struct {
	number   uint64
	template *miner.Template
	target   consensus.Target // of the block
	most     float64          // no share may be more difficult, or a block could be missed
	time     uint32
	pay      distribution // pays nobody while there are no shares
	script   func(payee string) []byte

	mu   sync.Mutex // guards what follows
	jobs map[variant]*job
}

// variant tells the jobs of one work apart.
type variant struct {
	payee string // of the whole block, while there are no shares; else empty
	n     int
}

// job is one form of a work, the same for many connections. Whoever gets another
// difficulty within a work gets another job: two difficulties for the same
// headers would let a miner choose, share by share, the one that pays more.
type job struct {
	*work
	id           string
	mining       *miner.Job
	clean, later []byte // the lines that announce it
}

// Between the halves of the coinbase: random bytes, so that no two coinbases are
// alike anywhere, then a number for each connection, and what the miner counts.
const (
	randomSize = 8
	extra1Size = 4
	extra2Size = 4
)

// job gives a variant of w.
func (w *work) job(v variant) (*job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j := w.jobs[v]; j != nil {
		return j, nil
	}
	pay := w.pay.Pay
	if v.payee != "" {
		pay = []payment{{v.payee, w.template.Value}}
	}
	outs := make([]consensus.TxOut, len(pay))
	for i, p := range pay {
		outs[i] = consensus.TxOut{Value: p.Amount, Script: w.script(p.Payee)}
	}
	random := make([]byte, randomSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	before, after := w.template.Split(random, extra1Size+extra2Size, outs...)
	j := &job{
		work: w, id: strconv.FormatUint(w.number<<20|uint64(len(w.jobs)), 16),
		mining: w.template.Job(before, after, extra1Size+extra2Size, w.time, w.target),
	}
	line := notifyLine(j)
	j.clean, j.later = append(line[:len(line):len(line)], cleanEnd...), append(line[:len(line):len(line)], laterEnd...)
	w.jobs[v] = j
	return j, nil
}

// newWork prepares a template to be handed out.
func newWork(number uint64, t *miner.Template, now uint32, capped bool, pay distribution, script func(string) []byte) (*work, error) {
	target, ok := consensus.TargetFromBits(t.Bits)
	if !ok {
		return nil, fmt.Errorf("template with impossible bits %08x", t.Bits)
	}
	w := &work{number: number, template: t, target: target, time: now, pay: pay, script: script, jobs: make(map[variant]*job), most: math.Inf(1)}
	if capped {
		// A little less than the block's, however a miner rounds.
		w.most = max(minDifficulty, difficultyOf(target)*(1-0x1p-20))
	}
	return w, nil
}

// issue is a job as it was given to one connection.
type issue struct {
	*job
	difficulty float64
	target     consensus.Target
	score      uint64                // of a share
	seen       map[solution]struct{} // shares that were accepted
}

// solution is what a miner may choose.
type solution struct {
	extra2               [extra2Size]byte
	time, nonce, version uint32
}

// maxSeen is how many shares of one job a connection may hand in.
const maxSeen = 2048

// header is that of a solution, made in a buffer that it gives back.
func (i *issue) header(extra1 [extra1Size]byte, s solution, buf []byte) (consensus.Header, []byte) {
	m := i.mining
	buf = append(append(append(append(buf[:0], m.Coinbase1...), extra1[:]...), s.extra2[:]...), m.Coinbase2...)
	root := consensus.BranchRoot(consensus.DoubleSHA256(buf), m.Branch)
	return consensus.Header{Version: int32(s.version), Prev: m.Prev, MerkleRoot: root, Time: s.time, Bits: m.Bits, Nonce: s.nonce}, buf
}

// block is that of a solution.
func (i *issue) block(extra1 [extra1Size]byte, s solution, h consensus.Header) (*consensus.Block, error) {
	return i.template.Solve(&miner.Found{Job: i.mining, Extra: append(extra1[:], s.extra2[:]...), Header: h})
}
