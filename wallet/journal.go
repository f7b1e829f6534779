package wallet

import (
	"runtime"
	"slices"
	"sync"

	"lode/consensus"
	"lode/wallet/silent"
)

// blockRef is the place of a transaction in a block. Height 0 is no place: the
// coins of a genesis block are nobody's.
type blockRef struct {
	Point
	pos  uint32 // in the block
	time uint32 // of the block, Unix seconds
}

// record is a transaction in the journal.
type record struct {
	id   consensus.Hash
	tx   *consensus.Tx
	raw  []byte // tx, encoded
	seq  uint64 // order in which they were first seen
	seen int64  // when that was, Unix seconds
	own  bool   // made by this wallet, which sends it again until it is in a block

	sent      int64      // when a node last had it, Unix seconds; 0: whether one ever did is not known
	refusal   string     // why a node did not take it when it was sent again, empty if it did
	block     blockRef   // that holds it, in the chain that was scanned
	was       []blockRef // that held it and do not count any more, the last one last
	pooled    bool       // in the mempool of the node when that was last asked
	abandoned bool       // the owner has said that it is not to be confirmed
	acked     bool       // the owner has taken note that it was reversed

	pays   []ownOutput // see keyring.own
	paysAt uint64      // state of the keyring that pays is of

	silent map[uint32]silent.Address // outputs that the wallet has paid silently, and to whom
}

// ownOutput is an output that pays a key of the wallet, whether that counts or not.
type ownOutput struct {
	n  int
	id KeyID
}

func (r *record) confirmed() bool { return r.block.Height > 0 }

// maxWas bounds how many former places of a transaction are remembered.
const maxWas = 16

// journal is all transactions that concern a wallet, in the order in which they
// were seen: what pays it, what it spends, and what conflicts with one of those.
// It keeps facts alone (where a transaction was seen, what its owner said); what
// follows from them is worked out by states.go and ledger.go.
type journal struct {
	byID *table[consensus.Hash, *record]
	list []*record // by seq
	// Who spends a coin: mostly one transaction, so that only rivals cost a list.
	spender *table[consensus.OutPoint, *record]
	rivals  map[consensus.OutPoint][]*record // those besides spender
	spare   []record                         // see newRecord
}

func newJournal() *journal {
	return &journal{
		byID: newTable[consensus.Hash, *record](hashTxID), spender: newTable[consensus.OutPoint, *record](hashOutPoint),
		rivals: make(map[consensus.OutPoint][]*record),
	}
}

// reserve makes room for so many transactions in a journal that is empty.
func (j *journal) reserve(n int) {
	if len(j.list) == 0 {
		j.byID.reserve(n)
		j.spender.reserve(n)
		j.list = make([]*record, 0, n)
	}
}

// newRecord gives an empty record. They are allocated many at a time.
func (j *journal) newRecord() *record {
	const many = 256
	if len(j.spare) == 0 {
		j.spare = make([]record, many)
	}
	r := &j.spare[0]
	j.spare = j.spare[1:]
	return r
}

// add takes up a transaction. It reports whether it was not there yet.
func (j *journal) add(r *record) bool {
	if _, added := j.byID.add(r.id, r); !added {
		return false
	}
	r.seq = uint64(len(j.list))
	if n := len(j.list); n > 0 {
		r.seq = j.list[n-1].seq + 1
	}
	j.list = append(j.list, r)
	if r.tx.IsCoinbase() {
		return true
	}
	for i := range r.tx.In {
		o := r.tx.In[i].PrevOut
		if have, added := j.spender.add(o, r); !added && have != r {
			j.rivals[o] = append(j.rivals[o], r)
		}
	}
	return true
}

// remove forgets a transaction.
func (j *journal) remove(r *record) {
	j.byID.remove(r.id)
	j.list = slices.DeleteFunc(j.list, func(x *record) bool { return x == r })
	for i := range r.tx.In {
		o := r.tx.In[i].PrevOut
		others := slices.DeleteFunc(j.rivals[o], func(x *record) bool { return x == r })
		if j.spender.of(o) == r {
			if len(others) > 0 {
				j.spender.set(o, others[0])
				others = others[1:]
			} else {
				j.spender.remove(o)
			}
		}
		if j.rivals[o] = others; len(others) == 0 {
			delete(j.rivals, o)
		}
	}
}

// spenders gives all transactions that spend a coin.
func (j *journal) spenders(o consensus.OutPoint) []*record {
	first := j.spender.of(o)
	if first == nil {
		return nil
	}
	return append([]*record{first}, j.rivals[o]...)
}

// confirm notes the block that holds a transaction.
func (r *record) confirm(b blockRef) {
	r.block, r.pooled, r.acked, r.refusal = b, false, false, ""
	r.was = slices.DeleteFunc(r.was, func(w blockRef) bool { return w.Hash == b.Hash })
}

// rollBack takes the transactions above a height out of their blocks.
func (j *journal) rollBack(height uint32) {
	for _, r := range j.list {
		if r.block.Height <= height {
			continue
		}
		r.was = append(r.was, r.block)
		if len(r.was) > maxWas {
			r.was = r.was[1:]
		}
		r.block = blockRef{}
	}
}

// inParts has f look at the parts of a long list at the same time, as what it looks for lies all
// over the memory. It gives what f gave, in the order of the parts.
func inParts[T any](list []*record, f func(part []*record) T) []T {
	const worth = 4096
	parts := slices.Collect(slices.Chunk(list, max(worth, len(list)/runtime.GOMAXPROCS(0)+1)))
	results := make([]T, len(parts))
	var wait sync.WaitGroup
	for i := range parts {
		if i == len(parts)-1 {
			results[i] = f(parts[i])
		} else {
			wait.Go(func() { results[i] = f(parts[i]) })
		}
	}
	wait.Wait()
	return results
}

// unconfirmed lists the transactions that are in no block.
func (j *journal) unconfirmed() (list []*record) {
	for _, r := range j.list {
		if !r.confirmed() {
			list = append(list, r)
		}
	}
	return list
}
