package miner

import (
	"encoding/binary"
	"math"
	"slices"

	"lode/consensus"
)

// Job is what there is to search: the headers of one block that differ in their
// nonce, in their time, and in the extra nonce, some bytes of the coinbase. It
// does not change once workers have it.
type Job struct {
	ID          string // whoever gave the job knows it by this
	Version     int32
	Prev        consensus.Hash
	Bits        uint32
	Time        uint32 // when the job was given; it passes while the job is worked on
	MaxTime     uint32 // no later time was of use then; it passes too
	Coinbase1   []byte // the coinbase without its witness, up to the extra nonce
	Coinbase2   []byte // and from there on
	ExtraSize   int    // bytes of the extra nonce, 1 to 8
	Branch      []consensus.Hash
	Target      consensus.Target // what a hash must meet to be of use
	VersionMask uint32           // the bits of the version that may be changed (BIP310, BIP320)
	Once        bool             // the first find is all that is wanted

	template *Template // that it was made of; nil if elsewhere
}

// Found is a header of a job that meets its target.
type Found struct {
	Job    *Job
	Extra  []byte // the extra nonce
	Header consensus.Header
}

// extra is the i-th extra nonce of j.
func (j *Job) extra(i uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, i)
	return b[8-j.ExtraSize:]
}

// spaces is how many extra nonces there are, as far as they can be counted.
func (j *Job) spaces() uint64 {
	if j.ExtraSize >= 8 {
		return math.MaxUint64
	}
	return 1 << (8 * j.ExtraSize)
}

// Coinbase is the encoding of the coinbase with an extra nonce, without its
// witness.
func (j *Job) Coinbase(extra []byte) []byte {
	return slices.Concat(j.Coinbase1, extra, j.Coinbase2)
}

// Header is the header with an extra nonce, its nonce zero.
func (j *Job) Header(extra []byte) consensus.Header {
	root := consensus.BranchRoot(consensus.DoubleSHA256(j.Coinbase(extra)), j.Branch)
	return consensus.Header{Version: j.Version, Prev: j.Prev, MerkleRoot: root, Time: j.Time, Bits: j.Bits}
}

// Split gives the halves of the coinbase of t that pays outs: between them go
// size bytes of an extra nonce, behind fixed. Both together have 8 to 75 bytes.
func (t *Template) Split(fixed []byte, size int, outs ...consensus.TxOut) (before, after []byte) {
	hole := append(slices.Clone(fixed), make([]byte, size)...)
	tx := t.Coinbase(hole, outs...)
	all := tx.AppendStripped(nil)
	// The input's script ends with the hole, and its sequence follows.
	end := 4 + 1 + 36 + 1 + len(tx.In[0].ScriptSig)
	return all[: end-size : end-size], all[end:]
}

// Job is the job of working on t with halves that Split gave.
func (t *Template) Job(before, after []byte, size int, now uint32, target consensus.Target) *Job {
	return &Job{
		Version: t.Version, Prev: t.Tip.Hash, Bits: t.Bits, Time: now, MaxTime: t.MaxTime,
		Coinbase1: before, Coinbase2: after, ExtraSize: size, Branch: t.Branch, Target: target,
		VersionMask: t.Rollable, template: t,
	}
}

// Solve is the block of t that a find makes.
func (t *Template) Solve(f *Found) (*consensus.Block, error) {
	coinbase, err := consensus.DecodeTx(f.Job.Coinbase(f.Extra))
	if err != nil {
		return nil, err
	}
	b := t.Block(f.Header, coinbase)
	b.FillReservedValue()
	return b, nil
}
