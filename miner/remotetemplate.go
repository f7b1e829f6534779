package miner

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"lode/consensus"
	"lode/mempool"
	"lode/miner/kernel"
)

// maxTemplate bounds the answer to getblocktemplate, in bytes: the transactions
// of a block in hex are 8 MB, and what else is said of them may be as much.
const maxTemplate = 32 << 20

// maxCommitment bounds the script that commits to the witnesses, of which BIP141
// needs 38 bytes.
const maxCommitment = 80

// errTemplate is the kind of error for a template that cannot be worked on.
var errTemplate = errors.New("the node's template is of no use")

// remoteTemplate is the answer to getblocktemplate (BIP22, BIP23, BIP145).
type remoteTemplate struct {
	Version    int32          `json:"version"`
	Rules      []string       `json:"rules"`
	Prev       consensus.Hash `json:"previousblockhash"`
	Upgrades   map[string]int `json:"vbavailable"` // by which upgrades are signalled (BIP9)
	Txs        []remoteTx     `json:"transactions"`
	Value      *int64         `json:"coinbasevalue"` // sat
	LongPollID string         `json:"longpollid"`
	Target     string         `json:"target"`
	MinTime    uint32         `json:"mintime"`
	MaxTime    *uint32        `json:"maxtime"`
	Time       uint32         `json:"curtime"`
	Bits       consensus.Bits `json:"bits"`
	Height     uint32         `json:"height"`
	Commitment string         `json:"default_witness_commitment"`
}

type remoteTx struct {
	Data string `json:"data"`
}

// job makes a job of the template, whose coinbase pays to a script. Errors are of
// kind errTemplate.
func (r *remoteTemplate) job(payTo []byte) (*Job, error) {
	fail := func(format string, args ...any) (*Job, error) {
		return nil, fmt.Errorf("%w: %s", errTemplate, fmt.Sprintf(format, args...))
	}
	for _, rule := range r.Rules {
		if strings.HasPrefix(rule, "!") && rule != "!segwit" {
			return fail("it obeys the rule %.40q, which this miner does not know", strings.TrimPrefix(rule, "!")) // BIP9
		}
	}
	commitment, err := hex.DecodeString(r.Commitment)
	switch {
	case r.Value == nil || *r.Value < 0:
		return fail("it has no coinbasevalue")
	case err != nil || len(commitment) > maxCommitment:
		return fail("default_witness_commitment %.80q", r.Commitment)
	case r.Height == 0 || r.Height > math.MaxInt32:
		return fail("height %d", r.Height)
	}
	target, ok := consensus.TargetFromBits(uint32(r.Bits))
	if !ok {
		return fail("bits %s", r.Bits)
	}
	if r.Target != "" { // what the node wants, which need not be what the rules want
		b, err := hex.DecodeString(r.Target)
		if err != nil || len(b) != 32 {
			return fail("target %.80q", r.Target)
		}
		target.SetBytes32(b)
	}
	t := &Template{
		Tip: consensus.State{Hash: r.Prev, Height: r.Height - 1}, Height: r.Height, Version: r.Version, Bits: uint32(r.Bits), MinTime: r.MinTime,
		MaxTime: math.MaxUint32, Value: consensus.Amount(*r.Value), Commitment: commitment, Rollable: kernel.VersionBits,
	}
	for _, bit := range r.Upgrades {
		t.Rollable &^= 1 << (uint(bit) % 32)
	}
	if r.MaxTime != nil {
		t.MaxTime = *r.MaxTime
	}
	ids := make([]consensus.Hash, 1, 1+len(r.Txs))
	for i := range r.Txs {
		raw, err := hex.DecodeString(r.Txs[i].Data)
		if err != nil {
			return fail("transaction %d is not hex", i)
		}
		tx, err := consensus.DecodeTx(raw)
		if err != nil {
			return fail("transaction %d: %v", i, err)
		}
		if tx.HasWitness() && len(commitment) == 0 {
			return fail("it has no default_witness_commitment for transaction %d", i) // BIP145
		}
		t.Entries = append(t.Entries, &mempool.Entry{Tx: tx})
		ids = append(ids, tx.TxID())
	}
	t.Branch = consensus.MerkleBranch(ids)
	return t.ownJob(payTo, max(r.Time, r.MinTime), target)
}

// The extra nonce of a job that is for this process alone: random bytes, so that
// no two coinbases are alike anywhere, and a number that counts what the threads
// search.
const randomSize, countSize = 8, 8

// ownJob is a job for this process alone, whose coinbase pays all to a script.
// One find is all that is wanted.
func (t *Template) ownJob(payTo []byte, now uint32, target consensus.Target) (*Job, error) {
	random := make([]byte, randomSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	before, after := t.Split(random, countSize, consensus.TxOut{Value: t.Value, Script: payTo})
	job := t.Job(before, after, countSize, now, target)
	job.Once = true
	return job, nil
}
