// Package dnsseed has nodes find their first peers by DNS: what a node asks
// (resolve.go, schedule.go), and the server of `lode seed` that answers (answer.go,
// serve.go), with the nodes that it has reached itself (roll.go, probe.go).
//
// Of a zone, such as seed.example.org, there are:
//
//	seed.example.org              A, AAAA  nodes by WebSocket on the network's port
//	_lode._tcp.seed.example.org   SRV      nodes by WebSocket on any port; targets are below the zone
//	_lode-tls._tcp.…              SRV      nodes by wss://, whose certificate has the target's name
//	1-2-3-4.seed.example.org      A        the address of such a target, while it is a good node
//
// None of it is believed: addresses go into the address book under the seed as their
// source, and get half of the outbound places at most.
package dnsseed
