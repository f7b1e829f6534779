package dnsseed

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxRoll    = 5000             // nodes that are known
	retryGood  = 15 * time.Minute // after which a good node is tried again
	retryOther = time.Hour
	goodFor    = time.Hour // after it was last reached
	maxMisses  = 5         // in a row, after which a node is forgotten
)

// Roll is the nodes that a seed knows, and how they did when it tried them. It is
// stepped by what a node has in its address book, and by tries:
//
//	state     try succeeds   try fails
//	new       good           new, or forgotten after five
//	good      good           new, and not answered any more
type Roll struct {
	nodes map[string]*entry // by URL
}

type entry struct {
	Target
	tried, good time.Time
	misses      int
}

// Target is a node that answers can name.
type Target struct {
	IP   netip.Addr // not valid for a name
	Name string     // of wss
	Port uint16
	TLS  bool
}

// targetOf reads the URL of a node.
func targetOf(text string) (t Target, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Path != "/p2p" && u.Path != "" {
		return t, false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return t, false
	}
	t.Port, t.TLS = uint16(port), u.Scheme == "wss"
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		t.IP = ip.Unmap().WithZone("")
		return t, !t.TLS // a certificate has a name
	}
	t.Name = strings.ToLower(u.Hostname())
	return t, t.TLS && isName(t.Name)
}

// URL is where the node is.
func (t Target) URL() string {
	host, scheme := t.Name, "ws"
	if t.IP.IsValid() {
		host = t.IP.String()
	}
	if t.TLS {
		scheme = "wss"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(t.Port))) + "/p2p"
}

// Learn takes the URL of a node, and reports whether it is of use and new.
func (r *Roll) Learn(url string, allowed func(netip.Addr) bool) bool {
	t, ok := targetOf(url)
	if !ok || t.IP.IsValid() && !allowed(t.IP) || len(r.nodes) >= maxRoll || r.nodes[t.URL()] != nil {
		return false
	}
	if r.nodes == nil {
		r.nodes = make(map[string]*entry)
	}
	r.nodes[t.URL()] = &entry{Target: t}
	return true
}

// Due gives up to n nodes to be tried now, and notes that they are.
func (r *Roll) Due(now time.Time, n int) (urls []string) {
	for url, e := range r.nodes { // in random order
		wait := retryOther
		if !e.good.IsZero() {
			wait = retryGood
		}
		if len(urls) < n && (e.tried.IsZero() || now.Sub(e.tried) >= wait) {
			e.tried = now
			urls = append(urls, url)
		}
	}
	return urls
}

// Tried notes how a try went.
func (r *Roll) Tried(url string, reached bool, now time.Time) {
	e := r.nodes[url]
	switch {
	case e == nil:
	case reached:
		e.good, e.misses = now, 0
	default:
		e.good = time.Time{}
		if e.misses++; e.misses >= maxMisses {
			delete(r.nodes, url)
		}
	}
}

// Good are the nodes that answers may name, in random order.
func (r *Roll) Good(now time.Time) (list []Target) {
	for _, e := range r.nodes {
		if !e.good.IsZero() && now.Sub(e.good) < goodFor {
			list = append(list, e.Target)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
