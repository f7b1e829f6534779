// Package orphanage keeps transactions whose parents are not known yet. It has no
// lock, clock or goroutine: it is stepped by events.
package orphanage

import (
	"cmp"
	"container/list"
	"math/rand/v2"
	"slices"

	"lode/consensus"
)

// The limits are those of Bitcoin Core (txorphanage.h, policy.h).
const (
	// MaxWeight is the most that one orphan may weigh, in weight units: as much as
	// a transaction that is relayed.
	MaxWeight = 400_000
	// ReservedWeight is what a peer may keep here whatever others do: a package of
	// the greatest size.
	ReservedWeight = 404_000
	// MaxScore bounds the work of all operations. An announcement counts 1, and an
	// orphan 1 for each 10 of its inputs. Peers share it equally.
	MaxScore = 3000
)

// Orphan is a transaction that spends what is not known here.
type Orphan struct {
	Tx    *consensus.Tx
	TxID  consensus.Hash
	WTxID consensus.Hash
}

// Orphanage keeps orphans by witness id, with all peers that have announced them.
// An announcement is one by a peer of an orphan.
//
//	orphan    begins with                              ends with
//	waiting   the first Add; NextReady                 a parent has come: ready
//	ready     ParentCame, Retry, RetryAll, Confirmed   NextReady: waiting
//
// One that is ready is somebody's turn: that of one of its announcers, by lot, and
// if that one leaves of another. NextReady goes round among peers, so that nobody
// has others wait for all that he has announced.
//
// An orphan ends with Remove, with a block that spends what it spends, and with its
// last announcement. An announcement ends with its orphan, when its peer leaves, and
// when it is evicted. That happens while all weigh more than ReservedWeight times
// the peers that have orphans here, or score more than MaxScore: the peer that uses
// most of its share of either loses its oldest announcement, those of orphans that
// are ready last. Nobody within his share loses any, whatever others do.
//
// Disconnect costs what the peer holds. No other operation but All, RetryAll and
// Check looks at all orphans.
type Orphanage[P comparable] struct {
	random   *rand.Rand
	orphans  map[consensus.Hash]*orphan[P]
	spenders map[consensus.OutPoint][]input[P]
	peers    map[P]*peer[P]
	turns    list.List // of *peer, that have something ready
	joined   uint64    // number of the last peer that came to have an orphan
	last     uint64    // number of the last announcement

	weight, score int // of all: each orphan counts once for its weight and its inputs

	reserved, maxScore int // ReservedWeight and MaxScore; tests have smaller ones
}

type orphan[P comparable] struct {
	Orphan
	weight, inputs int     // inputs is what they count for in the score
	places         []int32 // of its inputs, in spenders
	announced      []*announcement[P]
	turn           *announcement[P] // whose turn it is; nil while it waits
}

// input is an input of an orphan.
type input[P comparable] struct {
	orphan *orphan[P]
	number int32
}

type announcement[P comparable] struct {
	orphan *orphan[P]
	peer   *peer[P]
	number uint64
	place  *list.Element // in peer.announced
	ready  *list.Element // in peer.ready; nil unless it is its turn
}

type peer[P comparable] struct {
	key           P
	number        uint64
	announced     list.List // of *announcement, the oldest first
	ready         list.List // of *announcement
	turn          *list.Element
	weight, score int // of all that it has announced
}

// New makes an orphanage. random is for lots.
func New[P comparable](random *rand.Rand) *Orphanage[P] {
	return &Orphanage[P]{
		random: random, orphans: make(map[consensus.Hash]*orphan[P]),
		spenders: make(map[consensus.OutPoint][]input[P]), peers: make(map[P]*peer[P]),
		reserved: ReservedWeight, maxScore: MaxScore,
	}
}

// Get finds an orphan by its wtxid.
func (o *Orphanage[P]) Get(wtxid consensus.Hash) (Orphan, bool) {
	x, ok := o.orphans[wtxid]
	if !ok {
		return Orphan{}, false
	}
	return x.Orphan, true
}

// AnnouncedBy reports whether a peer has announced an orphan.
func (o *Orphanage[P]) AnnouncedBy(key P, wtxid consensus.Hash) bool {
	x, p := o.orphans[wtxid], o.peers[key]
	return x != nil && p != nil && x.by(p) != nil
}

func (x *orphan[P]) by(p *peer[P]) *announcement[P] {
	i := slices.IndexFunc(x.announced, func(a *announcement[P]) bool { return a.peer == p })
	if i < 0 {
		return nil
	}
	return x.announced[i]
}

// Announcers lists the peers that have announced an orphan, the first one first.
func (o *Orphanage[P]) Announcers(wtxid consensus.Hash) (keys []P) {
	if x := o.orphans[wtxid]; x != nil {
		for _, a := range x.announced {
			keys = append(keys, a.peer.key)
		}
	}
	return keys
}

// Add keeps an orphan that a peer has sent or announced, or notes that one more has
// announced it. It reports whether that is new and has found room. To make it
// others may be evicted.
func (o *Orphanage[P]) Add(key P, tx Orphan) bool {
	x := o.orphans[tx.WTxID]
	if x == nil {
		if x = newOrphan[P](tx); x.weight > MaxWeight {
			return false
		}
	} else if p := o.peers[key]; p != nil && x.by(p) != nil {
		return false
	}
	p := o.peers[key]
	if p == nil {
		o.joined++
		p = &peer[P]{key: key, number: o.joined}
		o.peers[key] = p
	}
	if len(x.announced) == 0 {
		o.index(x)
	}
	o.last++
	a := &announcement[P]{orphan: x, peer: p, number: o.last}
	a.place = p.announced.PushBack(a)
	x.announced = append(x.announced, a)
	p.weight, p.score = p.weight+x.weight, p.score+1+x.inputs
	o.score++
	o.trim()
	return a.place != nil
}

func newOrphan[P comparable](tx Orphan) *orphan[P] {
	return &orphan[P]{Orphan: tx, weight: tx.Tx.Weight(), inputs: len(tx.Tx.In) / 10}
}

// index enters an orphan for what it spends.
func (o *Orphanage[P]) index(x *orphan[P]) {
	o.orphans[x.WTxID] = x
	o.weight, o.score = o.weight+x.weight, o.score+x.inputs
	x.places = make([]int32, len(x.Tx.In))
	for i := range x.Tx.In {
		list := o.spenders[x.Tx.In[i].PrevOut]
		x.places[i] = int32(len(list))
		o.spenders[x.Tx.In[i].PrevOut] = append(list, input[P]{x, int32(i)})
	}
}

func (o *Orphanage[P]) unindex(x *orphan[P]) {
	delete(o.orphans, x.WTxID)
	o.weight, o.score = o.weight-x.weight, o.score-x.inputs
	for i := range x.Tx.In {
		coin := x.Tx.In[i].PrevOut
		list := o.spenders[coin]
		last := list[len(list)-1]
		list[x.places[i]], last.orphan.places[last.number] = last, x.places[i]
		list[len(list)-1] = input[P]{}
		if list = list[:len(list)-1]; len(list) == 0 {
			delete(o.spenders, coin)
		} else {
			o.spenders[coin] = list
		}
	}
}

// Remove ends an orphan.
func (o *Orphanage[P]) Remove(wtxid consensus.Hash) {
	if x := o.orphans[wtxid]; x != nil {
		o.end(x)
		o.trim()
	}
}

// Disconnect forgets a peer, and the orphans that nobody else has announced.
func (o *Orphanage[P]) Disconnect(key P) {
	p := o.peers[key]
	if p == nil {
		return
	}
	for e := p.announced.Front(); e != nil; e = p.announced.Front() {
		o.retract(e.Value.(*announcement[P]))
	}
	o.trim()
}

// Confirmed ends the orphans that spend what a transaction of a block has spent, of
// which it may be one, and has those tried again that spend what it has made.
func (o *Orphanage[P]) Confirmed(tx *consensus.Tx, txid consensus.Hash) {
	if len(o.orphans) == 0 {
		return
	}
	for i := range tx.In {
		for list := o.spenders[tx.In[i].PrevOut]; len(list) > 0; list = o.spenders[tx.In[i].PrevOut] {
			o.end(list[len(list)-1].orphan)
		}
	}
	o.ParentCame(txid, len(tx.Out))
	o.trim()
}

// ParentCame has those tried again that spend outputs of a transaction.
func (o *Orphanage[P]) ParentCame(txid consensus.Hash, outputs int) {
	if len(o.orphans) == 0 {
		return
	}
	for i := range outputs {
		for _, in := range o.spenders[consensus.OutPoint{TxID: txid, Index: uint32(i)}] {
			o.retry(in.orphan)
		}
	}
}

// Retry has an orphan tried again.
func (o *Orphanage[P]) Retry(wtxid consensus.Hash) {
	if x := o.orphans[wtxid]; x != nil {
		o.retry(x)
	}
}

// RetryAll has all tried again.
func (o *Orphanage[P]) RetryAll() {
	for _, x := range o.orphans {
		o.retry(x)
	}
}

// NextReady gives an orphan to be tried again, which waits again from now on. It
// stays here until Remove.
func (o *Orphanage[P]) NextReady() (tx Orphan, ok bool) {
	e := o.turns.Front()
	if e == nil {
		return tx, false
	}
	p := e.Value.(*peer[P])
	o.turns.MoveToBack(e)
	x := p.ready.Front().Value.(*announcement[P]).orphan
	o.wait(x)
	return x.Orphan, true
}

// Children lists the orphans that spend outputs of a transaction and that a peer
// has announced, the newest announcement first.
func (o *Orphanage[P]) Children(key P, parent consensus.Hash, outputs int) (txs []Orphan) {
	p := o.peers[key]
	if p == nil {
		return nil
	}
	var found []*announcement[P]
	for i := range outputs {
		for _, in := range o.spenders[consensus.OutPoint{TxID: parent, Index: uint32(i)}] {
			if a := in.orphan.by(p); a != nil {
				found = append(found, a)
			}
		}
	}
	slices.SortFunc(found, func(a, b *announcement[P]) int { return cmp.Compare(b.number, a.number) })
	for _, a := range slices.Compact(found) {
		txs = append(txs, a.orphan.Orphan)
	}
	return txs
}

// All calls f for every orphan.
func (o *Orphanage[P]) All(f func(Orphan)) {
	for _, x := range o.orphans {
		f(x.Orphan)
	}
}

// Len is how many orphans there are, and Weight what they weigh.
func (o *Orphanage[P]) Len() int    { return len(o.orphans) }
func (o *Orphanage[P]) Weight() int { return o.weight }
