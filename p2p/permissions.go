package p2p

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"lode/consensus"
)

// Permissions are what the operator allows some peers, with the names and the meaning
// of Bitcoin Core's -whitelist and -whitebind (net_permissions.h).
type Permissions uint8

// Of two that overlap one implies the other.
const (
	MayDownload    Permissions                 = 1 << iota // it is served though the upload limit is used up, and before this node has enough work
	mayNotBeBan                                            // a part of MayNotBeBanned
	MayRelay                                               // its announcements are neither counted nor delayed
	mayForce                                               // a part of MayForceRelay
	MayAskMempool                                          // it may ask for all of the mempool (BIP35)
	MayFlood                                               // it may tell as many addresses as it likes
	MayAskBloom                                            // nothing here: no filters are served
	MayNotBeBanned = mayNotBeBan | MayDownload             // not limited, punished or made to leave for others; told of transactions at once
	MayForceRelay  = mayForce | MayRelay                   // what it sends is announced again though it is known
	mayAll         = MayNotBeBanned | MayForceRelay | MayAskMempool | MayFlood | MayAskBloom
)

// permissionNames are Bitcoin Core's, in its order.
var permissionNames = []struct {
	name string
	is   Permissions
}{
	{"bloomfilter", MayAskBloom}, {"noban", MayNotBeBanned}, {"forcerelay", MayForceRelay}, {"relay", MayRelay},
	{"mempool", MayAskMempool}, {"download", MayDownload}, {"addr", MayFlood},
}

// Has reports whether all of others are among them.
func (p Permissions) Has(others Permissions) bool { return p&others == others }

// Names lists them, those that are implied included.
func (p Permissions) Names() (list []string) {
	for _, one := range permissionNames {
		if p.Has(one.is) {
			list = append(list, one.name)
		}
	}
	return list
}

// Implicit are the permissions that are meant where none is named; relay and force
// are Bitcoin Core's -whitelistrelay and -whitelistforcerelay, where force implies
// relay.
func Implicit(relay, force bool) Permissions {
	p := MayAskMempool | MayNotBeBanned
	if relay {
		p |= MayRelay
	}
	if force {
		p |= MayForceRelay
	}
	return p
}

// Grant gives permissions to the peers at some addresses.
type Grant struct {
	Net     netip.Prefix
	May     Permissions
	In, Out bool // to those that dial this node; to those that the operator has it dial
}

// coreError is an error in Bitcoin Core's words, by which people find what it means.
type coreError string

// Error implements error.
func (e coreError) Error() string { return string(e) }

// Errors of ParseGrant and ParseBind.
const (
	errPermission = coreError("Invalid P2P permission")
	errDirection  = coreError("Only direction was set, no permissions")
	errNetmask    = coreError("Invalid netmask specified in -whitelist")
	errBindOut    = coreError(`whitebind may only be used for incoming connections ("out" was passed)`)
	errBind       = coreError("Cannot resolve -whitebind address")
	errBindPort   = coreError("Need to specify a port with -whitebind")
)

// ParseGrant reads [PERMISSION,…@]ADDRESS[/BITS]; permissions may have in and out
// among them, and implicit are meant without any.
func ParseGrant(s string, implicit Permissions) (g Grant, err error) {
	where := s
	g.May = implicit
	if names, rest, ok := strings.Cut(s, "@"); ok {
		where = rest
		if g.May, g.In, g.Out, err = parsePermissions(names); err != nil {
			return g, err
		}
		if (g.In || g.Out) && g.May == 0 {
			return g, fmt.Errorf("%w: %.100q", errDirection, s)
		}
	}
	g.In = g.In || !g.Out
	if ip, addrErr := netip.ParseAddr(where); addrErr == nil {
		g.Net, err = ip.Unmap().Prefix(ip.Unmap().BitLen())
	} else {
		g.Net, err = netip.ParsePrefix(where)
	}
	if err != nil {
		return g, fmt.Errorf("%w: %.100q is no IP address, or addr/bits", errNetmask, where)
	}
	return g, nil
}

// ParseBind reads [PERMISSION,…@]HOST:PORT; implicit are meant without permissions.
func ParseBind(s string, implicit Permissions) (address string, may Permissions, err error) {
	address, may = s, implicit
	if names, rest, ok := strings.Cut(s, "@"); ok {
		var in, out bool
		address = rest
		switch may, in, out, err = parsePermissions(names); {
		case err != nil:
			return "", 0, err
		case out:
			return "", 0, errBindOut
		case in && may == 0:
			return "", 0, fmt.Errorf("%w: %.100q", errDirection, s)
		}
	}
	host, port, err := net.SplitHostPort(address)
	switch ip, ipErr := netip.ParseAddr(host); {
	case err != nil && strings.Contains(err.Error(), "missing port") && !strings.ContainsAny(address, "/ "):
		return "", 0, fmt.Errorf("%w: %.100q", errBindPort, address)
	case err != nil || ipErr != nil || ip.Zone() != "":
		return "", 0, fmt.Errorf("%w: %.100q, want IP:PORT", errBind, address)
	case port == "" || port == "0":
		return "", 0, fmt.Errorf("%w: %.100q", errBindPort, address)
	}
	return address, may, nil
}

// parsePermissions reads names with commas between them; empty ones mean nothing.
func parsePermissions(names string) (may Permissions, in, out bool, err error) {
next:
	for name := range strings.SplitSeq(names, ",") {
		switch name {
		case "":
			continue
		case "in":
			in = true
			continue
		case "out":
			out = true
			continue
		case "all":
			may |= mayAll
			continue
		case "bloom":
			may |= MayAskBloom
			continue
		}
		for _, one := range permissionNames {
			if one.name == name {
				may |= one.is
				continue next
			}
		}
		return 0, false, false, fmt.Errorf("%w: %.50q", errPermission, name)
	}
	return may, in, out, nil
}

// grantsOf are the permissions of a peer by where it is.
func (n *Node) grantsOf(host netip.Addr, kind connectionKind) (may Permissions) {
	host = host.Unmap()
	for _, g := range n.cfg.Grants {
		if g.Net.Contains(host) && (kind == kindInbound && g.In || kind == kindManual && g.Out) {
			may |= g.May
		}
	}
	return may
}

// trusts reports whether the operator vouches for who comes from an address.
func (n *Node) trusts(host netip.Addr) bool { return n.grantsOf(host, kindInbound).Has(MayNotBeBanned) }

// answerMempool deals with a peer that asks for all of the mempool. It ends the
// connection to those that may not, as in Bitcoin Core without -peerbloomfilters.
func (n *Node) answerMempool(p *peer) error {
	if !p.may.Has(MayAskMempool) {
		if p.isWanted() {
			return nil
		}
		return errBloom
	}
	if !p.out.requestMempool() {
		return fmt.Errorf("%w: the mempool", errFlood)
	}
	return nil
}

// serveMempool announces all of the mempool, but what pays less than the peer wants.
func (n *Node) serveMempool(p *peer) error {
	var all []txNews
	n.pool.Each(func(wtxid consensus.Hash, tx *consensus.Tx) { all = append(all, txNews{txid: tx.TxID(), wtxid: wtxid}) })
	p.mu.Lock()
	least := p.flags.feeFilter
	p.mu.Unlock()
	var items []invItem
	for _, tx := range all {
		if info, here := n.pool.Info(tx.txid); here && int64(info.Rate()) >= least {
			items = append(items, tx.item(p))
		}
	}
	n.relay.mu.Lock()
	for _, item := range items {
		p.relay.known.add(item.hash)
	}
	n.relay.mu.Unlock()
	for part := range slices.Chunk(items, maxInv) {
		if err := p.writeMessage(&msgInv{cmdInv, part}); err != nil {
			return err
		}
	}
	return nil
}
