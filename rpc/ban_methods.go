package rpc

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"lode/p2p"
)

// DefaultBan is for how long setban bans, if Config.BanTime says nothing else.
const DefaultBan = 24 * time.Hour

func (s *Server) setBan(_ context.Context, p *params) (any, error) {
	text, command := p.text(0, ""), p.text(1, "")
	bantime, absolute := p.integer(2, 0, math.MinInt64, math.MaxInt64), p.flag(3, false)
	if p.err != nil {
		return nil, p.err
	}
	if command != "add" && command != "remove" {
		return nil, fail(codeMisc, "%s", s.table["setban"].Help())
	}
	subnet, err := p2p.ParseSubnet(text)
	if err != nil {
		return nil, fail(codeSubnet, "Error: Invalid IP/Subnet")
	}
	if command == "remove" {
		if err := s.cfg.Network.Unban(subnet); errors.Is(err, p2p.ErrNoBan) {
			return nil, fail(codeSubnet, "Error: Unban failed. Requested address/subnet was not previously manually banned.")
		} else if err != nil {
			return nil, err
		}
		return nil, nil
	}
	now := s.cfg.Clock.Wall.Now()
	until := now.Add(cmp.Or(s.cfg.BanTime, DefaultBan))
	const most = math.MaxUint32 // seconds; Unix time does not need more before 2106
	switch {
	case absolute && bantime < now.Unix():
		return nil, fail(codeParameter, "Error: Absolute timestamp is in the past")
	case bantime > most || bantime < 0 && !absolute:
		return nil, fail(codeParameter, "Error: bantime must be in the range [0, %d]", uint32(most))
	case absolute:
		until = time.Unix(bantime, 0)
	case bantime > 0:
		until = now.Add(time.Duration(bantime) * time.Second)
	}
	if err := s.cfg.Network.Ban(subnet, until); errors.Is(err, p2p.ErrIsBanned) {
		return nil, fail(codeNodeAdded, "Error: IP/Subnet already banned")
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

func (s *Server) listBanned(context.Context, *params) (any, error) {
	type entry struct {
		Address   string `json:"address"`
		Created   int64  `json:"ban_created"`
		Until     int64  `json:"banned_until"`
		Duration  int64  `json:"ban_duration"`   // seconds
		Remaining int64  `json:"time_remaining"` // seconds
	}
	list := []entry{}
	now := s.cfg.Clock.Wall.Now().Unix()
	for _, b := range s.cfg.Network.Bans() {
		created, until := b.Created.Unix(), b.Until.Unix()
		list = append(list, entry{b.Subnet.String(), created, until, until - created, until - now})
	}
	return list, nil
}

func (s *Server) clearBanned(context.Context, *params) (any, error) {
	return nil, s.cfg.Network.ClearBans()
}

// knownNetworks are the networks of addresses that there are: Bitcoin Core's
// names, and one for host names, which it does not have.
var knownNetworks = []string{"ipv4", "ipv6", "dns", "not_publicly_routable"}

// addressParts takes the URL of a peer apart.
func addressParts(peer string) (network, host string, port uint16) {
	u, err := url.Parse(peer)
	if err != nil {
		return "dns", peer, 0
	}
	number, _ := strconv.ParseUint(u.Port(), 10, 16) // zero for the port of the scheme
	if port = uint16(number); u.Port() == "" {
		port = map[string]uint16{"ws": 80, "wss": 443}[u.Scheme]
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return networkOf(ip), ip.String(), port
	}
	return "dns", u.Hostname(), port
}

func (s *Server) getNodeAddresses(_ context.Context, p *params) (any, error) {
	count, only := p.integer(0, 1, math.MinInt32, math.MaxInt32), p.text(1, "")
	if p.err != nil {
		return nil, p.err
	}
	if count < 0 {
		return nil, fail(codeParameter, "Address count out of range")
	}
	isCore := func(n networkJSON) bool { return n.Name == only }
	if !p.absent(1) && !slices.Contains(knownNetworks, only) && !slices.ContainsFunc(networks, isCore) {
		return nil, fail(codeParameter, "Network not recognized: %.80s", only)
	}
	type address struct {
		Time     int64  `json:"time"`
		Services uint64 `json:"services"`
		Address  string `json:"address"`
		Port     uint16 `json:"port"`
		Network  string `json:"network"`
		URL      string `json:"url"`
	}
	list := []address{}
	for _, a := range s.cfg.Network.Addresses() {
		network, host, port := addressParts(a.URL)
		if !a.Good || only != "" && only != network {
			continue
		}
		if list = append(list, address{unix(a.Seen), a.Services, host, port, network, a.URL}); int64(len(list)) == count {
			break
		}
	}
	return list, nil
}

func (s *Server) getAddrManInfo(context.Context, *params) (any, error) {
	type counts struct {
		New   int `json:"new"`
		Tried int `json:"tried"`
		Total int `json:"total"`
	}
	all := counts{}
	found := make(map[string]counts)
	for _, network := range knownNetworks {
		found[network] = counts{}
	}
	for _, network := range networks { // those of Bitcoin Core, also where there are none
		found[network.Name] = counts{}
	}
	add := func(c *counts, tried bool) {
		if c.Total++; tried {
			c.Tried++
		} else {
			c.New++
		}
	}
	for _, a := range s.cfg.Network.Addresses() {
		network, _, _ := addressParts(a.URL)
		c := found[network]
		add(&c, a.Tried)
		add(&all, a.Tried)
		found[network] = c
	}
	found["all_networks"] = all
	return found, nil
}

func (s *Server) setNetworkActive(_ context.Context, p *params) (any, error) {
	active := p.flag(0, true)
	if p.err != nil {
		return nil, p.err
	}
	s.cfg.Network.SetActive(active)
	return s.cfg.Network.Active(), nil
}
