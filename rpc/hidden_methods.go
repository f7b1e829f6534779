package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"lode/consensus"
	"lode/p2p"
)

// hiddenCalls are for tests and for looking into the network side.
func (s *Server) hiddenCalls() calls {
	return calls{
		"addconnection":                    s.addConnection,
		"addpeeraddress":                   s.addPeerAddress,
		"getblockfrompeer":                 s.getBlockFromPeer,
		"getorphantxs":                     s.getOrphanTxs,
		"getrawaddrman":                    s.getRawAddrMan,
		"mockscheduler":                    s.mockScheduler,
		"sendmsgtopeer":                    s.sendMsgToPeer,
		"setclockahead":                    s.setClockAhead,
		"syncwithvalidationinterfacequeue": s.syncWithValidationInterfaceQueue,
	}
}

// forTests refuses a call where the chainspec does not allow the clock to be set:
// such a network is for tests.
func (s *Server) forTests(p *params, call string) error {
	if p.err == nil && !s.cfg.Spec.Defaults.MockClock {
		return fail(codeMisc, "%s is for networks for tests only", call)
	}
	return p.err
}

func (s *Server) addConnection(ctx context.Context, p *params) (any, error) {
	address, kind, encrypted := p.text(0, ""), p.text(1, ""), p.flag(2, false)
	if err := s.forTests(p, "addconnection"); err != nil {
		return nil, err
	}
	if encrypted {
		return nil, fail(codeParameter, "Error: Adding v2transport connections requires -v2transport init flag to be set.")
	}
	switch err := s.cfg.Network.Open(ctx, address, kind); {
	case errors.Is(err, p2p.ErrCapacity):
		return nil, fail(codeCapacity, "Error: Already at capacity for specified connection type.")
	case err != nil:
		return nil, fail(codeParameter, "%s", err)
	}
	return map[string]string{"address": address, "connection_type": kind}, nil
}

func (s *Server) addPeerAddress(_ context.Context, p *params) (any, error) {
	host, port, tried := p.text(0, ""), p.integer(1, 0, 0, math.MaxUint16), p.flag(2, false)
	if err := s.forTests(p, "addpeeraddress"); err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fail(codeSubnet, "Invalid IP address")
	}
	result := struct {
		Success bool   `json:"success"`
		Error   string `json:"error,omitempty"`
	}{Success: true}
	if err := s.cfg.Network.AddAddress(netip.AddrPortFrom(ip.Unmap(), uint16(port)), tried); err != nil {
		result.Success, result.Error = false, err.Error()
	}
	return result, nil
}

func (s *Server) getBlockFromPeer(_ context.Context, p *params) (any, error) {
	hash, id := p.hash(0, "blockhash"), p.integer(1, 0, math.MinInt64, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	info, known := s.cfg.Chain.Header(hash)
	switch {
	case !known:
		return nil, fail(codeMisc, "Block header missing")
	case s.cfg.Chain.Pruning().Enabled && info.Height > s.cfg.Chain.Tip().Height:
		return nil, fail(codeMisc, "In prune mode, only blocks that the node has already synced previously can be fetched from a peer")
	case info.HaveBlock:
		return nil, fail(codeMisc, "Block already downloaded")
	}
	switch err := s.cfg.Network.FetchBlock(hash, id); {
	case errors.Is(err, p2p.ErrNoPeer):
		return nil, fail(codeMisc, "Peer does not exist")
	case err != nil:
		return nil, fail(codeMisc, "%s", err)
	}
	return struct{}{}, nil
}

type orphanJSON struct {
	TxID   consensus.Hash `json:"txid"`
	WTxID  consensus.Hash `json:"wtxid"`
	Bytes  int            `json:"bytes"`
	VSize  int            `json:"vsize"`
	Weight int            `json:"weight"`
	From   []int64        `json:"from"`
	Hex    string         `json:"hex,omitempty"`
}

func (s *Server) getOrphanTxs(_ context.Context, p *params) (any, error) {
	if jsonType(p.values[0]) == "bool" {
		return nil, fail(codeType, "Verbosity was boolean but only integer allowed")
	}
	verbosity := p.verbosity(0, 0)
	if p.err != nil {
		return nil, p.err
	}
	if verbosity < 0 || verbosity > 2 {
		return nil, fail(codeParameter, "Invalid verbosity value %d", verbosity)
	}
	ids, orphans := []consensus.Hash{}, []orphanJSON{}
	for _, o := range s.cfg.Network.Orphans() {
		j := orphanJSON{TxID: o.Tx.TxID(), WTxID: o.Tx.WTxID(), Bytes: o.Tx.Size(), VSize: o.Tx.VSize(), Weight: o.Tx.Weight(), From: o.From}
		if verbosity == 2 {
			j.Hex = hex.EncodeToString(o.Tx.Bytes())
		}
		ids, orphans = append(ids, j.TxID), append(orphans, j)
	}
	if verbosity == 0 {
		return ids, nil
	}
	return orphans, nil
}

type rawAddressJSON struct {
	Address       string `json:"address"`
	Port          uint16 `json:"port"`
	Network       string `json:"network"`
	Services      uint64 `json:"services"`
	Time          int64  `json:"time"`
	Source        string `json:"source"`
	SourceNetwork string `json:"source_network"`
	URL           string `json:"url"`
}

func (s *Server) getRawAddrMan(context.Context, *params) (any, error) {
	tables := map[string]map[string]rawAddressJSON{"new": {}, "tried": {}}
	for _, e := range s.cfg.Network.Book() {
		network, host, port := addressParts(e.URL)
		name := "new"
		if e.Tried {
			name = "tried"
		}
		tables[name][fmt.Sprintf("%d/%d", e.Bucket, e.Position)] = rawAddressJSON{
			host, port, network, e.Services, e.Seen.Unix(), e.Source, network, e.URL,
		}
	}
	return tables, nil
}

func (s *Server) mockScheduler(_ context.Context, p *params) (any, error) {
	seconds := p.integer(0, 0, math.MinInt64, math.MaxInt64)
	if err := s.forTests(p, "mockscheduler"); err != nil {
		return nil, err
	}
	if seconds <= 0 || seconds > 3600 {
		return nil, fail(codeMisc, "delta_time must be between 1 and 3600 seconds (1 hr)")
	}
	s.cfg.Clock.Chores.Forward(time.Duration(seconds) * time.Second)
	return nil, nil
}

// setClockAhead has the node believe that it is later, or earlier, than it is. Unlike
// after setmocktime the time goes on.
func (s *Server) setClockAhead(_ context.Context, p *params) (any, error) {
	const most = 10 * 365 * 24 * 3600 // seconds
	seconds := p.integer(0, 0, -most, most)
	if err := s.forTests(p, "setclockahead"); err != nil {
		return nil, err
	}
	s.cfg.Clock.Wall.Ahead(time.Duration(seconds) * time.Second)
	return nil, nil
}

func (s *Server) sendMsgToPeer(_ context.Context, p *params) (any, error) {
	id, command, payload := p.integer(0, 0, math.MinInt64, math.MaxInt64), p.text(1, ""), p.text(2, "")
	if err := s.forTests(p, "sendmsgtopeer"); err != nil {
		return nil, err
	}
	const longest = 12 // bytes of the name of a message
	if len(command) > longest {
		return nil, fail(codeParameter, "Error: msg_type too long, max length is %d", longest)
	}
	raw, err := hex.DecodeString(payload)
	if err != nil {
		return nil, fail(codeParameter, "Error parsing input for msg")
	}
	if err := s.cfg.Network.Send(id, command, raw); err != nil {
		return nil, fail(codeMisc, "Error: Could not send message to peer")
	}
	return struct{}{}, nil
}

// syncWithValidationInterfaceQueue waits until the pool and the peers have followed
// the tip.
func (s *Server) syncWithValidationInterfaceQueue(ctx context.Context, p *params) (any, error) {
	if err := s.forTests(p, "syncwithvalidationinterfacequeue"); err != nil {
		return nil, err
	}
	if err := s.cfg.Pool.Sync(); err != nil {
		return nil, err
	}
	s.cfg.Network.Settle(ctx)
	return nil, nil
}
