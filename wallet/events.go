package wallet

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"lode/consensus"
	"lode/wallet/silent"
)

// eventKind tells the events of a wallet apart. The numbers are those of the
// journal file and never change their meaning.
type eventKind uint8

const (
	evIdentity   eventKind = iota + 1 // raw: what wallet this is of, see identity
	evStart                           // block: the wallet is younger than what follows it
	evKey                             // branch, raw: the next key of a branch, 32 bytes
	evLooked                          // branch, n: so many of its keys were looked for in all scanned blocks
	evLookBack                        // block: the last one in which new keys were looked for
	evTx                              // n: when it was seen, flags, raw: a transaction
	evBlock                           // ref, block: a block holds a transaction
	evWas                             // ref, block: a block that does not count any more held it
	evPoint                           // block: what was scanned comes up to here
	evRollBack                        // block: what was scanned above does not count any more
	evSent                            // ref, n: when a node had a transaction
	evRefusal                         // ref, raw: why a node did not take it again
	evFlags                           // ref, flags
	evRemove                          // ref: no node ever took it
	evSilentKey                       // raw: a key that a silent payment has come to, see encodeSilentKey
	evSilentAt                        // block: silent payments were looked for up to here
	evSilentPool                      // raw: and in the mempool, up to this place of the node's
	evSilentTo                        // ref, n, raw: output n was paid to a silent address, its scan and spend key
	evEnd
)

// The parts of an event in the file, in this order.
const (
	hasBranch = 1 << iota // source and chain, compact sizes
	hasN                  // 8 bytes
	hasRef                // 32 bytes, a txid
	hasBlock              // height 4, hash 32, place 4, time 4 bytes
	hasFlags              // 1 byte
	hasRaw                // a compact size and so many bytes
)

var eventParts = [evEnd]uint8{
	evIdentity: hasRaw, evStart: hasBlock, evKey: hasBranch | hasRaw, evLooked: hasBranch | hasN, evLookBack: hasBlock,
	evTx: hasN | hasFlags | hasRaw, evBlock: hasRef | hasBlock, evWas: hasRef | hasBlock, evPoint: hasBlock, evRollBack: hasBlock,
	evSent: hasRef | hasN, evRefusal: hasRef | hasRaw, evFlags: hasRef | hasFlags, evRemove: hasRef,
	evSilentKey: hasRaw, evSilentAt: hasBlock, evSilentPool: hasRaw, evSilentTo: hasRef | hasN | hasRaw,
}

// The flags of a transaction.
const (
	flagOwn = 1 << iota
	flagPooled
	flagAbandoned
	flagAcked
)

// event is one change of what a wallet knows. Numbers are little endian.
type event struct {
	kind   eventKind
	branch branchID
	n      uint64
	ref    consensus.Hash
	block  blockRef
	flags  uint8
	raw    []byte

	tx *consensus.Tx // of evTx, if it is decoded; ref is its id then
}

// decodeTx decodes the transaction of evTx, as one of a batch if there is one.
func (e *event) decodeTx(batch *consensus.TxBatch) (err error) {
	if batch != nil {
		e.tx, e.ref, err = batch.Decode(e.raw)
	} else if e.tx, err = consensus.DecodeTx(e.raw); err == nil {
		e.ref = e.tx.TxID()
	}
	if err != nil {
		return fmt.Errorf("%w: a transaction: %w", errEvent, err)
	}
	return nil
}

// errEvent is the kind of errors of an event that this program never writes.
var errEvent = errors.New("an entry makes no sense")

func (e *event) append(b []byte) []byte {
	b = append(b, byte(e.kind))
	parts := eventParts[e.kind]
	if parts&hasBranch != 0 {
		b = consensus.AppendCompactSize(b, uint64(e.branch.source))
		b = consensus.AppendCompactSize(b, uint64(e.branch.chain))
	}
	if parts&hasN != 0 {
		b = le.AppendUint64(b, e.n)
	}
	if parts&hasRef != 0 {
		b = append(b, e.ref[:]...)
	}
	if parts&hasBlock != 0 {
		b = le.AppendUint32(b, e.block.Height)
		b = append(b, e.block.Hash[:]...)
		b = le.AppendUint32(b, e.block.pos)
		b = le.AppendUint32(b, e.block.time)
	}
	if parts&hasFlags != 0 {
		b = append(b, e.flags)
	}
	if parts&hasRaw != 0 {
		b = consensus.AppendVarBytes(b, e.raw)
	}
	return b
}

// decode reads one event; raw aliases the input.
func (e *event) decode(d *consensus.Decoder) error {
	*e = event{kind: eventKind(d.Uint8())}
	if e.kind == 0 || e.kind >= evEnd {
		d.Fail("entry of kind %d is unknown", e.kind)
		return d.Err()
	}
	parts := eventParts[e.kind]
	if parts&hasBranch != 0 {
		source, chain := d.CompactSize(), d.CompactSize()
		if source > math.MaxUint32 || chain > math.MaxUint32 {
			d.Fail("branch %d/%d", source, chain)
		}
		e.branch = branchID{uint32(source), uint32(chain)}
	}
	if parts&hasN != 0 {
		e.n = d.Uint64()
	}
	if parts&hasRef != 0 {
		e.ref = d.Hash()
	}
	if parts&hasBlock != 0 {
		e.block.Height, e.block.Hash = d.Uint32(), d.Hash()
		e.block.pos, e.block.time = d.Uint32(), d.Uint32()
	}
	if parts&hasFlags != 0 {
		e.flags = d.Uint8()
	}
	if parts&hasRaw != 0 {
		e.raw = d.VarBytes()
	}
	return d.Err()
}

// knowledge is all that a wallet knows of chain and mempool. It changes by
// events alone, so that what is read from the journal file is what was known
// when it was written.
type knowledge struct {
	identity consensus.Hash
	start    Point
	points   points
	lookBack Point // the last block in which new keys were looked for; see lookedBack
	keys     *keyring
	journal  *journal
	last     *record // that an event was about

	silent     *silentKeys // those of keys.silent
	silentAt   Point       // up to which silent payments were looked for; zero for start
	silentPool string      // up to which place of the node's mempool they were
}

func newKnowledge(keys *keyring) *knowledge {
	k := &knowledge{keys: keys, journal: newJournal(), silent: new(silentKeys)}
	keys.silent.source = k.silent
	return k
}

// bytesPerTx is about what a payment takes in the file, with a key.
const bytesPerTx = 360

// expect makes room for what a file of this size may tell.
func (k *knowledge) expect(bytes int) {
	n := bytes / bytesPerTx
	k.journal.reserve(n)
	k.keys.byKey.reserve(n)
}

// apply makes an event true.
func (k *knowledge) apply(e *event) error {
	fail := func(why string) error { return fmt.Errorf("%w: kind %d: %s", errEvent, e.kind, why) }
	switch e.kind {
	case evIdentity:
		if len(e.raw) != len(k.identity) {
			return fail("wrong length")
		}
		k.identity = consensus.Hash(e.raw)
	case evStart:
		k.start = e.block.Point
		if len(k.points) == 0 {
			k.points = points{k.start}
		}
	case evKey, evLooked:
		b, ok := k.keys.branch(e.branch)
		switch {
		case !ok || e.kind == evKey && b == k.keys.silent:
			return fail("unknown branch")
		case e.kind == evLooked && e.n > uint64(len(b.keys)):
			return fail("more keys than there are")
		case e.kind == evLooked:
			b.looked = uint32(e.n)
		case len(e.raw) != 32:
			return fail("wrong length")
		default:
			k.keys.append(b, [32]byte(e.raw))
		}
	case evSilentKey:
		if len(e.raw) != silentKeySize {
			return fail("wrong length")
		}
		k.applySilentKey(e.raw)
	case evSilentAt:
		k.silentAt = e.block.Point
	case evSilentPool:
		k.silentPool = string(e.raw)
	case evLookBack:
		k.lookBack = e.block.Point
	case evPoint:
		if len(k.points) > 0 && k.points.tip().Height >= e.block.Height {
			return fail("a point below the tip")
		}
		k.points.add(e.block.Point)
	case evRollBack:
		k.rollBack(e.block.Point)
	case evTx:
		return k.applyTx(e)
	default:
		return k.applyRecord(e)
	}
	return nil
}

func (k *knowledge) applyTx(e *event) error {
	if e.tx == nil {
		if err := e.decodeTx(nil); err != nil {
			return err
		}
	}
	r := k.journal.newRecord()
	r.id, r.tx, r.raw, r.seen, r.own = e.ref, e.tx, e.raw, int64(e.n), e.flags&flagOwn != 0
	if !k.journal.add(r) {
		return fmt.Errorf("%w: transaction %s twice", errEvent, e.ref)
	}
	k.last = r
	return nil
}

// applyRecord changes one transaction of the journal.
func (k *knowledge) applyRecord(e *event) error {
	if k.last == nil || k.last.id != e.ref { // mostly an event is about the one before
		k.last = k.journal.byID.of(e.ref)
	}
	r := k.last
	if r == nil {
		return fmt.Errorf("%w: transaction %s is unknown", errEvent, e.ref)
	}
	switch e.kind {
	case evBlock:
		r.confirm(e.block)
	case evWas:
		r.was = append(r.was, e.block)
	case evSent:
		r.sent, r.refusal = int64(e.n), ""
	case evRefusal:
		r.refusal = string(e.raw)
	case evFlags:
		r.pooled, r.abandoned, r.acked = e.flags&flagPooled != 0, e.flags&flagAbandoned != 0, e.flags&flagAcked != 0
	case evRemove:
		k.journal.remove(r)
		k.last = nil
	case evSilentTo:
		if len(e.raw) != silentToSize || e.n >= uint64(len(r.tx.Out)) {
			return fmt.Errorf("%w: output %d of transaction %s is not silent", errEvent, e.n, e.ref)
		}
		if r.silent == nil {
			r.silent = make(map[uint32]silent.Address)
		}
		r.silent[uint32(e.n)] = silent.Address{Scan: silent.PublicKey(e.raw[:33]), Spend: silent.PublicKey(e.raw[33:])}
	}
	return nil
}

// rollBack forgets what was scanned above a point, which becomes the tip.
func (k *knowledge) rollBack(to Point) {
	k.points.cut(to)
	if to.Height < k.start.Height || k.points[0] == to {
		k.start = to // the chain that the wallet began on is gone
	}
	if k.lookBack.Height > to.Height {
		k.lookBack = to
	}
	if k.silentAt.Height > to.Height {
		k.silentAt = to
	}
	k.journal.rollBack(to.Height)
}

// lookedBack reports whether every key that is derived was looked for in every
// block up to the tip.
func (k *knowledge) lookedBack() bool {
	for _, b := range k.keys.all() {
		if int(b.looked) < len(b.keys) {
			return false
		}
	}
	return true
}

func (r *record) flags() (f uint8) {
	for _, flag := range [...]struct {
		set bool
		bit uint8
	}{{r.own, flagOwn}, {r.pooled, flagPooled}, {r.abandoned, flagAbandoned}, {r.acked, flagAcked}} {
		if flag.set {
			f |= flag.bit
		}
	}
	return f
}

// snapshot gives events that lead from nothing to what is known.
func (k *knowledge) snapshot() []event {
	list := []event{{kind: evIdentity, raw: k.identity[:]}, {kind: evStart, block: blockRef{Point: k.start}}}
	for _, b := range k.keys.all() {
		for i := range b.keys {
			if b == k.keys.silent {
				list = append(list, event{kind: evSilentKey, raw: k.silent.encoded(i, b.keys[i])})
				continue
			}
			list = append(list, event{kind: evKey, branch: b.id, raw: b.keys[i][:]})
		}
		list = append(list, event{kind: evLooked, branch: b.id, n: uint64(b.looked)})
	}
	list = append(list, event{kind: evLookBack, block: blockRef{Point: k.lookBack}})
	if k.silentAt != (Point{}) {
		list = append(list, event{kind: evSilentAt, block: blockRef{Point: k.silentAt}})
	}
	if k.silentPool != "" {
		list = append(list, event{kind: evSilentPool, raw: []byte(k.silentPool)})
	}
	for _, p := range k.points {
		if p.Height > k.start.Height {
			list = append(list, event{kind: evPoint, block: blockRef{Point: p}})
		}
	}
	for _, r := range k.journal.list {
		list = append(list, event{kind: evTx, n: uint64(r.seen), flags: r.flags(), raw: r.raw})
		for _, was := range r.was {
			list = append(list, event{kind: evWas, ref: r.id, block: was})
		}
		if r.confirmed() {
			list = append(list, event{kind: evBlock, ref: r.id, block: r.block})
		}
		if r.sent != 0 {
			list = append(list, event{kind: evSent, ref: r.id, n: uint64(r.sent)})
		}
		if r.refusal != "" {
			list = append(list, event{kind: evRefusal, ref: r.id, raw: []byte(r.refusal)})
		}
		for _, n := range slices.Sorted(maps.Keys(r.silent)) {
			a := r.silent[n]
			list = append(list, event{kind: evSilentTo, ref: r.id, n: uint64(n), raw: append(a.Scan[:], a.Spend[:]...)})
		}
		if r.flags()&^flagOwn != 0 {
			list = append(list, event{kind: evFlags, ref: r.id, flags: r.flags()})
		}
	}
	return list
}
