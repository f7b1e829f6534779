package p2p

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
)

// The reasons for which this side ends a connection.
var (
	errInvalidBlock  = errors.New("sent an invalid block")
	errInvalidHeader = errors.New("sent an invalid header")

	errFlood            = errors.New("asked for too much at a time") // in messages each of which is allowed
	errMutated          = errors.New("sent a block that was changed on the way")
	errOutside          = errors.New("its chain leaves the rules of Lode")
	errInvalidChain     = errors.New("follows a chain with an invalid block")
	errProtocol         = errors.New("out of turn")
	errTooOld           = errors.New("speaks too old a protocol")
	errUseless          = errors.New("has no blocks to give")
	errUnwanted         = errors.New("transaction sent in violation of protocol: it was asked for blocks alone")
	errUnconnected      = errors.New("sent a block that nobody asked for and whose parent is unknown")
	errTooDeep          = errors.New("asked a pruned node for an old block")
	errMissing          = errors.New("lacks a block of the chain that it has shown")
	errFilters          = errors.New("asked for block filters that it cannot have")
	errBloom            = errors.New("asked for a bloom filter, or for the mempool without that permission")
	errSelf             = errors.New("it is this node itself")
	errHandshakeTimeout = errors.New("version handshake timeout, no handshake")
	errSlowReader       = errors.New("does not take what it is sent")
	errOutdated         = fmt.Errorf("has shown no chain as good as ours for %v", catchUpTime+answerTime)
	errMute             = fmt.Errorf("sent no headers within %v (Timeout downloading headers)", muteTime)
	errStalled          = fmt.Errorf("no block within %v", stallTimeout)
	errNoPong           = fmt.Errorf("no pong within %v", pongTimeout)

	errBanned       = errors.New("banned")
	errKnocks       = errors.New("connects too often")
	errFull         = errors.New("no room for more peers")
	errStopping     = errors.New("the node is stopping")
	errAsked        = errors.New("disconnected by the operator")
	errQuiet        = errors.New("the operator has switched the network off")
	errEvicted      = errors.New("made room for another peer")
	errFetched      = errors.New("addrfetch connection completed: it has told its addresses")
	errFetchTimeout = errors.New("addrfetch connection timeout: it has told no addresses")
	errFeeler       = errors.New("feeler connection completed: it is there, that was all")
	errCrowded      = errors.New("another peer is in the same part of the network")
)

// verdict is what the end of a connection says about the peer.
type verdict int

const (
	// blameless ends are in the log for developers alone.
	blameless verdict = iota
	// ignorant is a peer that is disconnected, and the log says why, but that
	// may be honest: older, lied to, with other rules, with a bad line.
	ignorant
	// proven is what only a faulty or lying peer does: its address is
	// discouraged besides.
	proven
)

// conduct is the table of all of this: for each reason for which this side ends
// a connection what it says about the peer. A line's test is in conduct_test.go.
//
// What is not here costs a peer nothing: a header of the future (one of the two
// clocks is wrong), headers whose parents are unknown, invalid and
// orphaned transactions (its rules or its pool may be others), inventory that it
// does not have any more, messages that are unknown or mean nothing, addresses
// where nobody answers, more of them than are looked at, messages with a wrong checksum
// or with a payload that cannot be read, a second version, others before the first; on
// TCP another network's magic, which Bitcoin Core sends to try its encrypted transport.
var conduct = []struct {
	reason  error
	verdict verdict
}{
	{consensus.ErrDecode, proven}, // longer than its command allows, or no message at all
	{errInvalidBlock, proven},     // received in full; its hash commits to what is wrong
	{errInvalidHeader, proven},    // without the work that it claims, or breaking another rule, or not in a chain

	{errOversized, ignorant},        // no such message is read, so it is not known what it is
	{errFlood, ignorant},            // others may queue more
	{errMutated, ignorant},          // its hash does not commit to the change: it may have been passed on unseen
	{errOutside, ignorant},          // valid in Bitcoin
	{errInvalidChain, ignorant},     // it may not have seen the block that is invalid
	{errProtocol, ignorant},         // older and newer programs order their messages otherwise
	{errTooOld, ignorant},           // nobody has to update
	{errUseless, ignorant},          // nobody has to serve
	{errUnwanted, ignorant},         // older programs do not know of such connections
	{errUnconnected, ignorant},      // others may send blocks before their parents
	{errMissing, ignorant},          // it may have lost it
	{errBloom, ignorant},            // it may not know what is served here (BIP35, BIP111)
	{errFilters, ignorant},          // as in Bitcoin Core
	{errSelf, ignorant},             // an address that others told
	{errHandshakeTimeout, ignorant}, // slow
	{errSlowReader, ignorant},       // slow
	{errOutdated, ignorant},         // it may be cut off from the others
	{errMute, ignorant},             // slow
	{errStalled, ignorant},          // slow
	{errHoldsUp, ignorant},          // slow
	{errNoPong, ignorant},           // gone

	{errClosed, blameless},
	{errStopping, blameless},
	{errAsked, blameless},
	{errFull, blameless},
	{errBanned, blameless},
	{errQuiet, blameless},
	{errEvicted, blameless},
	{errFeeler, blameless},
	{errFetched, blameless},
	{errFetchTimeout, blameless},
	{errCrowded, blameless},
	{errTooDeep, blameless},
	{errUploadLimit, blameless},
}

// judge finds the verdict on an end; ok is false for one that is not in the
// table, such as that the other side hung up.
func judge(err error) (v verdict, ok bool) {
	for _, line := range conduct {
		if errors.Is(err, line.reason) {
			return line.verdict, true
		}
	}
	return blameless, false
}

// blockFault says what an error of the chain about a block or header proves
// about the peer that sent it; nil if nothing.
func blockFault(err, invalid error) error {
	switch {
	case errors.Is(err, chain.ErrFatal), errors.Is(err, chain.ErrUnknownParent):
		return nil // our trouble, or our ignorance
	case errors.Is(err, chain.ErrInvalidated):
		return nil // the operator's word, not the rules'
	case errors.Is(err, consensus.ErrTimeTooNew):
		return nil // one of the two clocks is wrong
	case consensus.IsMutation(err):
		return fmt.Errorf("%w: %w", errMutated, err)
	case errors.Is(err, chain.ErrKnownInvalid), errors.Is(err, chain.ErrInvalidParent):
		return fmt.Errorf("%w: %w", errInvalidChain, err)
	case errors.Is(err, consensus.ErrOutputType), errors.Is(err, consensus.ErrScriptPath):
		return fmt.Errorf("%w: %w", errOutside, err) // valid in Bitcoin
	}
	if rule, ok := errors.AsType[*consensus.RuleError](err); ok {
		return fmt.Errorf("%w: %w", invalid, rule)
	}
	return nil
}

// punish discourages the address of the peer where the reason for which its
// connection ends proves that it is faulty, and says so in the log.
func (n *Node) punish(p *peer, err error) {
	v, ok := judge(err)
	switch {
	case !ok || v == blameless:
		n.log.Debug("peer gone", "peer", p.String(), "why", err)
	case v == proven && !p.isWanted() && n.bans.discourage(p.host):
		n.complain(p, fmt.Sprintf("peer discouraged for %v", discouragedTime), err)
	default:
		n.complain(p, "peer disconnected", err)
	}
}

// complain writes one line about a peer, unless there were many about its host.
func (n *Node) complain(p *peer, what string, err error) {
	if n.lines.allow(p.host, n.steady.Now()) {
		n.log.Warn(what, "peer", p.String(), "why", err)
	}
}

// refused writes one line about somebody who was not let in.
func (n *Node) refused(remote net.Addr, why string) {
	if n.lines.allow(hostOf(remote), n.steady.Now()) {
		n.log.Info("connection refused", "from", remote.String(), "why", why)
	}
}

// String names the peer for the log; what it said of itself is escaped.
func (p *peer) String() string { return fmt.Sprintf("%d %s %q", p.id, p.addr, p.userAgent) }

const (
	linesPerMinute = 5 // about one host
	maxLoudHosts   = 1000
)

// lineLimiter keeps a peer from filling the log.
type lineLimiter struct {
	mu     sync.Mutex // guards what follows
	minute time.Time
	lines  map[netip.Addr]int
}

func (l *lineLimiter) allow(host netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); minute != l.minute || l.lines == nil {
		l.minute, l.lines = minute, make(map[netip.Addr]int)
	}
	if len(l.lines) >= maxLoudHosts && l.lines[host] == 0 || l.lines[host] >= linesPerMinute {
		return false
	}
	l.lines[host]++
	return true
}
