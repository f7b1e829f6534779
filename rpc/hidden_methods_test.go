package rpc_test

import (
	"encoding/hex"
	"testing"
	"time"

	"lode/consensus"
	"lode/p2p"
)

func TestHiddenMethodsOfTheNetwork(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	if got := ok[map[string]string](n, "addconnection", "10.0.0.1:1", "block-relay-only", false); got["connection_type"] != "block-relay-only" {
		t.Errorf("opened %v", got)
	}
	n.refused(-34, "Error: Already at capacity for specified connection type.", "addconnection", "10.0.0.1:1", "feeler", false)
	n.refused(-8, "no such type of connection", "addconnection", "10.0.0.1:1", "inbound", false)
	n.refused(-8, "Error: Adding v2transport connections requires -v2transport init flag to be set.", "addconnection", "10.0.0.1:1", "feeler", true)

	type added struct {
		Success bool
		Error   string
	}
	if got := ok[added](n, "addpeeraddress", "192.0.2.1", 8333); got != (added{true, ""}) {
		t.Errorf("an address: %v", got)
	}
	if got := ok[added](n, "addpeeraddress", "192.0.2.1", 8333, true); got != (added{false, "failed-adding-to-tried"}) {
		t.Errorf("an address for which there is no place: %v", got)
	}
	n.refused(-30, "Invalid IP address", "addpeeraddress", "192.0.2", 8333)
	n.refused(-1, "JSON integer out of range", "addpeeraddress", "192.0.2.1", 65536)
	type entry struct {
		Address, Network, Source string
		Port                     uint16
		Services, Time           int64
	}
	tables := ok[map[string]map[string]entry](n, "getrawaddrman")
	if got := tables["new"]["3/7"]; got != (entry{"192.0.2.1", "ipv4", "192.0", 8333, 9, 1_900_000_000}) || len(tables["tried"]) != 0 {
		t.Errorf("tables %v", tables)
	}

	ok[struct{}](n, "sendmsgtopeer", 0, "ping", "00")
	n.refused(-8, "Error: msg_type too long, max length is 12", "sendmsgtopeer", 0, "thirteenchars", "")
	n.refused(-8, "Error parsing input for msg", "sendmsgtopeer", 0, "ping", "0x")
	n.refused(-1, "Error: Could not send message to peer", "sendmsgtopeer", 5, "ping", "00")

	before := time.Now()
	ok[any](n, "setclockahead", -3600)
	if now := n.clock.Now(); now.After(before.Add(-59 * time.Minute)) {
		t.Errorf("an hour earlier than %v it is %v", before, now)
	}
	ok[any](n, "setclockahead", 0)
	n.refused(-1, "JSON integer out of range", "setclockahead", int64(1)<<40)
	n.refused(-1, "delta_time must be between 1 and 3600 seconds (1 hr)", "mockscheduler", 0)
	n.refused(-1, "delta_time must be between 1 and 3600 seconds (1 hr)", "mockscheduler", 3601)
	ok[any](n, "mockscheduler", 3600)
	ok[any](n, "syncwithvalidationinterfacequeue")
}

func TestTestsAreForNetworksForTests(t *testing.T) {
	t.Parallel()
	n := newNode(t, "main", 0)
	n.refused(-1, "mockscheduler is for networks for tests only", "mockscheduler", 1)
	n.refused(-1, "addconnection is for networks for tests only", "addconnection", "10.0.0.1:1", "feeler", false)
	n.refused(-1, "setclockahead is for networks for tests only", "setclockahead", 1)
	n.refused(-1, "sendmsgtopeer is for networks for tests only", "sendmsgtopeer", 0, "ping", "00")
	n.refused(-1, "addpeeraddress is for networks for tests only", "addpeeraddress", "192.0.2.1", 1)
	n.refused(-1, "syncwithvalidationinterfacequeue is for networks for tests only", "syncwithvalidationinterfacequeue")
}

func TestGetBlockFromPeer(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 2)
	tip := n.block(2)
	n.refused(-1, "Block already downloaded", "getblockfrompeer", tip.Header.Hash(), 0)
	n.refused(-1, "Block header missing", "getblockfrompeer", consensus.Hash{1}, 0)
	n.refused(-8, "blockhash must be of length 64 (not 4, for '1234')", "getblockfrompeer", "1234", 0)
	next := n.template()
	solve(next)
	ok[any](n, "submitheader", hex.EncodeToString(next.Header.Append(nil)))
	n.refused(-1, "Peer does not exist", "getblockfrompeer", next.Header.Hash(), 7)
	ok[struct{}](n, "getblockfrompeer", next.Header.Hash(), 0)
}

func TestGetOrphanTxs(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	if got := ok[[]string](n, "getorphantxs"); len(got) != 0 {
		t.Errorf("orphans %v", got)
	}
	tx := n.payment(1, 1000)
	n.net.orphans = []p2p.OrphanTx{{Tx: tx, From: []int64{2, 5}}}
	if got := ok[[]string](n, "getorphantxs", 0); len(got) != 1 || got[0] != tx.TxID().String() {
		t.Errorf("orphans %v", got)
	}
	type orphan struct {
		WTxID                string
		Bytes, VSize, Weight int
		From                 []int64
		Hex                  string
	}
	for verbosity, raw := range map[int]string{1: "", 2: hexTx(tx)} {
		got := ok[[]orphan](n, "getorphantxs", verbosity)
		if len(got) != 1 || got[0].WTxID != tx.WTxID().String() || got[0].Bytes != tx.Size() || got[0].Weight != tx.Weight() || len(got[0].From) != 2 || got[0].Hex != raw {
			t.Errorf("verbosity %d: %v", verbosity, got)
		}
	}
	n.refused(-8, "Invalid verbosity value -1", "getorphantxs", -1)
	n.refused(-8, "Invalid verbosity value 3", "getorphantxs", 3)
	n.refused(-3, "Verbosity was boolean but only integer allowed", "getorphantxs", true)
}
