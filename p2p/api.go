package p2p

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// PeerInfo is what can be told of a peer, for getpeerinfo.
type PeerInfo struct {
	ID              int64
	Addr            string // of the socket
	LocalAddr       string // of this side of the socket; empty if the transport does not know it
	SeenAs          string // the address of this node that the peer has told; empty for none
	Transport       string // websocket, or v1 for Bitcoin's framing over TCP
	URL             string // that was dialled; empty for inbound
	Kind            string // inbound, manual, outbound-full-relay, block-relay-only or feeler
	Inbound         bool
	Version         int32
	Services        uint64
	SubVer          string // only characters that are safe to show
	StartingHeight  int32
	TimeOffset      int64 // seconds
	RelayTxs        bool
	WTxIDRelay      bool
	AddrV2          bool
	PresyncHeight   int64    // of its headers that are not kept, as they do not show enough work yet; -1 if there are none
	SyncedHeaders   int64    // height of the best header that it has shown; -1 for none
	SyncedBlocks    int64    // height of the last block that it has in common with us; -1 for unknown
	InFlight        []uint32 // heights of the blocks that it owes
	FeeFilter       int64    // sat per 1000 vB
	TxsToAnnounce   int      // that wait to be announced to it
	LastInv         uint64   // Changes of the mempool when transactions were last announced to it
	CompactTo       bool     // it was asked to announce blocks in compact form at once (BIP152)
	CompactFrom     bool     // it has asked for that
	Sent, Received  Traffic
	Connected       time.Time
	LastBlock       time.Time     // that it sent and was good; zero for none
	LastTx          time.Time     // likewise
	Ping, MinPing   time.Duration // 0 before the first pong
	PingWait        time.Duration // of the ping under way; 0 for none
	AddrRelay       bool          // addresses pass between it and this node
	AddrsProcessed  int
	AddrsNotStored  int
	AddrsLimited    int // not looked at, there were too many
	HandshakeIsOver bool
	May             Permissions
}

// Peers tells of every connection, the oldest first.
func (n *Node) Peers() []PeerInfo {
	n.mu.Lock()
	var peers []*peer
	infos := make(map[*peer]PeerInfo, len(n.peers))
	for p := range n.connections() {
		ready := n.peers[p]
		peers = append(peers, p)
		infos[p] = PeerInfo{
			ID: p.id, Addr: p.addr, LocalAddr: localAddr(p.conn), SeenAs: p.seenAs, Transport: p.conn.Transport(), URL: p.url, Kind: string(p.kind), Inbound: p.inbound(),
			Version: p.version, Services: p.services, SubVer: p.userAgent, StartingHeight: p.startHeight,
			TimeOffset: p.timeOffset, RelayTxs: p.relayTxs, Connected: p.connected, HandshakeIsOver: ready, May: p.may,
		}
	}
	n.mu.Unlock()
	slices.SortFunc(peers, byID)
	list := make([]PeerInfo, len(peers))
	for i, p := range peers {
		list[i] = infos[p]
		p.describe(&list[i])
		n.describeSync(p, &list[i])
		n.relay.describe(p, &list[i])
	}
	return list
}

func (p *peer) describe(info *PeerInfo) {
	if info.HandshakeIsOver {
		info.WTxIDRelay, info.AddrV2, info.AddrRelay = p.wtxidRelay, p.addrV2, p.sharesAddrs()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.stats
	info.CompactFrom, info.PresyncHeight = p.flags.fast, p.flags.presynced
	info.FeeFilter, info.Sent, info.Received = p.flags.feeFilter, s.sent.clone(), s.received.clone()
	info.Received.Total = p.received()
	info.LastBlock, info.LastTx, info.Ping, info.MinPing = s.lastBlock, s.lastTx, s.ping, s.minPing
	info.AddrsProcessed, info.AddrsNotStored = s.addrsIn, s.addrsIn-s.addrsKept
	info.AddrsLimited = s.addrsLimited
	if p.flags.pingNonce != 0 {
		info.PingWait = p.node.wall.Since(p.flags.pingSent)
	}
}

func (r *relay) describe(p *peer, info *PeerInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info.TxsToAnnounce, info.LastInv = len(p.relay.out), p.relay.lastInv
}

func (n *Node) describeSync(p *peer, info *PeerInfo) {
	n.sync.mu.Lock()
	best, sent := p.sync.best, p.sync.sent
	owed := slices.Collect(maps.Keys(p.sync.blocks))
	info.CompactTo = slices.Contains(n.sync.fast, p)
	n.sync.mu.Unlock()
	info.SyncedHeaders, info.SyncedBlocks = -1, -1
	if best.known() {
		info.SyncedHeaders = int64(best.height)
		info.SyncedBlocks = int64(n.lastCommon(best))
	}
	if sent.known() {
		info.SyncedBlocks = max(info.SyncedBlocks, int64(n.lastCommon(sent)))
	}
	for _, hash := range owed {
		if h, ok := n.chain.Header(hash); ok {
			info.InFlight = append(info.InFlight, h.Height)
		}
	}
	slices.Sort(info.InFlight)
}

// ConnectionCount is how many peers there are, their handshake being over.
func (n *Node) ConnectionCount() (inbound, outbound int) {
	for _, p := range n.ready() {
		if p.inbound() {
			inbound++
		} else {
			outbound++
		}
	}
	return inbound, outbound
}

// NetTotals is how many bytes went to and came from all peers since the start.
func (n *Node) NetTotals() (received, sent uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	received, sent = n.received, n.sent
	for p := range n.peers {
		p.mu.Lock()
		received += p.received()
		sent += p.stats.sent.Total
		p.mu.Unlock()
	}
	return received, sent
}

// The errors of the calls below.
var (
	ErrAdded    = errors.New("the node was already added")
	ErrNotAdded = errors.New("the node was not added before")
	ErrNoPeer   = errors.New("no such peer is connected")
)

// AddNode keeps a peer connected from now on.
func (n *Node) AddNode(name string) error {
	url, err := n.checkURL(name)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.added[url]; ok {
		return fmt.Errorf("%w: %s", ErrAdded, url)
	}
	a := &addedNode{name, make(chan struct{})}
	n.added[url] = a
	n.beginLocked(func() { n.keepConnected(n.ctx, url, a.removed) }) // or Run does
	return nil
}

// RemoveNode ends what AddNode or Config.Connect began: the peer is not dialled
// any more. If it is connected, it stays so.
func (n *Node) RemoveNode(url string) error {
	url, err := n.checkURL(url)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.added[url]
	if !ok {
		return fmt.Errorf("%w: %s", ErrNotAdded, url)
	}
	delete(n.added, url)
	close(a.removed)
	return nil
}

// AddedNode is a peer that is kept connected.
type AddedNode struct {
	Name string // as the operator wrote it
	URL  string
}

// AddedNodes lists the peers that are kept connected, by URL.
func (n *Node) AddedNodes() (list []AddedNode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, url := range slices.Sorted(maps.Keys(n.added)) {
		list = append(list, AddedNode{n.added[url].name, url})
	}
	return list
}

// Advertised lists the URLs at which others can reach this node.
func (n *Node) Advertised() []string { return slices.Clone(n.cfg.Advertise) }

// Connect dials a peer once, unless it is connected. It returns when the peer has
// answered the dial or ctx is over; what follows the dial goes on without it.
func (n *Node) Connect(ctx context.Context, url string) error {
	url, err := n.checkURL(url)
	if err != nil {
		return err
	}
	if !n.Active() {
		return errQuiet
	}
	if n.isConnected(url) {
		return nil
	}
	conn, err := n.dial(ctx, url)
	if err != nil {
		return err
	}
	ok := n.begin(func() { _ = n.runPeer(n.ctx, conn, kindManual, url) })
	if !ok {
		return errors.Join(errStopping, conn.Close(errStopping.Error()))
	}
	return nil
}

// Disconnect ends the connections with a socket address or URL, or, if address
// is empty, the one with a number.
func (n *Node) Disconnect(id int64, address string) error {
	if address == "" {
		return n.disconnect(fmt.Sprint(id), func(p *peer) bool { return p.id == id })
	}
	clean, err := n.checkURL(address)
	return n.disconnect(address, func(p *peer) bool { return p.addr == address || err == nil && p.url == clean })
}

// Ping measures the round trip to every peer now; Peers tells the result.
func (n *Node) Ping() {
	for _, p := range n.ready() {
		p.ping(n.wall.Now())
	}
}

func (n *Node) disconnect(name string, match func(*peer) bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := false
	for p := range n.connections() {
		if match(p) {
			p.drop(errAsked)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%w: %.80q", ErrNoPeer, name)
	}
	return nil
}

// SetActive lets the node have peers, or ends all connections and allows none.
func (n *Node) SetActive(active bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quiet = !active
	if n.quiet {
		for p := range n.connections() {
			p.drop(errQuiet)
		}
	}
	poke(n.dialWake)
}

// Active reports what SetActive has set; a node is active at first.
func (n *Node) Active() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.quiet
}

// BlocksOnly reports whether transactions of peers are refused, see Config.
func (n *Node) BlocksOnly() bool { return n.cfg.BlocksOnly }

// KnownAddress is one of the address book.
type KnownAddress struct {
	URL      string
	Services uint64
	Seen     time.Time
	Tried    bool // in the table of those that have answered
	Good     bool // worth to be told others
}

// Addresses lists the address book in random order.
func (n *Node) Addresses() (list []KnownAddress) {
	now := n.wall.Now()
	for _, a := range n.book.all() {
		list = append(list, KnownAddress{a.URL, a.Services, a.Seen, a.InTried, a.good(now)})
	}
	return list
}
