package p2p

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// DefaultPeerTimeout bounds the time from the transport's connection to the
// peer's verack.
const DefaultPeerTimeout = 30 * time.Second

// handshake exchanges version and verack. The side that dialled speaks first;
// the features that change later messages are told in between (BIP155, BIP339).
func (n *Node) handshake(p *peer) error {
	nonce := randomNonce()
	if !p.inbound() {
		n.rememberNonce(nonce, p.url)
		defer n.forgetNonce(nonce)
		if err := p.writeMessage(n.versionMessage(p, nonce)); err != nil {
			return err
		}
	}
	if err := n.readVersion(p); err != nil || p.kind == kindFeeler { // which has learnt what it wanted
		return err
	}
	if p.inbound() {
		if err := p.writeMessage(n.versionMessage(p, nonce)); err != nil {
			return err
		}
	}
	if p.version >= featuresVersion {
		for _, feature := range []msgEmpty{cmdWTxIDRelay, cmdSendAddrV2, cmdSendAddrURL} {
			if err := p.writeMessage(feature); err != nil {
				return err
			}
		}
	}
	if err := p.writeMessage(msgEmpty(cmdVerack)); err != nil {
		return err
	}
	return p.readFeatures()
}

func (n *Node) versionMessage(p *peer, nonce uint64) *msgVersion {
	tip := n.chain.Tip()
	m := &msgVersion{
		version:     ProtocolVersion,
		services:    n.Services(),
		time:        n.wall.Now().Unix(),
		nonce:       nonce,
		userAgent:   n.cfg.UserAgent,
		startHeight: int32(tip.Height),
		relay:       !p.noTxs,
	}
	m.from.services = m.services
	if p.host.IsValid() {
		m.to.ip = p.host.As16()
		if ap, err := netip.ParseAddrPort(p.addr); err == nil {
			m.to.port = ap.Port()
		}
	}
	return m
}

// Services is what this node announces that it does, see ServiceNames.
func (n *Node) Services() uint64 {
	services := uint64(serviceNetwork | serviceWitness)
	if n.cfg.Pruned || !n.chain.HasHistory() {
		services = serviceNetworkLimited | serviceWitness
	}
	if n.cfg.Filters != nil { // also while they are built: clients do not come back soon to who has none
		services |= serviceCompactFilters
	}
	return services
}

// readVersion waits for the peer's version and decides whether to go on.
func (n *Node) readVersion(p *peer) error {
	v, err := n.awaitVersion(p)
	if err != nil {
		return err
	}
	if v.version < minProtocolVersion {
		n.log.Debug(fmt.Sprintf("using obsolete version %d, disconnecting peer=%d", v.version, p.id))
		return fmt.Errorf("%w: version %d, at least %d is needed", errTooOld, v.version, minProtocolVersion)
	}
	if p.inbound() {
		if url, own := n.ownNonce(v.nonce); own {
			n.forgetSelf(url)
			return errSelf
		}
	}
	if p.chosen() || p.kind == kindAddrFetch {
		if want := n.desired(v.services); v.services&want != want {
			return fmt.Errorf("%w: peer does not offer the expected services (%08x offered, %08x expected)", errUseless, v.services, want)
		}
	}
	offset := v.time - n.wall.Now().Unix()
	if !p.inbound() {
		n.checkClock(p.url, clampSeconds(offset))
	}
	n.mu.Lock() // Peers may look already
	defer n.mu.Unlock()
	p.version, p.services, p.startHeight, p.relayTxs = min(v.version, ProtocolVersion), v.services, v.startHeight, v.relay && p.kind != kindBlocks
	p.userAgent = cleanUserAgent(v.userAgent)
	p.timeOffset = offset
	if ip := netip.AddrFrom16(v.to.ip).Unmap(); !ip.IsUnspecified() {
		p.seenAs = netip.AddrPortFrom(ip, v.to.port).String()
	}
	return nil
}

// limitedDepth is how many blocks the tip may be old, by the network's spacing, for a
// peer without the older blocks to be of use, as in Bitcoin Core
// (NODE_NETWORK_LIMITED_ALLOW_CONN_BLOCKS).
const limitedDepth = 144

// desired are the services that a peer must have that this node chooses.
func (n *Node) desired(has uint64) uint64 {
	age := n.wall.Now().Unix() - int64(n.chain.Tip().Time)
	if has&serviceNetworkLimited != 0 && age < limitedDepth*int64(n.cfg.Spec.Rules.TargetSpacing) {
		return serviceNetworkLimited | serviceWitness
	}
	return serviceNetwork | serviceWitness
}

// maxEarly is how many messages may come before the first version. None of them means
// anything, but who sends them may be of another mind about the order.
const maxEarly = 20

// awaitVersion waits for the first version of a peer.
func (n *Node) awaitVersion(p *peer) (*msgVersion, error) {
	for range maxEarly {
		m, err := p.read()
		if err != nil {
			return nil, err
		}
		if v, ok := m.(*msgVersion); ok {
			return v, nil
		}
		n.log.Debug(fmt.Sprintf("non-version message before version handshake. Message %q from peer=%d", m.command(), p.id))
	}
	return nil, fmt.Errorf("%w: %d messages before version", errProtocol, maxEarly)
}

// clampSeconds is a time that a stranger names in seconds, at most a hundred years.
func clampSeconds(s int64) time.Duration {
	const most = 100 * 365 * 24 * 3600
	return time.Duration(max(-most, min(s, most))) * time.Second
}

// readFeatures waits for verack. Other messages that come before it mean
// nothing yet and are ignored, as in Bitcoin Core.
func (p *peer) readFeatures() error {
	for {
		m, err := p.read()
		if err != nil {
			return err
		}
		switch m.command() {
		case cmdVerack:
			return nil
		case cmdWTxIDRelay:
			p.wtxidRelay = p.version >= featuresVersion
		case cmdSendAddrV2:
			p.addrV2 = true
		case cmdSendAddrURL:
			p.addrURL = true
			p.mu.Lock()
			p.flags.addrTokens = firstURLTokens
			p.mu.Unlock()
		default:
			p.node.log.Debug(fmt.Sprintf("Unsupported message %q prior to verack from peer=%d", m.command(), p.id))
		}
	}
}

func randomNonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// rememberNonce marks a version message as sent by this node, so that it knows
// itself when the message comes back.
func (n *Node) rememberNonce(nonce uint64, url string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nonces[nonce] = url
}

func (n *Node) forgetNonce(nonce uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.nonces, nonce)
}

// ownNonce gives the URL that this node dialled when it sent nonce. It does so
// once: who sends the nonce back again and again must not fill the log.
func (n *Node) ownNonce(nonce uint64) (url string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	url, ok = n.nonces[nonce]
	delete(n.nonces, nonce)
	return url, ok
}
