package wallet

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"math/rand/v2"

	"lode/consensus"
)

// table is a map for keys that begin with random bytes: ids of transactions, output keys. It
// is for wallets of many payments: what is looked for is mostly found, or not, in one small
// array without pointers (8 bytes a place), where a Go map reaches for the keys themselves,
// all over the memory. Its hash is keyed, so that no one can grind ids that meet in one place.
type table[K comparable, V any] struct {
	hash  func(K) uint64 // the first bytes of a key
	slots []uint64       // hash in the upper half, 1 + place in list in the lower; 0: free
	list  []entry[K, V]  // in the order in which they came
	gone  int            // of list, removed
	seed  [2]uint64
}

type entry[K comparable, V any] struct {
	key   K
	value V
	used  bool // false once it is removed
}

func newTable[K comparable, V any](hash func(K) uint64) *table[K, V] {
	return &table[K, V]{hash: hash, seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}}
}

func hashTxID(h consensus.Hash) uint64 { return binary.LittleEndian.Uint64(h[:]) }

func hashOutPoint(o consensus.OutPoint) uint64 {
	const golden = 0x9e3779b97f4a7c15 // outputs of one transaction differ in the index alone
	return hashTxID(o.TxID) + uint64(o.Index)*golden
}

func hashKey(k [32]byte) uint64 { return binary.LittleEndian.Uint64(k[:]) }

// find gives the slot of a key: the one that names its entry (at is its place in the list), or
// the free one that it would go to (at is -1). There must be slots.
func (t *table[K, V]) find(k *K) (slot, tag uint64, at int) {
	hi, lo := bits.Mul64(t.hash(*k)^t.seed[0], t.seed[1])
	tag = (hi ^ lo) &^ (1<<32 - 1)
	last := uint64(len(t.slots) - 1)
	for slot = (hi ^ lo) & last; ; slot = (slot + 1) & last {
		s := t.slots[slot]
		if s == 0 {
			return slot, tag, -1
		}
		if (s^tag)>>32 == 0 {
			if at = int(uint32(s)) - 1; t.list[at].key == *k && t.list[at].used {
				return slot, tag, at
			}
		}
	}
}

func (t *table[K, V]) get(k K) (v V, ok bool) {
	if len(t.slots) == 0 {
		return v, false
	}
	_, _, at := t.find(&k)
	if at < 0 {
		return v, false
	}
	return t.list[at].value, true
}

// of is get; the zero value for what is not there.
func (t *table[K, V]) of(k K) V {
	v, _ := t.get(k)
	return v
}

// add takes up a key that is not there yet. If it is, have is its value, and it stays.
func (t *table[K, V]) add(k K, v V) (have V, added bool) {
	if 2*(len(t.list)+1) > len(t.slots) {
		t.resize(2*t.len() + 8)
	}
	slot, tag, at := t.find(&k)
	if at >= 0 {
		return t.list[at].value, false
	}
	t.list = append(t.list, entry[K, V]{k, v, true})
	t.slots[slot] = tag | uint64(len(t.list))
	return v, true
}

// set is for a key that is there, or not.
func (t *table[K, V]) set(k K, v V) {
	if _, added := t.add(k, v); !added {
		_, _, at := t.find(&k)
		t.list[at].value = v
	}
}

// remove forgets a key. Its slot stays taken until there is no room left, so that what lies
// behind is found.
func (t *table[K, V]) remove(k K) {
	if len(t.slots) == 0 {
		return
	}
	if _, _, at := t.find(&k); at >= 0 {
		t.list[at] = entry[K, V]{}
		t.gone++
	}
}

func (t *table[K, V]) len() int { return len(t.list) - t.gone }

// all gives what is there, in the order in which it came. What is visited may be removed.
func (t *table[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range t.list {
			if e := &t.list[i]; e.used && !yield(e.key, e.value) {
				return
			}
		}
	}
}

// reserve makes room for so many keys in all.
func (t *table[K, V]) reserve(n int) {
	if n > 0 && 2*n > len(t.slots) {
		t.resize(n)
	}
}

// resize makes room for n keys in all: at most half of the slots are ever taken.
func (t *table[K, V]) resize(n int) {
	old := t.list
	t.list, t.gone = make([]entry[K, V], 0, n), 0
	t.slots = make([]uint64, 1<<bits.Len(uint(2*n-1)))
	for i := range old {
		if old[i].used {
			t.add(old[i].key, old[i].value)
		}
	}
}
