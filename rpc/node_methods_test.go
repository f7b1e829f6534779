package rpc_test

import (
	"encoding/hex"
	"encoding/xml"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lode/consensus"
	"lode/p2p"
	"lode/rpc/manual"
)

// allMethods is every method that there is.
var allMethods = strings.Fields(`
	addconnection addnode addpeeraddress analyzepsbt clearbanned combinepsbt combinerawtransaction converttopsbt
	createpsbt createrawtransaction decodepsbt decoderawtransaction decodescript deriveaddresses descriptorprocesspsbt
	disconnectnode dumptxoutset echo echoipc echojson estimaterawfee estimatesmartfee explain finalizepsbt generateblock
	generatetoaddress generatetodescriptor getaddednodeinfo getaddressbalance getaddressdeltas getaddresstxids
	getaddrmaninfo getbestblockhash getblock getblockchaininfo getblockcount getblockfilter getblockfrompeer getblockhash
	getblockheader getblockstats getblocktemplate getchainstates getchaintips getchaintxstats getconnectioncount
	getdeploymentinfo getdescriptoractivity getdescriptorinfo getdifficulty getindexinfo getmemoryinfo getmempoolancestors getmempoolcluster
	getmempooldescendants getmempoolentry getmempoolfeeratediagram getmempoolinfo getmininginfo getnettotals
	getnetworkhashps getnetworkinfo getnodeaddresses getorphantxs getpeerinfo getpoolinfo getprioritisedtransactions
	getrawaddrman getrawmempool getrawtransaction getrpcinfo getsilentblocks getsilentmempool gettxout gettxoutproof
	gettxoutsetinfo gettxspendingprevout getzmqnotifications help importmempool invalidateblock joinpsbts listbanned logging mockscheduler
	ping preciousblock prioritisetransaction pruneblockchain reconsiderblock savemempool scanblocks scanmempool scantxoutset
	sendmsgtopeer sendrawtransaction setban setclockahead setgenerate setmocktime setnetworkactive signmessagewithprivkey
	signrawtransactionwithkey stop submitblock submitheader submitpackage syncwithvalidationinterfacequeue
	testmempoolaccept uptime utxoupdatepsbt validateaddress verifychain verifymessage verifytxoutproof waitforblock
	waitforblockheight waitfornewblock`)

func TestHelp(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	var listed []string
	groups := regexp.MustCompile(`^== [A-Z][a-z]+ ==$`)
	for line := range strings.Lines(ok[string](n, "help")) {
		if line = strings.TrimSpace(line); line != "" && !groups.MatchString(line) {
			listed = append(listed, strings.Fields(line)[0])
		}
	}
	slices.Sort(listed)
	var shown []string
	for _, name := range allMethods {
		if !manual.Methods()[name].Hidden {
			shown = append(shown, name)
		}
		usage, rest, found := strings.Cut(ok[string](n, "help", name), "\n\n")
		if !found || strings.Fields(usage)[0] != name || strings.Contains(usage, "|") || !strings.Contains(rest, "\nResult") || !strings.Contains(rest, "\nExamples:\n> lode rpc "+name) {
			t.Errorf("help %s: %q, %q", name, usage, rest)
		}
		// Every method says how it is used when it is used otherwise.
		_, failure := n.call(name, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		wantError(t, failure, -1, usage+"\n\n"+rest)
	}
	same(t, listed, shown)
	table := maps.Clone(manual.Methods())
	maps.DeleteFunc(table, func(_ string, m *manual.Method) bool { return m.Group == "Wallet" }) // see package walletrpc
	if described := slices.Sorted(maps.Keys(table)); !slices.Equal(described, allMethods) {
		t.Errorf("the table has other methods than the server: %s", cmp.Diff(allMethods, described))
	}
	same(t, ok[any](n, "help", "nothing"), "help: unknown command: nothing")
	if n.stops.Load() != 0 {
		t.Error("stop was called")
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "stop"), "Lode stopping")
	if got := n.stops.Load(); got != 1 {
		t.Errorf("stopped %d times", got)
	}
	if up := ok[int](n, "uptime"); up < 0 || up > 60 {
		t.Errorf("uptime %d", up)
	}
	memory := ok[map[string]map[string]int](n, "getmemoryinfo", "stats")
	if heap := memory["heap"]; heap["used"] <= 0 || heap["total"] < heap["used"] {
		t.Errorf("memory %v", memory)
	}
	if locked := memory["locked"]; locked["used"] <= 0 || locked["used"]+locked["free"] != locked["total"] || locked["locked"] != 0 {
		t.Errorf("locked memory %v", locked)
	}
	var tree struct{ XMLName xml.Name }
	if err := xml.Unmarshal([]byte(ok[string](n, "getmemoryinfo", "mallocinfo")), &tree); err != nil || tree.XMLName.Local != "malloc" {
		t.Errorf("mallocinfo %+v: %v", tree, err)
	}
	n.refused(-8, "unknown mode x", "getmemoryinfo", "x")
}

func TestSetMockTime(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "setmocktime", 1_900_000_000), nil)
	if got := n.clock.Now().Unix(); got != 1_900_000_000 {
		t.Errorf("the clock says %d", got)
	}
	same(t, ok[any](n, "setmocktime", 0), nil)
	if since := time.Since(n.clock.Now()); since > time.Minute {
		t.Errorf("the clock is %v behind", since)
	}
	n.refused(-8, "Mocktime must be in the range [0, 9223372036], not -1.", "setmocktime", -1)
	n.refused(-8, "Mocktime must be in the range [0, 9223372036], not 9223372037.", "setmocktime", int64(9223372037))
	real := newNode(t, "main", 0)
	before := real.clock.Now()
	real.refused(-1, "setmocktime is not allowed on main", "setmocktime", 1_900_000_000)
	if now := real.clock.Now(); now.Sub(before) > time.Minute {
		t.Errorf("the clock went to %v", now)
	}
}

func TestPeers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "getpeerinfo"), []any{})
	at := time.Unix(1_800_000_000, 0)
	n.net.peers = []p2p.PeerInfo{
		{ID: 1, Addr: "8.8.8.8:9555", Transport: "v1", Kind: "inbound", Inbound: true, StartingHeight: -1, PresyncHeight: -1, SyncedHeaders: -1, SyncedBlocks: -1, Connected: at}, // of which no byte has come
		{
			ID: 2, Addr: "8.8.4.4:9555", LocalAddr: "10.0.0.7:50000", SeenAs: "8.8.8.8:50000", LastInv: 77, TxsToAnnounce: 5, PresyncHeight: 4000, Transport: "websocket", URL: "ws://8.8.4.4:9555/p2p", Kind: "manual", Version: 70016, Services: 0x8c09, SubVer: "/Lode:1.0.0/", StartingHeight: 7,
			TimeOffset: -2, RelayTxs: true, SyncedHeaders: 8, SyncedBlocks: 7, InFlight: []uint32{8}, FeeFilter: 100, CompactTo: true, Connected: at, LastBlock: at.Add(1e9), LastTx: at.Add(2e9),
			Sent:     p2p.Traffic{Total: 30, PerMessage: map[string]uint64{"ping": 30}, Last: at.Add(3e9)},
			Received: p2p.Traffic{Total: 40, PerMessage: map[string]uint64{"pong": 40}, Last: at.Add(4e9)},
			Ping:     1500 * time.Millisecond, MinPing: time.Second, PingWait: 2 * time.Second, AddrRelay: true, AddrsProcessed: 9, AddrsLimited: 3, HandshakeIsOver: true,
		},
		{ID: 3, Addr: "127.0.0.1:50000", Transport: "v1", Kind: "inbound", Inbound: true, PresyncHeight: -1, SyncedHeaders: -1, SyncedBlocks: -1, Connected: at, HandshakeIsOver: true},
	}
	same(t, ok[any](n, "getpeerinfo"), []any{
		object{
			"id": 1, "addr": "8.8.8.8:9555", "last_inv_sequence": 0, "inv_to_send": 0, "presynced_headers": -1, "network": "ipv4", "services": "0000000000000000", "servicesnames": []any{}, "relaytxes": false,
			"lastsend": 0, "lastrecv": 0, "last_transaction": 0, "last_block": 0, "bytessent": 0, "bytesrecv": 0, "conntime": 1_800_000_000, "timeoffset": 0,
			"version": 0, "subver": "", "inbound": true, "startingheight": -1, "synced_headers": -1, "synced_blocks": -1, "inflight": []any{}, "bip152_hb_to": false, "bip152_hb_from": false, "addr_relay_enabled": false, "addr_processed": 0,
			"addr_rate_limited": 0, "permissions": []any{}, "session_id": "",
			"minfeefilter": btc("0.00000000"), "bytessent_per_msg": object{}, "bytesrecv_per_msg": object{}, "connection_type": "inbound", "transport_protocol_type": "v1",
		},
		object{
			"id": 2, "addr": "8.8.4.4:9555", "addrbind": "10.0.0.7:50000", "addrlocal": "8.8.8.8:50000", "last_inv_sequence": 77, "inv_to_send": 5, "presynced_headers": 4000, "url": "ws://8.8.4.4:9555/p2p", "network": "ipv4", "services": "0000000000008c09",
			"servicesnames": []any{"NETWORK", "WITNESS", "NETWORK_LIMITED", "P2P_V2", "UNKNOWN[2^15]"}, "relaytxes": true, "lastsend": 1_800_000_003, "lastrecv": 1_800_000_004,
			"last_transaction": 1_800_000_002, "last_block": 1_800_000_001, "bytessent": 30, "bytesrecv": 40, "conntime": 1_800_000_000, "timeoffset": -2,
			"pingtime": 1.5, "minping": 1, "pingwait": 2, "version": 70016, "subver": "/Lode:1.0.0/", "inbound": false, "startingheight": 7,
			"synced_headers": 8, "synced_blocks": 7, "inflight": []any{8}, "bip152_hb_to": true, "bip152_hb_from": false, "addr_relay_enabled": true, "addr_processed": 9, "addr_rate_limited": 3, "permissions": []any{}, "session_id": "", "minfeefilter": btc("0.00000100"),
			"bytessent_per_msg": object{"ping": 30}, "bytesrecv_per_msg": object{"pong": 40}, "connection_type": "manual", "transport_protocol_type": "websocket",
		},
		object{
			"id": 3, "addr": "127.0.0.1:50000", "last_inv_sequence": 0, "inv_to_send": 0, "presynced_headers": -1, "network": "not_publicly_routable", "services": "0000000000000000", "servicesnames": []any{}, "relaytxes": false,
			"lastsend": 0, "lastrecv": 0, "last_transaction": 0, "last_block": 0, "bytessent": 0, "bytesrecv": 0, "conntime": 1_800_000_000, "timeoffset": 0,
			"version": 0, "subver": "", "inbound": true, "startingheight": 0, "synced_headers": -1, "synced_blocks": -1, "inflight": []any{}, "bip152_hb_to": false, "bip152_hb_from": false, "addr_relay_enabled": false, "addr_processed": 0,
			"addr_rate_limited": 0, "permissions": []any{}, "session_id": "",
			"minfeefilter": btc("0.00000000"), "bytessent_per_msg": object{}, "bytesrecv_per_msg": object{}, "connection_type": "inbound", "transport_protocol_type": "v1",
		},
	})

	same(t, ok[any](n, "disconnectnode", "8.8.4.4:9555"), nil)
	same(t, ok[any](n, "disconnectnode", "", 3), nil)
	_, failure := n.named("disconnectnode", object{"nodeid": 2})
	if failure != nil {
		t.Error(failure)
	}
	same(t, n.net.dropped, []string{"8.8.4.4:9555", "127.0.0.1:50000", "8.8.4.4:9555"})
	const one = "Only one of address and nodeid should be provided."
	n.refused(-32602, one, "disconnectnode")
	n.refused(-29, "Node not found in connected nodes", "disconnectnode", "")
	n.refused(-32602, one, "disconnectnode", "8.8.4.4:9555", 2)
	n.refused(-29, "Node not found in connected nodes", "disconnectnode", "1.2.3.4:5")
	n.refused(-29, "Node not found in connected nodes", "disconnectnode", "", -1)
}

func TestAddNode(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "getaddednodeinfo"), []any{})
	same(t, ok[any](n, "addnode", "10.0.0.1:18454", "add"), nil)
	n.refused(-23, "Error: Node already added", "addnode", "10.0.0.1:18454", "add")
	n.refused(-23, "Error: Node already added", "addnode", "tcp://10.0.0.1:18454", "add")
	url := n.net.AddedNodes()[0].URL
	want := []any{object{"addednode": "10.0.0.1:18454", "connected": false, "addresses": []any{}}}
	same(t, ok[any](n, "getaddednodeinfo"), want)
	same(t, ok[any](n, "getaddednodeinfo", "10.0.0.1:18454"), want) // under the name that it was given
	n.net.peers = []p2p.PeerInfo{{Addr: "10.0.0.1:18454", URL: url, HandshakeIsOver: true}, {Addr: "10.0.0.1:18455", URL: url}}
	same(t, ok[any](n, "getaddednodeinfo", url), []any{object{
		"addednode": "10.0.0.1:18454", "connected": true, "addresses": []any{object{"address": "10.0.0.1:18454", "connected": "outbound"}},
	}})
	n.refused(-24, "Error: Node has not been added.", "getaddednodeinfo", "10.0.0.2:1")
	n.refused(-24, "Error: Node could not be removed. It has not been added previously.", "addnode", "10.0.0.2:1", "remove")
	same(t, ok[any](n, "addnode", "10.0.0.1:18454", "remove"), nil)
	same(t, ok[any](n, "getaddednodeinfo"), []any{})
	same(t, ok[any](n, "addnode", "10.0.0.3:1", "onetry", false), nil)
	same(t, n.net.dialled, []string{"10.0.0.3:1"})
	n.refused(-8, "Error: v2transport requested but not enabled (see -v2transport)", "addnode", "10.0.0.3:1", "onetry", true)
	_, usage := n.call("addnode")
	n.refused(-1, usage.Message, "addnode", "10.0.0.3:1", "try")
	if _, failure := n.call("addnode", "http://10.0.0.3", "add"); failure == nil || failure.Code != -1 {
		t.Errorf("a URL that is no peer's: %+v", failure)
	}
}

// What is submitted here waits for a peer to ask for it.
func TestUnbroadcast(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	sent, other := n.payment(1, 1000), n.payment(2, 1000)
	check(t, n.pool.Add(other))
	ok[any](n, "sendrawtransaction", hex.EncodeToString(sent.Bytes()))
	same(t, ok[object](n, "getmempoolinfo")["unbroadcastcount"], 1)
	same(t, ok[object](n, "getmempoolentry", sent.TxID())["unbroadcast"], true)
	same(t, ok[object](n, "getmempoolentry", other.TxID())["unbroadcast"], false)
	same(t, ok[object](n, "getrawmempool", true)[sent.TxID().String()].(object)["unbroadcast"], true)
	ok[any](n, "submitpackage", []string{hex.EncodeToString(other.Bytes())})
	same(t, n.net.told, []consensus.Hash{sent.TxID(), other.TxID()})
}

func TestNetworkNumbers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "getconnectioncount"), 3)
	n.net.urls = []string{"wss://node.example.org/p2p", "tcp://8.8.8.8:18444"}
	for _, offset := range []int64{9, 1, 7, 3, 5} {
		same(t, ok[object](n, "getnetworkinfo")["timeoffset"], 0)
		n.net.peers = append(n.net.peers, p2p.PeerInfo{TimeOffset: offset, HandshakeIsOver: true}, p2p.PeerInfo{TimeOffset: 100, Inbound: true, HandshakeIsOver: true})
	}
	networks := []any{}
	for _, name := range []string{"ipv4", "ipv6", "onion", "i2p", "cjdns"} {
		ip := strings.HasPrefix(name, "ip")
		networks = append(networks, object{"name": name, "limited": !ip, "reachable": ip, "proxy": "", "proxy_randomize_credentials": false})
	}
	same(t, ok[any](n, "getnetworkinfo"), object{
		"version": 300000, "subversion": "/Lode:1.2.3/", "protocolversion": 70016, "localservices": "0000000000000009", "localservicesnames": []any{"NETWORK", "WITNESS"},
		"localrelay": true, "timeoffset": 5, "networkactive": true, "connections": 3, "connections_in": 1, "connections_out": 2, "networks": networks,
		"relayfee": btc("0.00000100"), "incrementalfee": btc("0.00000100"), "warnings": []any{},
		"localaddresses": []any{object{"address": "node.example.org", "port": 443, "score": 4, "url": "wss://node.example.org/p2p"}, object{"address": "8.8.8.8", "port": 18444, "score": 4, "url": "tcp://8.8.8.8:18444"}},
	})
	n.net.services = 1<<3 | 1<<10 | 1<<50 // as peers are told, whatever the ledger has
	network := ok[object](n, "getnetworkinfo")
	same(t, []any{network["localservices"], network["localservicesnames"]}, []any{"0004000000000408", []any{"WITNESS", "NETWORK_LIMITED", "UNKNOWN[2^50]"}})
	n.net.warns = []string{"The clock is wrong."}
	for _, method := range []string{"getnetworkinfo", "getblockchaininfo", "getmininginfo"} {
		same(t, ok[object](n, method)["warnings"], []any{"The clock is wrong."})
	}
	same(t, ok[any](n, "setmocktime", 1_900_000_000), nil)
	n.net.upload = p2p.Upload{Cycle: 24 * time.Hour}
	target := object{"timeframe": 86400, "target": 0, "target_reached": false, "serve_historical_blocks": true, "bytes_left_in_cycle": 0, "time_left_in_cycle": 0}
	same(t, ok[any](n, "getnettotals"), object{"totalbytesrecv": 300, "totalbytessent": 400, "timemillis": int64(1_900_000_000_000), "uploadtarget": target})
	n.net.upload = p2p.Upload{Limit: 100, Cycle: 24 * time.Hour, Ends: time.Hour}
	target = object{"timeframe": 86400, "target": 100, "target_reached": true, "serve_historical_blocks": false, "bytes_left_in_cycle": 0, "time_left_in_cycle": 3600}
	same(t, ok[any](n, "getnettotals"), object{"totalbytesrecv": 300, "totalbytessent": 400, "timemillis": int64(1_900_000_000_000), "uploadtarget": target})
	same(t, ok[any](n, "ping"), nil)
	if n.net.pings != 1 {
		t.Errorf("%d pings", n.net.pings)
	}
}

func TestBans(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	const now = 1_900_000_000
	same(t, ok[any](n, "setmocktime", now), nil)
	same(t, ok[any](n, "listbanned"), []any{})
	same(t, ok[any](n, "setban", "192.0.2.77/24", "add"), nil)
	same(t, ok[any](n, "setban", "192.0.3.7", "add", 60), nil)
	same(t, ok[any](n, "setban", "2001:4d48:ac57:400:cacf:e9ff:fe1d:9c63/19", "add", now+5, true), nil)
	entry := func(address string, seconds int) object {
		return object{"address": address, "ban_created": now, "banned_until": now + seconds, "ban_duration": seconds, "time_remaining": seconds}
	}
	same(t, ok[any](n, "listbanned"), []any{entry("192.0.2.0/24", 86400), entry("192.0.3.7/32", 60), entry("2001:4000::/19", 5)})

	n.refused(-23, "Error: IP/Subnet already banned", "setban", "192.0.2.0/24", "add")
	n.refused(-30, "Error: Invalid IP/Subnet", "setban", "example.org", "add")
	n.refused(-30, "Error: Invalid IP/Subnet", "setban", "192.0.2.0/33", "remove")
	n.refused(-30, "Error: Unban failed. Requested address/subnet was not previously manually banned.", "setban", "192.0.2.1", "remove")
	n.refused(-8, "Error: Absolute timestamp is in the past", "setban", "192.0.9.9", "add", now-1, true)
	n.refused(-8, "Error: bantime must be in the range [0, 4294967295]", "setban", "192.0.9.9", "add", -1)
	n.refused(-8, "Error: bantime must be in the range [0, 4294967295]", "setban", "192.0.9.9", "add", int64(1)<<62)
	same(t, ok[any](n, "setban", "192.0.3.7", "remove"), nil)
	same(t, len(ok[[]any](n, "listbanned")), 2)
	same(t, ok[any](n, "clearbanned"), nil)
	same(t, ok[any](n, "listbanned"), []any{})
	if _, failure := n.call("setban", "192.0.3.7", "perhaps"); failure == nil || failure.Code != -1 || failure.Message != manual.Methods()["setban"].Help() {
		t.Errorf("refused with %v", failure)
	}
}

func TestKnownAddresses(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "getnodeaddresses"), []any{})
	at := time.Unix(1_800_000_000, 0)
	n.net.known = []p2p.KnownAddress{
		{URL: "ws://8.8.8.8:1/p2p", Services: 9, Seen: at, Tried: true, Good: true},
		{URL: "wss://node.example.org/p2p", Services: 9, Seen: at, Good: true},
		{URL: "tcp://[2001:db9::1]:2", Services: 9, Seen: at, Good: false},
	}
	first := object{"time": 1_800_000_000, "services": 9, "address": "8.8.8.8", "port": 1, "network": "ipv4", "url": "ws://8.8.8.8:1/p2p"}
	second := object{"time": 1_800_000_000, "services": 9, "address": "node.example.org", "port": 443, "network": "dns", "url": "wss://node.example.org/p2p"}
	same(t, ok[any](n, "getnodeaddresses"), []any{first})
	same(t, ok[any](n, "getnodeaddresses", 0), []any{first, second})
	same(t, ok[any](n, "getnodeaddresses", 5, "dns"), []any{second})
	same(t, ok[any](n, "getnodeaddresses", 5, "ipv6"), []any{})
	n.refused(-8, "Address count out of range", "getnodeaddresses", -1)
	same(t, ok[any](n, "getnodeaddresses", 1, "onion"), []any{})
	n.refused(-8, "Network not recognized: Foo", "getnodeaddresses", 1, "Foo")
	none := object{"new": 0, "tried": 0, "total": 0}
	same(t, ok[any](n, "getaddrmaninfo"), object{
		"ipv4": object{"new": 0, "tried": 1, "total": 1}, "ipv6": object{"new": 1, "tried": 0, "total": 1}, "dns": object{"new": 1, "tried": 0, "total": 1},
		"not_publicly_routable": none, "onion": none, "i2p": none, "cjdns": none, "all_networks": object{"new": 2, "tried": 1, "total": 3},
	})
}

func TestSetNetworkActive(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "setnetworkactive", false), false)
	same(t, ok[object](n, "getnetworkinfo")["networkactive"], false)
	same(t, ok[any](n, "setnetworkactive", true), true)
	same(t, ok[object](n, "getnetworkinfo")["networkactive"], true)
}
