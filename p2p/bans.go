package p2p

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lode/internal/clock"
)

// Ban is a network from which nobody may connect, and which is not dialled.
type Ban struct {
	Subnet
	Created, Until time.Time // whole seconds
}

// Subnet is what can be banned: a network of IP addresses, or a name in Tor or I2P, of
// which no peer comes, but which a URL may have.
type Subnet struct {
	netip.Prefix        // masked; not valid for a name
	Name         string // of Tor or I2P, or empty
}

// String is how people write it.
func (s Subnet) String() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Prefix.String()
}

func (s Subnet) compare(o Subnet) int {
	return cmp.Or(cmp.Compare(s.Name, o.Name), s.Addr().Compare(o.Addr()), cmp.Compare(s.Bits(), o.Bits()))
}

// banList holds who may not connect, and until when. What the operator banned is
// saved; who was discouraged by what it did is forgotten at a restart, as in
// Bitcoin Core.
type banList struct {
	file  string           // empty: not saved
	now   func() time.Time // setmocktime sets it; nil means the machine's
	space space

	saving sync.Mutex // held while the file is written

	mu          sync.Mutex // guards what follows
	nets        map[Subnet]Ban
	discouraged map[netip.Addr]*list.Element
	order       list.List // of blame; who was discouraged last comes last
}

// blame says until when a host is discouraged.
type blame struct {
	host  netip.Addr
	until time.Time
}

func (b *banList) time() time.Time {
	if b.now == nil {
		return clock.System.Now()
	}
	return b.now()
}

// banFile is the JSON document that the bans are saved as, Bitcoin Core's.
type banFile struct {
	Nets []banEntry `json:"banned_nets"`
}

type banEntry struct {
	Version int    `json:"version"`
	Created int64  `json:"ban_created"`  // Unix seconds
	Until   int64  `json:"banned_until"` // Unix seconds
	Address string `json:"address"`
}

const banVersion = 1

// load reads the saved bans, and makes the file if there is none, as Bitcoin Core does.
// What cannot be read is left out, and the error says so.
func (b *banList) load() (made bool, err error) {
	if b.file == "" {
		return false, nil
	}
	var saved banFile
	found, err := readJSON(b.file, &saved)
	if err != nil {
		return false, err
	}
	if !found {
		return true, b.save()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range saved.Nets {
		subnet, err := ParseSubnet(e.Address)
		if err != nil || e.Version != banVersion || len(b.nets) >= maxBans {
			return false, fmt.Errorf("%s is damaged: the ban of %.80q is left out, and what follows it", b.file, e.Address)
		}
		b.put(Ban{subnet, time.Unix(e.Created, 0), time.Unix(e.Until, 0)})
	}
	return false, nil
}

func (b *banList) save() error {
	if b.file == "" {
		return nil
	}
	b.saving.Lock() // so that the last to write has the last state
	defer b.saving.Unlock()
	saved := banFile{Nets: []banEntry{}}
	for _, ban := range b.all() {
		saved.Nets = append(saved.Nets, banEntry{banVersion, ban.Created.Unix(), ban.Until.Unix(), ban.Subnet.String()})
	}
	return writeJSON(b.file, saved)
}

// put adds a ban. The caller holds mu.
func (b *banList) put(ban Ban) {
	if b.nets == nil {
		b.nets = make(map[Subnet]Ban)
	}
	b.nets[ban.Subnet] = ban
}

// isBannedName reports whether the operator banned a name.
func (b *banList) isBannedName(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ban, ok := b.nets[Subnet{Name: name}]
	return ok && b.time().Before(ban.Until)
}

// sweep forgets the bans that are over. The caller holds mu.
func (b *banList) sweep(now time.Time) {
	for subnet, ban := range b.nets {
		if !now.Before(ban.Until) {
			delete(b.nets, subnet)
		}
	}
}

// all gives the bans that are not over, ordered by network.
func (b *banList) all() (bans []Ban) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(b.time())
	for _, ban := range b.nets {
		bans = append(bans, ban)
	}
	slices.SortFunc(bans, func(x, y Ban) int { return x.compare(y.Subnet) })
	return bans
}

// inBan reports whether the operator banned a network of the address.
func (b *banList) inBan(host netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.covered(host)
}

// covered is inBan for a caller that holds mu. It looks for the networks of each
// length that there may be, not at every ban.
func (b *banList) covered(host netip.Addr) bool {
	if !host.IsValid() || len(b.nets) == 0 {
		return false
	}
	now := b.time()
	for bits := host.BitLen(); bits >= 0; bits-- {
		subnet, _ := host.Prefix(bits) // in range
		if ban, ok := b.nets[Subnet{Prefix: subnet}]; ok && now.Before(ban.Until) {
			return true
		}
	}
	return false
}

// discourage reports whether the address could be: a loopback address stands for
// every program on this machine, and never is.
func (b *banList) discourage(host netip.Addr) bool {
	if !host.IsValid() || b.space.isLoopback(host) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.time()
	if e, ok := b.discouraged[host]; ok {
		b.forgive(e)
	}
	for e := b.order.Front(); e != nil && (len(b.discouraged) >= maxDiscouraged || !now.Before(e.Value.(blame).until)); e = b.order.Front() {
		b.forgive(e)
	}
	if b.discouraged == nil {
		b.discouraged = make(map[netip.Addr]*list.Element)
	}
	b.discouraged[host] = b.order.PushBack(blame{host, now.Add(discouragedTime)})
	return true
}

// forgive takes one out of the discouraged. The caller holds mu.
func (b *banList) forgive(e *list.Element) {
	delete(b.discouraged, e.Value.(blame).host)
	b.order.Remove(e)
}

// banned reports whether the address may not connect and is not dialled.
func (b *banList) banned(host netip.Addr) bool {
	return b.inBan(host) || b.isDiscouraged(host)
}

func (b *banList) isDiscouraged(host netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.discouraged[host]
	if ok && !b.time().Before(e.Value.(blame).until) {
		b.forgive(e)
		ok = false
	}
	return ok
}

// The errors of Node.Ban and Node.Unban.
var (
	ErrSubnet   = errors.New("want an IP address or a network such as 192.0.2.0/24")
	ErrIsBanned = errors.New("the network is banned already")
	ErrBansFull = fmt.Errorf("there are %d bans already: remove some", maxBans)
	ErrNoBan    = errors.New("no such network was banned")
)

// ParseSubnet reads an IP address, as the network that holds it alone, or a
// network, with the number of its bits or a mask behind the slash, or a name of Tor or
// I2P.
func ParseSubnet(s string) (Subnet, error) {
	if isHiddenName(s) {
		return Subnet{Name: s}, nil
	}
	prefix, err := parsePrefix(s)
	return Subnet{Prefix: prefix}, err
}

func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	subnet, err := netip.ParsePrefix(s)
	if err != nil || subnet.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%w: %.80q", ErrSubnet, s)
	}
	return subnet.Masked(), nil
}

// Ban bans a network until a time, and disconnects who is in it, whoever they
// are. One address is not banned twice, not even as part of a network.
func (n *Node) Ban(subnet Subnet, until time.Time) error {
	b := &n.bans
	now := b.time()
	b.mu.Lock()
	b.sweep(now)
	_, is := b.nets[subnet]
	is = is || subnet.IsValid() && subnet.IsSingleIP() && b.covered(subnet.Addr())
	full := len(b.nets) >= maxBans
	if !is && !full {
		b.put(Ban{subnet, time.Unix(now.Unix(), 0), time.Unix(until.Unix(), 0)})
	}
	b.mu.Unlock()
	switch {
	case is:
		return fmt.Errorf("%w: %s", ErrIsBanned, subnet)
	case full:
		return ErrBansFull
	}
	n.mu.Lock()
	for p := range n.connections() {
		if subnet.IsValid() && subnet.Contains(p.host) {
			p.drop(errBanned)
		}
	}
	n.mu.Unlock()
	return b.save()
}

// Unban takes back a ban of just that network.
func (n *Node) Unban(subnet Subnet) error {
	b := &n.bans
	b.mu.Lock()
	b.sweep(b.time())
	_, is := b.nets[subnet]
	delete(b.nets, subnet)
	b.mu.Unlock()
	if !is {
		return fmt.Errorf("%w: %s", ErrNoBan, subnet)
	}
	return b.save()
}

// Bans lists the bans that are not over, ordered by network.
func (n *Node) Bans() []Ban { return n.bans.all() }

// ClearBans takes back all bans, and forgets who was discouraged.
func (n *Node) ClearBans() error {
	b := &n.bans
	b.mu.Lock()
	b.nets, b.discouraged = nil, nil
	b.order.Init()
	b.mu.Unlock()
	return b.save()
}
