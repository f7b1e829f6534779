package p2p

import (
	"errors"
	"fmt"

	"lode/consensus"
)

// ProtocolVersion is the version of Bitcoin's protocol that is spoken here:
// the first with transaction relay by witness id (BIP339).
const ProtocolVersion = 70016

// What changes with the version that both sides speak, as in Bitcoin Core
// (node/protocol_version.h).
const (
	minProtocolVersion    = 31800 // the oldest that is accepted
	pingNonceVersion      = 60001 // the first whose pings have a nonce, and are answered (BIP31)
	sendHeadersVersion    = 70012 // BIP130
	feeFilterVersion      = 70013 // BIP133
	compactBlockVersion   = 70014 // BIP152
	uncheckedBlockVersion = 70015 // the first that bans nobody for an invalid block in compact form
	featuresVersion       = 70016 // wtxidrelay and sendaddrv2 (BIP339, BIP155)
)

// maxPayload bounds every message, in bytes. No valid block is longer.
const maxPayload = 4_000_000

// The commands of Bitcoin's protocol that are understood here. Any other is
// ignored, as Bitcoin Core does.
const (
	cmdVersion     = "version"
	cmdVerack      = "verack"
	cmdWTxIDRelay  = "wtxidrelay"  // BIP339
	cmdSendAddrV2  = "sendaddrv2"  // BIP155
	cmdSendAddrURL = "sendaddrurl" // our own: there may be URLs in addrv2
	cmdSendHeaders = "sendheaders" // BIP130
	cmdFeeFilter   = "feefilter"   // BIP133
	cmdPing        = "ping"        // BIP31
	cmdPong        = "pong"
	cmdGetAddr     = "getaddr"
	cmdMempool     = "mempool"    // BIP35
	cmdFilterLoad  = "filterload" // BIP37, like the next two
	cmdFilterAdd   = "filteradd"
	cmdFilterClear = "filterclear"
	cmdAddr        = "addr"
	cmdAddrV2      = "addrv2"
	cmdInv         = "inv"
	cmdGetData     = "getdata"
	cmdNotFound    = "notfound"
	cmdGetBlocks   = "getblocks"
	cmdGetHeaders  = "getheaders"
	cmdHeaders     = "headers"
	cmdBlock       = "block"
	cmdTx          = "tx"
	cmdSendCmpct   = "sendcmpct"   // BIP152
	cmdCmpctBlock  = "cmpctblock"  // BIP152
	cmdGetBlockTxn = "getblocktxn" // BIP152
	cmdBlockTxn    = "blocktxn"    // BIP152
)

// message is the payload of one protocol message.
type message interface {
	command() string
	append(b []byte) []byte
}

// format is how the payload of one command is read.
type format struct {
	max    int // bytes; longer ones are not even read
	decode func(d *consensus.Decoder) message
}

// formats holds every command that is understood.
var formats = map[string]format{
	cmdVersion:     {85 + 3 + maxUserAgent, decodeVersion},
	cmdVerack:      {0, emptyFormat(cmdVerack)},
	cmdWTxIDRelay:  {0, emptyFormat(cmdWTxIDRelay)},
	cmdSendAddrV2:  {0, emptyFormat(cmdSendAddrV2)},
	cmdSendAddrURL: {0, emptyFormat(cmdSendAddrURL)},
	cmdSendHeaders: {0, emptyFormat(cmdSendHeaders)},
	cmdGetAddr:     {0, emptyFormat(cmdGetAddr)},
	cmdMempool:     {0, emptyFormat(cmdMempool)},
	cmdFeeFilter:   {8, decodeFeeFilter},
	cmdPing:        {8, decodePing},
	cmdPong:        {8, decodePong},
	cmdAddr:        {3 + maxAddrs*addrSize, decodeAddr},
	cmdAddrV2:      {3 + maxAddrs*maxAddrV2Size, decodeAddrV2},
	cmdInv:         {3 + maxInv*invSize, invFormat(cmdInv)},
	cmdGetData:     {3 + maxInv*invSize, invFormat(cmdGetData)},
	cmdNotFound:    {3 + maxInv*invSize, invFormat(cmdNotFound)},
	cmdGetBlocks:   {4 + 1 + maxLocator*32 + 32, locateFormat(cmdGetBlocks)},
	cmdGetHeaders:  {4 + 1 + maxLocator*32 + 32, locateFormat(cmdGetHeaders)},
	cmdHeaders:     {3 + maxHeaders*(consensus.HeaderSize+1), decodeHeaders},
	cmdBlock:       {maxPayload, func(d *consensus.Decoder) message { return msgBlock{d.Block()} }},
	cmdTx:          {maxPayload, func(d *consensus.Decoder) message { return msgTx{d.Tx()} }},
	cmdSendCmpct:   {9, decodeSendCmpct},
	cmdCmpctBlock:  {maxPayload, decodeCmpctBlock},
	cmdGetBlockTxn: {32 + 3 + 3*maxBlockTxs, decodeGetBlockTxn},
	cmdBlockTxn:    {maxPayload, decodeBlockTxn},

	cmdGetCFilters:  {1 + 4 + 32, filtersFormat(cmdGetCFilters)},
	cmdGetCFHeaders: {1 + 4 + 32, filtersFormat(cmdGetCFHeaders)},
	cmdGetCFCheckpt: {1 + 32, filtersFormat(cmdGetCFCheckpt)},
}

// errUnknownCommand is the kind of the error for a command that is not in
// formats.
var errUnknownCommand = errors.New("unknown command")

// decodeMessage reads the payload of a command, which must fill it. Errors are
// of kind consensus.ErrDecode, among them errTooLong, or errUnknownCommand. The result
// may alias payload.
func decodeMessage(command string, payload []byte) (message, error) {
	f, ok := formats[command]
	if !ok {
		return nil, fmt.Errorf("%w %q", errUnknownCommand, command)
	}
	if limit := payloadLimit(command); len(payload) > limit {
		return nil, tooLong(command, limit)
	}
	d := consensus.NewDecoder(payload)
	m := f.decode(d)
	err := d.Finish()
	if err == nil {
		return m, nil
	}
	if command == cmdAddrV2 { // of these many may be short enough
		if count := consensus.NewDecoder(payload).CompactSize(); count > maxAddrs {
			return nil, fmt.Errorf("%w: addrv2 message size = %d", errTooLong, count)
		}
	}
	return nil, fmt.Errorf("%s: %w", command, err)
}

// readCount reads how many elements follow: at most limit, each of at least
// minSize bytes.
func readCount(d *consensus.Decoder, minSize, limit int) int {
	n := d.Count(minSize)
	if n > limit {
		d.Fail("%d elements, at most %d allowed", n, limit)
		return 0
	}
	return n
}

// msgEmpty is a message without payload.
type msgEmpty string

func emptyFormat(command string) func(*consensus.Decoder) message {
	return func(*consensus.Decoder) message { return msgEmpty(command) }
}

func (m msgEmpty) command() string        { return string(m) }
func (m msgEmpty) append(b []byte) []byte { return b }
