// Package network runs a network of real nodes on this machine: processes of the
// program itself that mine with real proof of work, gossip over WebSocket on
// loopback, and hold a wallet each. `lode testnet` is its commands.
//
// A network is a directory. Nothing of it is anywhere else:
//
//	testnet.json     what nodes there are, and how they are (state.go)
//	chainspec.json   its rules, made for it (spec.go)
//	nodeI/           data and log of node I, and the wallet "main" that it serves
//	snapshots/NAME/  copies of all that (snapshot.go)
//	lock             held by the command that changes something
//
// A Network is that directory, opened. What a command does is a method: it reads the
// state, does something to processes or by RPC, and writes the state when that is
// done, so that a command that was killed can be given again. Nodes are processes that
// outlive the command (process.go); they are told from strangers that got their number
// later by the time at which they were started.
//
// Nodes dial only whom they are told to: everyone of their part of the network, or
// some, in a large one (links.go). The parts of a network that is cut know nothing of
// each other, and refuse each other's connections.
//
// Each node mines at a bounded rate, so that its share of the blocks is what was asked
// for on any machine, and thirty nodes leave room on two cores (mine.go).
//
// Files: up.go, ports.go, change.go, spec.go, settings.go (networks and their nodes), pay.go,
// status.go, check.go; forge.go, rival.go (forks that replace payments), doublespend.go,
// attack.go, selfish.go.
package network
