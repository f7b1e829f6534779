package dnsseed

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxUDP     = 1232 // bytes of an answer over UDP: fits into packets everywhere (DNS flag day 2020)
	maxPlain   = 512  // for whom EDNS is unknown
	maxRecords = 24   // of an answer
	negative   = 30   // seconds
)

// Zone answers questions about one.
type Zone struct {
	Name       string // with a dot at the end, in lower case
	NameServer string // likewise
	Mailbox    string // likewise
	Port       uint16 // of the network, for WebSocket
	TTL        uint32 // seconds
}

// Answer answers a question of a stranger by the nodes that are good. A nil answer is
// none. Over UDP what does not fit is left out, with the bit that has the asker come
// again over TCP.
func (z *Zone) Answer(q *dns.Msg, good []Target, udp bool) *dns.Msg {
	if q.Response {
		return nil // an answer to an answer would go on forever
	}
	m := new(dns.Msg)
	m.SetReply(q)
	size := maxPlain
	if o := q.IsEdns0(); o != nil {
		size = min(max(int(o.UDPSize()), maxPlain), maxUDP)
		m.SetEdns0(maxUDP, false)
		if o.Version() != 0 {
			m.Rcode = dns.RcodeBadVers
			return m
		}
	}
	m.Compress = true
	switch {
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
		m.Question = nil
	case q.Question[0].Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	default:
		z.fill(m, q.Question[0], good)
	}
	if udp {
		m.Truncate(size)
	}
	return m
}

// fill answers one question.
func (z *Zone) fill(m *dns.Msg, q dns.Question, good []Target) {
	name := strings.ToLower(q.Name)
	if !dns.IsSubDomain(z.Name, name) {
		m.Rcode = dns.RcodeRefused
		return
	}
	m.Authoritative = true
	known := true
	switch label := strings.TrimSuffix(strings.TrimSuffix(name, z.Name), "."); label {
	case "":
		z.apex(m, q, good)
	case "_lode._tcp", "_lode-tls._tcp":
		z.services(m, q, good, label == "_lode-tls._tcp")
	case "_tcp": // is there, as something is below it
	default:
		known = z.target(m, q, label, good)
	}
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{z.soa()}
	}
}

func (z *Zone) head(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

func (z *Zone) soa() dns.RR {
	return &dns.SOA{Hdr: z.head(z.Name, dns.TypeSOA, negative), Ns: z.NameServer, Mbox: z.Mailbox, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negative}
}

// address is the record of an IP address, if a question of a kind asks for it.
func (z *Zone) address(name string, kind uint16, ip netip.Addr) dns.RR {
	switch {
	case kind == dns.TypeA && ip.Is4():
		return &dns.A{Hdr: z.head(name, kind, z.TTL), A: ip.AsSlice()}
	case kind == dns.TypeAAAA && ip.Is6():
		return &dns.AAAA{Hdr: z.head(name, kind, z.TTL), AAAA: ip.AsSlice()}
	}
	return nil
}

func (z *Zone) apex(m *dns.Msg, q dns.Question, good []Target) {
	switch q.Qtype {
	case dns.TypeSOA:
		m.Answer = append(m.Answer, z.soa())
	case dns.TypeNS:
		m.Answer = append(m.Answer, &dns.NS{Hdr: z.head(q.Name, dns.TypeNS, z.TTL), Ns: z.NameServer})
	case dns.TypeANY: // RFC 8482: not all that there is
		m.Answer = append(m.Answer, &dns.HINFO{Hdr: z.head(q.Name, dns.TypeHINFO, z.TTL), Cpu: "RFC8482"})
	}
	for _, t := range good {
		if t.TLS || t.Port != z.Port || len(m.Answer) >= maxRecords {
			continue
		}
		if r := z.address(q.Name, q.Qtype, t.IP); r != nil {
			m.Answer = append(m.Answer, r)
		}
	}
}

// services answers for SRV.
func (z *Zone) services(m *dns.Msg, q dns.Question, good []Target, tls bool) {
	if q.Qtype != dns.TypeSRV {
		return
	}
	for _, t := range good {
		if t.TLS != tls || len(m.Answer) >= maxRecords {
			continue
		}
		target := t.Name + "."
		if !tls {
			target = labelOf(t.IP) + "." + z.Name
			for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
				if r := z.address(target, kind, t.IP); r != nil {
					m.Extra = append(m.Extra, r)
				}
			}
		}
		m.Answer = append(m.Answer, &dns.SRV{Hdr: z.head(q.Name, dns.TypeSRV, z.TTL), Port: t.Port, Target: target})
	}
}

// target answers for the name of a node by its address, and reports whether there is
// such a node: nobody can have this zone name any other address.
func (z *Zone) target(m *dns.Msg, q dns.Question, label string, good []Target) bool {
	for _, t := range good {
		if t.TLS || labelOf(t.IP) != label {
			continue
		}
		if r := z.address(q.Name, q.Qtype, t.IP); r != nil {
			m.Answer = append(m.Answer, r)
		}
		return true
	}
	return false
}

// labelOf is the name of an address below the zone: 1-2-3-4, or 2001-db8-0-0-0-0-0-1.
func labelOf(ip netip.Addr) string {
	if ip.Is4() {
		return strings.ReplaceAll(ip.String(), ".", "-")
	}
	var parts []string
	for part := range strings.SplitSeq(ip.StringExpanded(), ":") {
		if part = strings.TrimLeft(part, "0"); part == "" {
			part = "0"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "-")
}
