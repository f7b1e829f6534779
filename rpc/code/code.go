// Package code has the numbers of the errors of JSON-RPC: those of the protocol
// (JSON-RPC 2.0) and those of Bitcoin Core (rpc/protocol.h), for those who say them
// and for those who are told.
package code

// The protocol's.
const (
	InvalidRequest = -32600
	NoMethod       = -32601
	InvalidParams  = -32602
	Internal       = -32603
	Parse          = -32700
)

// Bitcoin Core's.
const (
	Misc         = -1
	Type         = -3
	Address      = -5 // an address or a key, and whatever is not found
	Parameter    = -8
	NoPeers      = -9
	Stopping     = -9
	Syncing      = -10
	Database     = -20 // what is damaged on disk
	Decode       = -22
	NodeAdded    = -23
	NodeNotAdded = -24
	Verify       = -25
	Rejected     = -26
	InChain      = -27
	WarmUp       = -28
	NotConnected = -29
	Subnet       = -30
	Deprecated   = -32
	Capacity     = -34
)

// Bitcoin Core's of wallets.
const (
	Wallet        = -4
	Funds         = -6
	Label         = -11
	Keypool       = -12
	Unlock        = -13
	Passphrase    = -14
	EncState      = -15
	Encryption    = -16
	NoWallet      = -18
	NotSpecified  = -19
	AlreadyLoaded = -35
	AlreadyExists = -36
)
