package p2p

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime/metrics"
	"strings"
	"testing"

	"lode/consensus"
)

// samples has at least one message of every command.
func samples(t testing.TB) []message {
	spec := regtest(t)
	genesis := spec.Rules.Genesis()
	hash := spec.Rules.GenesisHash()
	items := []invItem{{invBlock | invWitness, hash}, {invWTx, hash}}
	tx := &consensus.Tx{
		Version: 2,
		In:      []consensus.TxIn{{PrevOut: consensus.OutPoint{TxID: hash, Index: 1}, Sequence: 7, Witness: [][]byte{make([]byte, 64)}}},
		Out:     []consensus.TxOut{{Value: 5, Script: consensus.TaprootScript(hash)}},
	}
	return []message{
		&msgVersion{
			version: ProtocolVersion, services: serviceNetwork | serviceWitness, time: 1_700_000_000,
			to: netAddr{services: 1, ip: [16]byte{10: 255, 11: 255, 12: 1}, port: 8333}, nonce: 42,
			userAgent: "/Lode:0.1.0/", startHeight: 7, relay: true,
		},
		&msgVersion{userAgent: strings.Repeat("x", maxUserAgent)},
		msgEmpty(cmdVerack), msgEmpty(cmdWTxIDRelay), msgEmpty(cmdSendAddrV2), msgEmpty(cmdSendHeaders), msgEmpty(cmdGetAddr),
		msgFeeFilter(1000), msgPing(1), msgPong(2),
		msgAddr{{1_700_000_000, netAddr{services: 9, port: 1}}},
		msgAddrV2{
			{time: 1, services: 9, network: 1, addr: []byte{127, 0, 0, 1}, port: 8333},
			{time: 2, services: 1 << 40, network: networkURL, addr: []byte("ws://example.org:9555/p2p")},
			{time: 3, network: 200, addr: make([]byte, maxAddrV2Len)},
		},
		&msgInv{cmdInv, items}, &msgInv{cmdGetData, items}, &msgInv{cmdNotFound, items},
		&msgLocate{cmdGetHeaders, ProtocolVersion, []consensus.Hash{hash}, consensus.Hash{}},
		&msgLocate{cmdGetBlocks, ProtocolVersion, []consensus.Hash{hash, {}}, hash},
		msgHeaders{genesis.Header, genesis.Header}, msgHeaders{},
		msgBlock{genesis}, msgTx{tx}, msgEmpty(cmdSendAddrURL),
		msgSendCmpct{true, compactVersion},
		&msgCmpctBlock{genesis.Header, 7, []uint64{1, 1<<48 - 1}, []placedTx{{0, genesis.Txs[0]}, {2, tx}}},
		&msgCmpctBlock{genesis.Header, 7, make([]uint64, maxBlockTxs-1), []placedTx{{maxBlockTxs - 1, tx}}},
		&msgGetBlockTxn{hash, []uint16{0, 1, 300, maxBlockTxs - 1}},
		&msgBlockTxn{hash, []*consensus.Tx{tx, genesis.Txs[0]}},
		msgEmpty(cmdMempool),
		&msgGetFilters{cmdGetCFilters, 0, 7, hash}, &msgGetFilters{cmdGetCFHeaders, 1, 1 << 31, hash}, &msgGetFilters{cmd: cmdGetCFCheckpt, stop: hash},
		&msgCFilter{1, hash, []byte{1, 2}}, &msgCFHeaders{0, hash, hash, []consensus.Hash{hash, {1}}}, &msgCFCheckpt{0, hash, []consensus.Hash{hash, {1}}},
	}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	seen := make(map[string]bool)
	for _, m := range samples(t) {
		payload := m.append(nil)
		got, err := decodeMessage(m.command(), payload)
		if err != nil {
			t.Errorf("%s: %v", m.command(), err)
			continue
		}
		if again := got.append(nil); !bytes.Equal(again, payload) {
			t.Errorf("%s: decoded and encoded again:\n%x\nwant\n%x", m.command(), again, payload)
		}
		seen[m.command()] = true
		if _, err := decodeMessage(m.command(), append(payload, 0)); !errors.Is(err, consensus.ErrDecode) {
			t.Errorf("%s with a byte too many: %v", m.command(), err)
		}
		if len(payload) > 0 && m.command() != cmdPong && m.command() != cmdVersion { // which may be short, see shortPong and versionTail
			if _, err := decodeMessage(m.command(), payload[:len(payload)-1]); !errors.Is(err, consensus.ErrDecode) {
				t.Errorf("%s with a byte too few: %v", m.command(), err)
			}
		}
	}
	for command := range formats {
		if !seen[command] {
			t.Errorf("no sample of %s", command)
		}
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	many := func(n int, element []byte) []byte {
		return append(consensus.AppendCompactSize(nil, uint64(n)), bytes.Repeat(element, n)...)
	}
	addr := append(make([]byte, 5), 1, 3, 9, 9, 9, 0, 0) // IPv4 of three bytes
	long := append(make([]byte, 5), networkURL, 0xfd, 1, 2)
	long = append(append(long, make([]byte, 513)...), 0, 0)
	version := (&msgVersion{}).append(nil)
	for _, c := range []struct {
		name, command string
		payload       []byte
	}{
		{"inv of 50,001", cmdInv, many(maxInv+1, make([]byte, invSize))},
		{"getdata of 50,001", cmdGetData, many(maxInv+1, make([]byte, invSize))},
		{"headers of 2,001", cmdHeaders, many(maxHeaders+1, make([]byte, 81))},
		{"addr of 1,001", cmdAddr, many(maxAddrs+1, make([]byte, addrSize))},
		{"addrv2 of 1,001", cmdAddrV2, many(maxAddrs+1, make([]byte, minAddrV2Size))},
		{"locator of 102", cmdGetHeaders, append(append(make([]byte, 4), many(102, make([]byte, 32))...), make([]byte, 32)...)},
		{"announced but not there", cmdInv, []byte{0xfe, 0xff, 0xff, 0xff, 0xff}},
		{"count not minimal", cmdInv, append([]byte{0xfd, 1, 0}, make([]byte, invSize)...)},
		{"address of the wrong length", cmdAddrV2, append([]byte{1}, addr...)},
		{"address of 513 bytes", cmdAddrV2, append([]byte{1}, long...)},
		{"header with transactions", cmdHeaders, append(append([]byte{1}, make([]byte, 80)...), 1)},
		{"relay flag 2", cmdVersion, append(version[:len(version)-1], 2)},
		{"user agent of 257", cmdVersion, (&msgVersion{userAgent: strings.Repeat("x", 257)}).append(nil)},
		{"verack with payload", cmdVerack, []byte{0}},
		{"block too long", cmdBlock, make([]byte, maxPayload+1)},
		{"sendcmpct with flag 2", cmdSendCmpct, append([]byte{2}, make([]byte, 8)...)},
		{"compact block of nothing", cmdCmpctBlock, make([]byte, 90)},
		{"compact block of 65,537", cmdCmpctBlock, append(append(make([]byte, 88), many(maxBlockTxs+1, make([]byte, shortIDSize))...), 0)},
		{"prefilled behind the end", cmdCmpctBlock, append(append(make([]byte, 88), 0, 1, 1), make([]byte, minTxSize)...)},
		{"getblocktxn of 65,537", cmdGetBlockTxn, append(make([]byte, 32), many(maxBlockTxs+1, []byte{0})...)},
		{"getblocktxn of number 65,536", cmdGetBlockTxn, append(make([]byte, 32), 2, 0xfd, 0xff, 0xff, 0)},
		{"getblocktxn out of 64 bits", cmdGetBlockTxn, append(make([]byte, 32), 2, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"blocktxn announced but not there", cmdBlockTxn, append(make([]byte, 32), 0xfd, 0xff, 0xff)},
	} {
		if _, err := decodeMessage(c.command, c.payload); !errors.Is(err, consensus.ErrDecode) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := decodeMessage("filterload", nil); !errors.Is(err, errUnknownCommand) {
		t.Errorf("unknown command: %v", err)
	}
}

func TestCommand(t *testing.T) {
	for command := range formats {
		if got, err := parseCommand(putCommand(command)); err != nil || got != command {
			t.Errorf("%q became %q, %v", command, got, err)
		}
	}
	for _, bad := range []string{"in\x00v", "\x01", "in\xff"} {
		if _, err := parseCommand(putCommand(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// allocated is how many bytes the program has taken from the heap since it began.
// Small ones are counted late, a block of memory at a time.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzMessages makes sure that no input crashes a decoder or makes it take much
// more memory than came over the wire, and that what is decoded has one encoding
// only.
func FuzzMessages(f *testing.F) {
	for _, m := range samples(f) {
		head := putCommand(m.command())
		f.Add(m.append(head[:]))
	}
	head := putCommand(cmdPong)
	f.Add(append(head[:], 2)) // a short one
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < commandSize {
			return
		}
		command, err := parseCommand([commandSize]byte(b))
		if err != nil {
			return
		}
		before := allocated()
		m, err := decodeMessage(command, b[commandSize:])
		if taken, most := allocated()-before, uint64(1<<20+100*len(b)); taken > most {
			t.Fatalf("%s: %d bytes were taken for %d", command, taken, len(b))
		}
		if err != nil {
			if !errors.Is(err, consensus.ErrDecode) && !errors.Is(err, errUnknownCommand) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if again := m.append(nil); !bytes.Equal(again, b[commandSize:]) {
			t.Fatalf("%s: %x was decoded, %x encoded", command, b[commandSize:], again)
		}
	})
}

func TestPortIsBigEndian(t *testing.T) {
	a := netAddr{port: 0x1234}
	if b := a.append(nil); binary.BigEndian.Uint16(b[24:]) != 0x1234 {
		t.Errorf("%x", b)
	}
}
