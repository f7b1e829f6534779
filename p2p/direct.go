package p2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"lode/consensus"
	"lode/p2p/orphanage"
)

// What is here is done by hand: by operators who look for a fault, and by tests,
// among them Bitcoin Core's. A node by itself does none of it.

// The errors of the calls below, in Bitcoin Core's words.
const (
	ErrCapacity  = coreError("Already at capacity for specified connection type")
	ErrKind      = coreError("no such type of connection")
	ErrPreSegwit = coreError("Pre-SegWit peer")
	ErrRequested = coreError("Already requested from this peer")
	ErrBookNew   = coreError("failed-adding-to-new")
	ErrBookTried = coreError("failed-adding-to-tried")
)

// Open dials a peer as one of a kind that the node else chooses itself:
// outbound-full-relay, block-relay-only, addr-fetch or feeler. It returns when the dial has
// succeeded or failed; only a want of places is an error.
func (n *Node) Open(ctx context.Context, address, kind string) error {
	most := map[connectionKind]int{kindOutbound: DefaultOutbound, kindBlocks: blockOutbound, kindFeeler: MaxConnections, kindAddrFetch: MaxConnections}
	as := connectionKind(kind)
	if most[as] == 0 {
		return fmt.Errorf("%w: %.50q", ErrKind, kind)
	}
	url, err := n.checkURL(address)
	if err != nil {
		return err
	}
	n.mu.Lock()
	for p := range n.peers {
		if p.kind == as && !p.leaving {
			most[as]--
		}
	}
	n.mu.Unlock()
	if most[as] <= 0 {
		return ErrCapacity
	}
	conn, err := n.dial(ctx, url)
	if err != nil {
		n.log.Debug("cannot connect", "url", url, "error", err)
		return nil
	}
	if !n.begin(func() { _ = n.runPeer(n.ctx, conn, as, url) }) {
		return errors.Join(errStopping, conn.Close(errStopping.Error()))
	}
	return nil
}

// errNotSent is the kind of the error for a message by hand for which there is no room.
var errNotSent = errors.New("too much waits to be sent to the peer, or the message is too long")

// Send sends a peer a message as it is, of at most 8 MB: it may be one that no peer
// takes.
func (n *Node) Send(id int64, command string, payload []byte) error {
	p, err := n.byID(id)
	if err == nil && !p.out.pushByHand(outMessage{command, payload}) {
		err = fmt.Errorf("%w: %d bytes", errNotSent, len(payload))
	}
	return err
}

// byID finds a peer whose handshake is over.
func (n *Node) byID(id int64) (*peer, error) {
	for _, p := range n.ready() {
		if p.id == id {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %d", ErrNoPeer, id)
}

// FetchBlock asks a peer for a block whose header is known, wherever it lies; that
// it has been asked for elsewhere does not matter. A peer that does not send it is
// disconnected in time.
func (n *Node) FetchBlock(hash consensus.Hash, id int64) error {
	p, err := n.byID(id)
	if err != nil {
		return err
	}
	if !p.has(serviceWitness) {
		return ErrPreSegwit
	}
	if !n.sync.askByHand(p, hash) {
		return ErrRequested
	}
	p.send(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, hash}}})
	return nil
}

// askByHand notes that p is asked for a block; false if it owes that already.
func (s *syncer) askByHand(p *peer, hash consensus.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, owes := p.sync.blocks[hash]; owes {
		return false
	}
	now := s.wall.Now()
	if len(p.sync.blocks) == 0 {
		p.sync.progress = p.waited(now)
	}
	p.sync.blocks[hash] = now
	r := s.requests[hash]
	s.requests[hash] = blockRequest{peer: p, at: now, asked: append(r.asked, p)}
	return true
}

// OrphanTx is a transaction that waits for its parents, and the numbers of the peers
// that have announced it.
type OrphanTx struct {
	Tx   *consensus.Tx
	From []int64 // sorted
}

// Orphans lists the transactions that wait for their parents, by wtxid.
func (n *Node) Orphans() (list []OrphanTx) {
	r := n.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orphans.All(func(o orphanage.Orphan) {
		x := OrphanTx{Tx: o.Tx}
		for _, p := range r.orphans.Announcers(o.WTxID) {
			x.From = append(x.From, p.id)
		}
		slices.Sort(x.From)
		list = append(list, x)
	})
	slices.SortFunc(list, func(a, b OrphanTx) int {
		x, y := a.Tx.WTxID(), b.Tx.WTxID()
		return slices.Compare(x[:], y[:])
	})
	return list
}

// AddAddress brings an address into the book, as if it had announced itself; tried
// also into the table of those that have answered.
func (n *Node) AddAddress(at netip.AddrPort, tried bool) error {
	url, services := schemeTCP+"://"+at.String(), uint64(serviceNetwork|serviceWitness)
	if !n.book.learn(url, services, n.wall.Now(), n.book.key.group(url)) {
		return ErrBookNew
	}
	if !tried {
		return nil
	}
	n.book.good(url, services, n.wall.Now())
	if !n.book.isTried(url) {
		return ErrBookTried
	}
	return nil
}

func (b *addrBook) isTried(url string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.byURL[url]
	return a != nil && a.InTried
}

// BookEntry is a place in a table of the address book.
type BookEntry struct {
	Tried            bool // in which table it is
	Bucket, Position int
	URL, Source      string // Source is the network group of who told it
	Services         uint64
	Seen             time.Time
}

// Book lists the tables of the address book by their places.
func (n *Node) Book() (list []BookEntry) {
	b := n.book
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range []table{b.fresh, b.tried} {
		tried := len(t) == len(b.tried)
		for i, a := range t {
			if a != nil {
				list = append(list, BookEntry{tried, i / bucketSize, i % bucketSize, a.URL, a.Source, a.Services, a.Seen})
			}
		}
	}
	slices.SortStableFunc(list, func(x, y BookEntry) int { return cmp.Compare(x.Bucket, y.Bucket) })
	return list
}

// Settle waits until the peers have been told of the present tip and the relay of
// transactions has followed it, or ctx is over.
func (n *Node) Settle(ctx context.Context) {
	for _, loop := range []chan chan struct{}{n.sync.waiters, n.relay.waiters} {
		done := make(chan struct{})
		select {
		case loop <- done:
		case <-ctx.Done():
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}
