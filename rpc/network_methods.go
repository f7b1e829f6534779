package rpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"lode/consensus"
	"lode/p2p"
)

// Network is what the server needs of the peers.
type Network interface {
	Peers() []p2p.PeerInfo
	ConnectionCount() (inbound, outbound int)
	NetTotals() (received, sent uint64)
	Services() uint64 // that this node announces
	AddNode(url string) error
	RemoveNode(url string) error
	Connect(ctx context.Context, url string) error
	AddedNodes() []p2p.AddedNode
	Advertised() []string                      // URLs
	Disconnect(id int64, address string) error // by address, or by id if that is empty
	Ping()
	InitialBlockDownload() bool // Bitcoin Core's
	Syncing() bool              // blocks are being fetched, and templates wait for them
	Ban(subnet p2p.Subnet, until time.Time) error
	Unban(subnet p2p.Subnet) error
	Bans() []p2p.Ban
	ClearBans() error
	Addresses() []p2p.KnownAddress
	Upload() p2p.Upload
	SetActive(active bool)
	Active() bool
	BlocksOnly() bool                     // peers' transactions are refused
	Warnings() []string                   // sentences
	Broadcast(txids ...consensus.Hash)    // before they are submitted
	Resubmit(txids ...consensus.Hash)     // that are in the pool, and nobody has asked for
	Unbroadcast() map[consensus.Hash]bool // of the mempool, by txid
	Open(ctx context.Context, address, kind string) error
	Send(id int64, command string, payload []byte) error
	FetchBlock(hash consensus.Hash, id int64) error
	Orphans() []p2p.OrphanTx
	AddAddress(at netip.AddrPort, tried bool) error
	Book() []p2p.BookEntry
	Settle(ctx context.Context) // until it has followed the tip
}

func (s *Server) networkCalls() calls {
	return calls{
		"getnetworkinfo":     s.getNetworkInfo,
		"getpeerinfo":        s.getPeerInfo,
		"getconnectioncount": s.getConnectionCount,
		"getnettotals":       s.getNetTotals,
		"addnode":            s.addNode,
		"getaddednodeinfo":   s.getAddedNodeInfo,
		"ping":               s.ping,
		"disconnectnode":     s.disconnectNode,
		"setban":             s.setBan,
		"listbanned":         s.listBanned,
		"clearbanned":        s.clearBanned,
		"getnodeaddresses":   s.getNodeAddresses,
		"getaddrmaninfo":     s.getAddrManInfo,
		"setnetworkactive":   s.setNetworkActive,
	}
}

// CoreVersion is that of Bitcoin Core whose interface this is, 30.0: tools infer from
// it which calls there are, and what they mean.
const CoreVersion = 300000

func (s *Server) getNetworkInfo(context.Context, *params) (any, error) {
	in, out := s.cfg.Network.ConnectionCount()
	st := s.cfg.Pool.Stats()
	services := s.cfg.Network.Services()
	return struct {
		Version        int           `json:"version"`
		SubVersion     string        `json:"subversion"`
		Protocol       int           `json:"protocolversion"`
		Services       string        `json:"localservices"`
		ServiceNames   []string      `json:"localservicesnames"`
		Relay          bool          `json:"localrelay"`
		TimeOffset     int64         `json:"timeoffset"`
		Active         bool          `json:"networkactive"`
		Connections    int           `json:"connections"`
		ConnectionsIn  int           `json:"connections_in"`
		ConnectionsOut int           `json:"connections_out"`
		Networks       []networkJSON `json:"networks"`
		RelayFee       coins         `json:"relayfee"`
		IncrementalFee coins         `json:"incrementalfee"`
		Local          []localJSON   `json:"localaddresses"`
		Warnings       []string      `json:"warnings"`
	}{
		CoreVersion, s.cfg.UserAgent, p2p.ProtocolVersion, fmt.Sprintf("%016x", services), p2p.ServiceNames(services), !s.cfg.Network.BlocksOnly(),
		medianOffset(s.cfg.Network.Peers()), s.cfg.Network.Active(),
		in + out, in, out, networks, coins(st.Policy.MinRelay), coins(st.Policy.Increment), s.localAddresses(), s.warnings(),
	}, nil
}

// networkJSON tells whether a network of BIP155 can be reached.
type networkJSON struct {
	Name      string `json:"name"`
	Limited   bool   `json:"limited"`
	Reachable bool   `json:"reachable"`
	Proxy     string `json:"proxy"`
	Randomize bool   `json:"proxy_randomize_credentials"`
}

// networks are those that Bitcoin Core lists; there are no proxies here.
var networks = []networkJSON{
	{Name: "ipv4", Reachable: true}, {Name: "ipv6", Reachable: true},
	{Name: "onion", Limited: true}, {Name: "i2p", Limited: true}, {Name: "cjdns", Limited: true},
}

// localJSON is where this node can be reached.
type localJSON struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	Score   int    `json:"score"`
	URL     string `json:"url"`
}

func (s *Server) localAddresses() []localJSON {
	const told = 4 // Bitcoin Core's score of what the operator says
	list := []localJSON{}
	for _, url := range s.cfg.Network.Advertised() {
		_, host, port := addressParts(url)
		list = append(list, localJSON{host, port, told, url})
	}
	return list
}

// medianOffset is by how many seconds the clocks of the peers that this node
// dialled are ahead; 0 where they are too few to tell, as in Bitcoin Core.
func medianOffset(peers []p2p.PeerInfo) int64 {
	var offsets []int64
	for i := range peers {
		if peers[i].HandshakeIsOver && !peers[i].Inbound {
			offsets = append(offsets, peers[i].TimeOffset)
		}
	}
	if len(offsets) < 5 {
		return 0
	}
	slices.Sort(offsets)
	return offsets[len(offsets)/2]
}

type peerJSON struct {
	ID               int64             `json:"id"`
	Addr             string            `json:"addr"`
	AddrBind         string            `json:"addrbind,omitempty"`
	AddrLocal        string            `json:"addrlocal,omitempty"`
	URL              string            `json:"url,omitempty"`
	Network          string            `json:"network"`
	Services         string            `json:"services"`
	ServiceNames     []string          `json:"servicesnames"`
	RelayTxs         bool              `json:"relaytxes"`
	LastInv          uint64            `json:"last_inv_sequence"`
	ToAnnounce       int               `json:"inv_to_send"`
	LastSend         int64             `json:"lastsend"`
	LastRecv         int64             `json:"lastrecv"`
	LastTx           int64             `json:"last_transaction"`
	LastBlock        int64             `json:"last_block"`
	BytesSent        uint64            `json:"bytessent"`
	BytesRecv        uint64            `json:"bytesrecv"`
	ConnTime         int64             `json:"conntime"`
	TimeOffset       int64             `json:"timeoffset"`
	Ping             *float64          `json:"pingtime,omitempty"`
	MinPing          *float64          `json:"minping,omitempty"`
	PingWait         *float64          `json:"pingwait,omitempty"`
	Version          int32             `json:"version"`
	SubVer           string            `json:"subver"`
	Inbound          bool              `json:"inbound"`
	StartingHeight   int32             `json:"startingheight"`
	PresyncHeight    int64             `json:"presynced_headers"`
	SyncedHeaders    int64             `json:"synced_headers"`
	SyncedBlocks     int64             `json:"synced_blocks"`
	InFlight         []uint32          `json:"inflight"`
	CompactTo        bool              `json:"bip152_hb_to"`
	CompactFrom      bool              `json:"bip152_hb_from"`
	AddrRelay        bool              `json:"addr_relay_enabled"`
	AddrProcessed    int               `json:"addr_processed"`
	AddrLimited      int               `json:"addr_rate_limited"`
	Permissions      []string          `json:"permissions"`
	MinFeeFilter     coins             `json:"minfeefilter"`
	SentPerMessage   map[string]uint64 `json:"bytessent_per_msg"`
	RecvPerMessage   map[string]uint64 `json:"bytesrecv_per_msg"`
	ConnectionType   string            `json:"connection_type"`
	TransportVersion string            `json:"transport_protocol_type"`
	SessionID        string            `json:"session_id"` // of an encrypted transport (BIP324), which there is not
}

func (s *Server) getPeerInfo(context.Context, *params) (any, error) {
	peers := []peerJSON{}
	for _, p := range s.cfg.Network.Peers() {
		j := peerJSON{
			ID: p.ID, Addr: p.Addr, AddrBind: p.LocalAddr, AddrLocal: p.SeenAs, LastInv: p.LastInv, ToAnnounce: p.TxsToAnnounce, PresyncHeight: p.PresyncHeight, URL: p.URL, Network: networkName(p.Addr), Services: fmt.Sprintf("%016x", p.Services), ServiceNames: p2p.ServiceNames(p.Services),
			RelayTxs: p.RelayTxs, LastSend: unix(p.Sent.Last), LastRecv: unix(p.Received.Last), LastTx: unix(p.LastTx), LastBlock: unix(p.LastBlock),
			BytesSent: p.Sent.Total, BytesRecv: p.Received.Total, ConnTime: unix(p.Connected), TimeOffset: p.TimeOffset,
			Ping: seconds(p.Ping), MinPing: seconds(p.MinPing), PingWait: seconds(p.PingWait), Version: p.Version, SubVer: p.SubVer, Inbound: p.Inbound,
			StartingHeight: p.StartingHeight, SyncedHeaders: p.SyncedHeaders, SyncedBlocks: p.SyncedBlocks, InFlight: p.InFlight,
			CompactTo: p.CompactTo, CompactFrom: p.CompactFrom,
			AddrRelay: p.AddrRelay, AddrProcessed: p.AddrsProcessed, AddrLimited: p.AddrsLimited, Permissions: append([]string{}, p.May.Names()...), MinFeeFilter: coins(p.FeeFilter), SentPerMessage: p.Sent.PerMessage, RecvPerMessage: p.Received.PerMessage,
			ConnectionType: p.Kind, TransportVersion: p.Transport,
		}
		if j.InFlight == nil {
			j.InFlight = []uint32{}
		}
		if j.SentPerMessage == nil {
			j.SentPerMessage = map[string]uint64{}
		}
		if j.RecvPerMessage == nil {
			j.RecvPerMessage = map[string]uint64{}
		}
		peers = append(peers, j)
	}
	return peers, nil
}

// networkName is Bitcoin Core's name for where the address of a socket belongs.
func networkName(addr string) string {
	ap, _ := netip.ParseAddrPort(addr)
	return networkOf(ap.Addr())
}

func networkOf(ip netip.Addr) string {
	switch ip = ip.Unmap(); {
	case !ip.IsGlobalUnicast() || ip.IsPrivate():
		return "not_publicly_routable"
	case ip.Is4():
		return "ipv4"
	}
	return "ipv6"
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func seconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

func (s *Server) getConnectionCount(context.Context, *params) (any, error) {
	in, out := s.cfg.Network.ConnectionCount()
	return in + out, nil
}

func (s *Server) getNetTotals(context.Context, *params) (any, error) {
	received, sent := s.cfg.Network.NetTotals()
	u := s.cfg.Network.Upload()
	type target struct {
		Timeframe       int64  `json:"timeframe"` // seconds
		Target          uint64 `json:"target"`    // bytes
		Reached         bool   `json:"target_reached"`
		ServeHistorical bool   `json:"serve_historical_blocks"`
		BytesLeft       uint64 `json:"bytes_left_in_cycle"`
		TimeLeft        int64  `json:"time_left_in_cycle"` // seconds
	}
	reached := u.Limit > 0 && u.Left == 0
	return struct {
		Received uint64 `json:"totalbytesrecv"`
		Sent     uint64 `json:"totalbytessent"`
		Millis   int64  `json:"timemillis"`
		Upload   target `json:"uploadtarget"`
	}{
		received, sent, s.cfg.Clock.Wall.Now().UnixMilli(),
		target{int64(u.Cycle.Seconds()), u.Limit, reached, u.ServesOld(), u.Left, int64(u.Ends.Seconds())},
	}, nil
}

func (s *Server) addNode(ctx context.Context, p *params) (any, error) {
	url, command, encrypted := p.text(0, ""), p.text(1, ""), p.flag(2, false)
	if p.err != nil {
		return nil, p.err
	}
	if encrypted {
		return nil, fail(codeParameter, "Error: v2transport requested but not enabled (see -v2transport)")
	}
	var err error
	switch command {
	case "add":
		err = s.cfg.Network.AddNode(url)
	case "remove":
		err = s.cfg.Network.RemoveNode(url)
	case "onetry":
		if _, err = p2p.CheckURL(url, s.cfg.Spec.Defaults.Ports); err == nil {
			s.connectOnce(ctx, url)
		}
	default:
		return nil, fail(codeMisc, "%s", s.table["addnode"].Help())
	}
	switch {
	case errors.Is(err, p2p.ErrAdded):
		return nil, fail(codeNodeAdded, "Error: Node already added")
	case errors.Is(err, p2p.ErrNotAdded):
		return nil, fail(codeNodeNotAdded, "Error: Node could not be removed. It has not been added previously.")
	}
	return nil, err
}

// connectOnce dials a peer. That it is not there is no error of the call, as in
// Bitcoin Core: getpeerinfo says who is connected.
func (s *Server) connectOnce(ctx context.Context, url string) {
	if err := s.cfg.Network.Connect(ctx, url); err != nil {
		s.cfg.Log.Info("addnode onetry: no connection", "peer", url, "error", err)
	}
}

func (s *Server) getAddedNodeInfo(_ context.Context, p *params) (any, error) {
	only, all := p.text(0, ""), p.absent(0)
	if p.err != nil {
		return nil, p.err
	}
	type address struct {
		Address   string `json:"address"`
		Connected string `json:"connected"`
	}
	type added struct {
		Node      string    `json:"addednode"`
		Connected bool      `json:"connected"`
		Addresses []address `json:"addresses"`
	}
	list := []added{}
	if clean, err := p2p.CheckURL(only, s.cfg.Spec.Defaults.Ports); !all && err == nil {
		only = clean // as the list has it
	}
	peers := s.cfg.Network.Peers()
	for _, node := range s.cfg.Network.AddedNodes() {
		if !all && only != node.URL {
			continue
		}
		a := added{Node: node.Name, Addresses: []address{}}
		for _, peer := range peers {
			if peer.URL == node.URL && peer.HandshakeIsOver {
				a.Connected = true
				a.Addresses = append(a.Addresses, address{peer.Addr, "outbound"})
			}
		}
		list = append(list, a)
	}
	if !all && len(list) == 0 {
		return nil, fail(codeNodeNotAdded, "Error: Node has not been added.")
	}
	return list, nil
}

func (s *Server) disconnectNode(_ context.Context, p *params) (any, error) {
	addr, id := p.text(0, ""), p.integer(1, 0, math.MinInt64, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	if byID := !p.absent(1) && addr == ""; !byID && (p.absent(0) || !p.absent(1)) {
		return nil, fail(codeInvalidParams, "Only one of address and nodeid should be provided.")
	}
	err := p2p.ErrNoPeer
	if addr != "" || !p.absent(1) {
		err = s.cfg.Network.Disconnect(id, addr)
	}
	if errors.Is(err, p2p.ErrNoPeer) {
		return nil, fail(codeNotConnected, "Node not found in connected nodes")
	}
	return nil, err
}

func (s *Server) ping(context.Context, *params) (any, error) {
	s.cfg.Network.Ping()
	return nil, nil
}
