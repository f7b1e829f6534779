package wallet

// DefaultGap is how many keys in a row may be unused before a wallet that is
// restored from its words looks no further (BIP44).
const DefaultGap = 20

// MaxGap bounds what may be asked for: every key costs a search.
const MaxGap = 100_000

// keyUse is what is known of one key.
type keyUse uint8

const (
	// useSeen: a transaction that a node has seen pays the key, whatever became
	// of it since. Such a key is never handed out as a fresh one.
	useSeen keyUse = 1 << iota
	// useConfirmed: one in a block pays it. Only that is sure to be there for a
	// wallet that is restored from the words.
	useConfirmed
)

// window is the keys of one branch that a wallet looks at. It is a value of
// facts (what was handed out, what was used) and never of the order in which
// they came to be known:
//
//	0 ... handed ... end ... len(use)
//	|     |          |       keys that are derived and looked for, so that a
//	|     |          |       window that widens has mostly been looked at before
//	|     |          keys from here on do not count, even if they are paid to
//	|     keys from here on were never handed out
type window struct {
	gap    uint32   // unused keys behind the last used one that count
	least  uint32   // so many count in any case
	most   uint32   // there are no more keys than these; 0 if there is no end
	handed uint32   // the first index that was never handed out
	use    []keyUse // by index, of all keys that are derived
}

// end is the first index that does not count: gap behind every key before it
// that was handed out or seen. from is what end was before more keys came into
// use, or 0.
func (w *window) end(from uint32) uint32 {
	end := max(from, w.handed+w.gap, w.least)
	for i := max(w.handed, end-min(end, w.gap)); i < end && int(i) < len(w.use); i++ {
		if w.use[i]&useSeen != 0 {
			end = max(end, i+1+w.gap)
		}
	}
	if w.most > 0 {
		return min(end, w.most)
	}
	return end
}

// next is the first index behind every key that counts and was handed out or
// seen.
func (w *window) next() uint32 {
	next := w.handed
	for i := next; i < w.end(0) && int(i) < len(w.use); i++ {
		if w.use[i]&useSeen != 0 {
			next = i + 1
		}
	}
	return next
}

// fresh is the first index that nobody was seen to pay to.
func (w *window) fresh() uint32 {
	for i, u := range w.use {
		if u&useSeen == 0 {
			return uint32(i)
		}
	}
	return uint32(len(w.use))
}

// unused counts the keys directly before index i that no block pays to.
func (w *window) unused(i uint32) (n uint32) {
	for ; i > 0 && (int(i) > len(w.use) || w.use[i-1]&useConfirmed == 0); i-- {
		n++
	}
	return n
}

// need is the gap with which a wallet that is restored from the words finds all
// keys that were handed out or seen, whichever of them is paid to.
func (w *window) need() uint32 {
	need, run := uint32(0), uint32(0)
	for i := range w.next() {
		run++
		need = max(need, run)
		if int(i) < len(w.use) && w.use[i]&useConfirmed != 0 {
			run = 0
		}
	}
	return need
}
