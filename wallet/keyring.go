package wallet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lode/consensus"
)

// KeyID names a key of a wallet: where it comes from, and its path there.
type KeyID struct {
	Source uint32 // 0 is the account that the wallet began with
	KeyPath
}

// String gives "0/5", "2:0/5" for a source other than the first, and "silent/5" for a key that
// a silent payment has come to.
func (k KeyID) String() string {
	if k.IsSilent() {
		return fmt.Sprintf("%s%d", silentPrefix, k.Index)
	}
	if k.Source == 0 {
		return k.KeyPath.String()
	}
	return fmt.Sprintf("%d:%s", k.Source, k.KeyPath)
}

// MarshalText is String.
func (k KeyID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (k *KeyID) UnmarshalText(text []byte) error {
	if index, ok := strings.CutPrefix(string(text), silentPrefix); ok {
		n, err := strconv.ParseUint(index, 10, 31)
		*k = KeyID{silentSource, KeyPath{Index: uint32(n)}}
		if err != nil || k.String() != string(text) {
			return fmt.Errorf("%.30q is not the name of a key, such as 0/5", text)
		}
		return nil
	}
	source, path, found := strings.Cut(string(text), ":")
	if !found {
		source, path = "0", source
	}
	n, err := strconv.ParseUint(source, 10, 32)
	k.Source = uint32(n)
	if err == nil {
		err = k.KeyPath.UnmarshalText([]byte(path))
	}
	if err != nil || k.String() != string(text) {
		return fmt.Errorf("%.30q is not the name of a key, such as 0/5", text)
	}
	return nil
}

// keySource derives the output keys of an account, of a descriptor, or of
// whatever else gives a key for every path.
type keySource interface {
	OutputKey(KeyPath) ([32]byte, error)
}

// branchID names the keys of one chain of one source.
type branchID struct{ source, chain uint32 }

// branch is the keys of one chain that are derived, in order, and what is known
// of them.
type branch struct {
	id     branchID
	source keySource
	keys   [][32]byte // output keys by index
	looked uint32     // so many of them were looked for in all blocks that are scanned
	window window
	end    uint32 // of the window, as of the last count
}

// keyring finds the key that an output pays among all that are derived.
type keyring struct {
	branches []*branch // whose keys are derived
	silent   *branch   // whose keys were found by silent payments, and all count
	byKey    *table[[32]byte, KeyID]
	changes  uint64 // of byKey, so far
}

func newKeyring() *keyring {
	return &keyring{byKey: newTable[[32]byte, KeyID](hashKey), changes: 1, silent: &branch{id: branchID{source: silentSource}}}
}

// all gives the branches, and that of silent payments as the last.
func (k *keyring) all() []*branch { return append(slices.Clip(k.branches), k.silent) }

// add takes up a branch of a source.
func (k *keyring) add(id branchID, from keySource, w window) {
	k.branches = append(k.branches, &branch{id: id, source: from, window: w})
}

// drop removes the branches of a source.
func (k *keyring) drop(source uint32) {
	k.branches = slices.DeleteFunc(k.branches, func(b *branch) bool { return b.id.source == source })
	for key, id := range k.byKey.all() {
		if id.Source == source {
			k.byKey.remove(key)
		}
	}
	k.changes++
}

func (k *keyring) branch(id branchID) (*branch, bool) {
	if id == k.silent.id {
		return k.silent, true
	}
	for _, b := range k.branches {
		if b.id == id {
			return b, true
		}
	}
	return nil, false
}

// of is the branch of a key that the ring has given out.
func (k *keyring) of(id KeyID) *branch {
	b, ok := k.branch(branchID{id.Source, id.Chain})
	if !ok {
		panic("wallet: a key of an unknown source")
	}
	return b
}

// append adds the next key of a branch.
func (k *keyring) append(b *branch, key [32]byte) {
	k.byKey.add(key, KeyID{b.id.source, KeyPath{b.id.chain, uint32(len(b.keys))}}) // if another source has it, that names it
	if len(b.keys) == cap(b.keys) {                                                // append alone grows by a quarter, and copies more often
		more := max(len(b.keys), 128)
		b.keys, b.window.use = slices.Grow(b.keys, more), slices.Grow(b.window.use, more)
	}
	b.keys, b.window.use = append(b.keys, key), append(b.window.use, 0)
	k.changes++
	if b == k.silent {
		b.end = uint32(len(b.keys))
	}
}

// find gives the key that a script pays, whether it counts or not.
func (k *keyring) find(script []byte) (KeyID, bool) {
	key, ok := consensus.TaprootKey(script)
	if !ok {
		return KeyID{}, false
	}
	return k.byKey.get(key)
}

// own gives the outputs of a transaction that pay keys. It remembers them until the
// keys change: a look at everything would else look for every output again.
func (k *keyring) own(r *record) []ownOutput {
	k.ownAll([]*record{r})
	return r.pays
}

// ownAll is own for several transactions. It may look at different ones at the same time.
func (k *keyring) ownAll(list []*record) struct{} {
	const many = 512
	var spare []ownOutput // empty, with room for more: they are allocated many at a time
	for _, r := range list {
		if r.paysAt == k.changes {
			continue
		}
		pays := spare
		for n := range r.tx.Out {
			if id, ok := k.find(r.tx.Out[n].Script); ok {
				pays = append(pays, ownOutput{n, id})
			}
		}
		r.pays, r.paysAt = slices.Clip(pays), k.changes
		if n := len(pays); n < cap(spare) {
			spare = spare[n:n]
		} else if n > 0 && len(list) > 1 {
			spare = make([]ownOutput, 0, min(many, len(list)))
		}
	}
	return struct{}{}
}

// counts gives the key that a script pays, if it is within its window.
func (k *keyring) counts(script []byte) (KeyID, bool) {
	id, ok := k.find(script)
	return id, ok && id.Index < k.of(id).end
}

// lookAheadLeast is how many keys behind the window are derived at least.
// Without an index of the node's, one more look at all blocks is needed each
// time when those are used up, so that they grow with the wallet.
var lookAheadLeast, lookAheadMost uint32 = 100, 10_000

// want is how many keys of a branch should be derived.
func (b *branch) want() uint32 {
	if b.end <= uint32(len(b.keys)) {
		return uint32(len(b.keys))
	}
	want := b.end + max(lookAheadLeast, min(b.end, lookAheadMost))
	if b.window.most > 0 {
		return min(want, b.window.most)
	}
	return want
}

// count moves the end of the window, which more keys in use may have widened.
func (b *branch) count() { b.end = b.window.end(b.end) }

// mark notes how the keys that tx pays are used.
func (k *keyring) mark(tx *consensus.Tx, use keyUse) {
	for i := range tx.Out {
		if id, ok := k.find(tx.Out[i].Script); ok {
			k.of(id).window.use[id.Index] |= use
		}
	}
}

// recount works out anew how all keys are used.
func (k *keyring) recount(j *journal) {
	for _, b := range k.all() {
		clear(b.window.use)
	}
	inParts(j.list, k.ownAll)
	for _, r := range j.list {
		use := useSeen
		if r.confirmed() {
			use |= useConfirmed
		}
		for _, o := range r.pays {
			k.of(o.id).window.use[o.id.Index] |= use
		}
	}
	for _, b := range k.branches {
		b.end = b.window.end(0)
	}
}
