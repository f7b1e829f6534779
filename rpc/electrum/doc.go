// Package electrum serves wallets by Electrum's protocol, versions 1.4 to 1.6
// (https://electrum-protocol.readthedocs.io): JSON-RPC, a line a message, over TCP and
// TLS, and a frame a message over WebSocket.
//
// Its index is the ledger's index of addresses, see package scripthash. A client that
// subscribes is told of each change once, and of the last state always: what waits to
// be read by a slow one is replaced by what came after it.
package electrum
