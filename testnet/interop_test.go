package testnet_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// bitcoinNode is a running process of a node of Bitcoin, which knows nothing of
// Lode.
type bitcoinNode struct {
	t          *testing.T
	peers, rpc string // HOST:PORT
	find       []any  // the call that mines, without the number of blocks
	stop       func()
	log        *logBuffer
}

// startBtcd runs btcd on regtest, paid at an address.
func startBtcd(t *testing.T, program, payTo string) *bitcoinNode {
	t.Helper()
	b := &bitcoinNode{t: t, peers: freePort(t), rpc: freePort(t), find: []any{"generate"}}
	dir := t.TempDir()
	b.start(dir, program, "--regtest", "--datadir="+dir, "--logdir="+dir, "--debuglevel=RPCS=warn", "--trickleinterval=100ms", "--nodnsseed", "--notls",
		"--rpcuser=u", "--rpcpass=p", "--listen="+b.peers, "--rpclisten="+b.rpc, "--miningaddr="+payTo)
	return b
}

// startBitcoind runs Bitcoin Core on regtest, which dials nobody by itself.
func startBitcoind(t *testing.T, program, payTo string) *bitcoinNode {
	t.Helper()
	return startBitcoindWith(t, program, payTo)
}

func startBitcoindWith(t *testing.T, program, payTo string, flags ...string) *bitcoinNode {
	t.Helper()
	b := &bitcoinNode{t: t, peers: freePort(t), rpc: freePort(t), find: []any{"generatetoaddress", payTo}}
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(b.rpc)
	b.start(dir, program, append(flags, "-regtest", "-datadir="+dir, "-nodebuglogfile", "-printtoconsole", "-connect=0", "-listen=1", "-dnsseed=0", "-discover=0", "-listenonion=0", "-natpmp=0",
		"-rpcuser=u", "-rpcpassword=p", "-bind="+b.peers, "-rpcport="+port)...)
	return b
}

// start runs the program and waits until it answers.
func (b *bitcoinNode) start(home, program string, args ...string) {
	b.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	b.log = new(logBuffer)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	b.t.Cleanup(func() {
		b.stop()
		if b.t.Failed() {
			b.t.Logf("log of %s on %s:\n%s", program, b.peers, b.log)
		}
	})
	waitUpTo(b.t, interopPatience, program+" to answer", func() bool { return b.try(nil, "getblockcount") == nil })
}

// mine has the node find blocks.
func (b *bitcoinNode) mine(n int) {
	b.t.Helper()
	b.call(nil, b.find[0].(string), append([]any{n}, b.find[1:]...)...)
}

// try calls a method and decodes the result.
func (b *bitcoinNode) try(into any, method string, args ...any) error {
	if args == nil {
		args = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": args})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+b.rpc, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("u", "p")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  any
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: status %d: %w", method, resp.StatusCode, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %v", method, answer.Error)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, into)
}

func (b *bitcoinNode) call(into any, method string, args ...any) {
	b.t.Helper()
	if err := b.try(into, method, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bitcoinNode) tip() (hash string) {
	b.t.Helper()
	b.call(&hash, "getbestblockhash")
	return hash
}

func (b *bitcoinNode) height() (n int) {
	b.t.Helper()
	b.call(&n, "getblockcount")
	return n
}

// interop is a Lode node and another that are, or are not, connected.
type interop struct {
	t     *testing.T
	lode  *node
	other *bitcoinNode
	pay   string // address
}

func (x *interop) tip() string { return x.lode.rpc("getbestblockhash") }

func (x *interop) height() (n int) {
	x.t.Helper()
	x.lode.call(&n, "getblockcount")
	return n
}

// agree waits until both have a tip.
func (x *interop) agree(what, tip string) {
	x.t.Helper()
	waitUpTo(x.t, interopPatience, what, func() bool { return x.tip() == tip && x.other.tip() == tip })
}

func (x *interop) connect() {
	x.t.Helper()
	x.lode.rpc("addnode", x.other.peers, "add") // host:port is TCP on regtest
	waitUpTo(x.t, interopPatience, "a connection", func() bool { return x.lode.rpc("getconnectioncount") == "1" })
}

func (x *interop) disconnect() {
	x.t.Helper()
	x.lode.rpc("addnode", x.other.peers, "remove")
	x.lode.rpc("disconnectnode", x.other.peers)
	waitUpTo(x.t, interopPatience, "no connection", func() bool {
		var count int
		x.other.call(&count, "getconnectioncount")
		return count == 0 && x.lode.rpc("getconnectioncount") == "0"
	})
}

// mine has Lode find blocks.
func (x *interop) mine(n int) {
	x.t.Helper()
	x.lode.rpc("generatetoaddress", fmt.Sprint(n), x.pay)
}

// pools waits until both mempools hold these transactions and no others.
func (x *interop) pools(txids ...string) {
	x.t.Helper()
	slices.Sort(txids)
	waitUpTo(x.t, interopPatience, fmt.Sprintf("%d transactions in both mempools", len(txids)), func() bool {
		var a, b []string
		x.lode.call(&a, "getrawmempool")
		x.other.call(&b, "getrawmempool")
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, txids) && slices.Equal(b, txids)
	})
}

const (
	interopBlocks   = 600 // more than one answer to getblocks names
	interopPatience = 2 * time.Minute
)

// TestInterop lets Lode and nodes of Bitcoin follow each other over Bitcoin's
// TCP protocol.
func TestInterop(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, program, payTo string) *bitcoinNode{"BTCD": startBtcd, "BITCOIND": startBitcoind} {
		t.Run(name, func(t *testing.T) {
			program := os.Getenv(name)
			if program == "" {
				t.Skipf("$%s does not name the program; `make interop` installs btcd", name)
			}
			followEachOther(t, func(payTo string) *bitcoinNode { return start(t, program, payTo) })
		})
	}
}

func followEachOther(t *testing.T, start func(payTo string) *bitcoinNode) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	// They take transactions only when their tip is less than a day old.
	first := time.Now().Add(-(interopBlocks + 5) * 10 * time.Minute)
	chain := chaingen.New(&spec.Rules, chaingen.Params{Seed: 26, Txs: 4, Outputs: 2, Fee: 10_000, Start: uint32(first.Unix())})
	chain.Extend(interopBlocks)
	tip := chain.Tip().Hash.String()
	spends := 0
	for _, b := range chain.Blocks {
		spends += len(b.Txs) - 1
	}

	x := &interop{t: t, pay: consensus.Address(spec.Defaults.AddressPrefix, [32]byte(chain.Script()[2:]))}
	x.other = start(x.pay)
	for _, b := range chain.Blocks[1:] {
		x.other.call(nil, "submitblock", hex.EncodeToString(b.Bytes()))
	}
	if got := x.other.tip(); got != tip {
		t.Fatalf("the other is at %s after %d blocks", got, interopBlocks)
	}
	tcp := freePort(t)
	x.lode = startNode(t, t.TempDir(), "--listen-tcp", tcp, "--advertise", "ws://127.0.0.1:1", "--blockfilterindex")
	x.connect()
	x.agree(fmt.Sprintf("Lode to download %d blocks", interopBlocks), tip)
	x.compareFilters(chain.Blocks)

	fresh := start(x.pay)
	fresh.call(nil, "addnode", tcp, "add")
	waitUpTo(t, interopPatience, fmt.Sprintf("the other to download %d blocks", interopBlocks), func() bool { return fresh.tip() == tip })
	fresh.stop()
	waitUpTo(t, interopPatience, "the fresh one to leave", func() bool { return x.lode.rpc("getconnectioncount") == "1" })
	t.Logf("both ways: %d blocks with %d Taproot spends", interopBlocks, spends)

	// Transactions cross both ways.
	txs := chain.Next().Txs[1:]
	txids := []string{txs[0].TxID().String(), txs[1].TxID().String()}
	x.lode.rpc("sendrawtransaction", hex.EncodeToString(txs[0].Bytes()))
	x.pools(txids[0])
	x.other.call(nil, "sendrawtransaction", hex.EncodeToString(txs[1].Bytes()))
	x.pools(txids...)

	// So do new blocks, the first of which has both transactions.
	x.other.mine(1)
	x.agree("Lode to take the other's block", x.other.tip())
	x.pools()
	x.mine(1)
	x.agree("the other to take Lode's block", x.tip())
	x.other.mine(5)
	x.agree("Lode to take several blocks", x.other.tip())
	x.mine(5)
	x.agree("the other to take several blocks", x.tip())

	// Each follows the other's longer branch.
	//
	//	- common - L1            common - B1
	//	       \ - B1 - B2             \ - L1 - L2
	x.disconnect()
	x.mine(1)
	x.other.mine(2)
	x.connect()
	x.agree("Lode to follow the other's branch", x.other.tip())
	x.disconnect()
	x.mine(2)
	x.other.mine(1)
	x.connect()
	x.agree("the other to follow Lode's branch", x.tip())

	var ours, theirs struct{ MuHash string }
	x.lode.call(&ours, "gettxoutsetinfo", "muhash")
	if err := x.other.try(&theirs, "gettxoutsetinfo", "muhash"); err == nil && ours != theirs { // btcd has no such call
		t.Errorf("UTXO sets differ: %v here, %v there", ours, theirs)
	}
	x.compareTemplates()
	x.mineForOther()
}

// compareFilters asks btcd for the block filters (BIP158) of a chain, and compares them and
// their headers with Lode's.
func (x *interop) compareFilters(blocks []*consensus.Block) {
	x.t.Helper()
	if err := x.other.try(nil, "getcfilter", blocks[0].Header.Hash(), 0); err != nil {
		x.t.Logf("the other has no such call: %v", err)
		return
	}
	waitUpTo(x.t, interopPatience, "the filters to be built", func() bool {
		var info map[string]struct{ Synced bool }
		x.lode.call(&info, "getindexinfo")
		return info["basic block filter index"].Synced
	})
	type request struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  []any  `json:"params"`
		ID      int    `json:"id"`
	}
	var ask []request
	for i, b := range blocks {
		ask = append(ask, request{"2.0", "getblockfilter", []any{b.Header.Hash()}, i})
	}
	var ours []struct {
		Result struct{ Filter, Header string }
	}
	x.lode.batch(ask, &ours)
	for i, b := range blocks {
		var filter, header string
		x.other.call(&filter, "getcfilter", b.Header.Hash(), 0)
		x.other.call(&header, "getcfilterheader", b.Header.Hash(), 0)
		if got := ours[i].Result; got.Filter != filter || got.Header != header {
			x.t.Fatalf("block %d: filter %s with header %s, and the other's %s with %s", i, got.Filter, got.Header, filter, header)
		}
	}
	x.t.Logf("%d filters are the same", len(blocks))
}

// batch has a node answer many calls at once.
func (n *node) batch(calls, into any) {
	n.t.Helper()
	dir := filepath.Join(n.datadir, n.network)
	address, err := os.ReadFile(filepath.Join(dir, ".rpc-address"))
	if err != nil {
		n.t.Fatal(err)
	}
	cookie, err := os.ReadFile(filepath.Join(dir, ".cookie"))
	if err != nil {
		n.t.Fatal(err)
	}
	body, err := json.Marshal(calls)
	if err != nil {
		n.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, "http://"+strings.TrimSpace(string(address)), bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	user, password, _ := strings.Cut(strings.TrimSpace(string(cookie)), ":")
	request.SetBasicAuth(user, password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		n.t.Fatalf("%s: %v", response.Status, err)
	}
}

// compareTemplates asks both for work on the same tip. What the moment or the node
// decides is left out.
func (x *interop) compareTemplates() {
	x.t.Helper()
	var ours, theirs map[string]any
	x.lode.call(&ours, "getblocktemplate", `{"rules":["segwit"]}`)
	x.other.call(&theirs, "getblocktemplate", map[string]any{"rules": []string{"segwit"}})
	for name, want := range theirs {
		switch name {
		case "longpollid", "curtime", "capabilities", "mutable", "rules", "vbavailable", "maxtime", "longpolluri", "version", "submitold", "sigoplimit", "coinbaseaux":
			continue
		}
		if got := ours[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			x.t.Errorf("template: %s is %v, and the other's %v", name, got, want)
		}
	}
}

// mineForOther has `lode mine` find blocks for the other node, with tips from
// elsewhere in between.
func (x *interop) mineForOther() {
	x.t.Helper()
	log := new(logBuffer)
	cmd := exec.Command(program, "mine", "--network", "regtest", "--rpc", "http://u:p@"+x.other.rpc, "--address", x.pay, "--threads", "1", "--mine-pace", "10ms")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	found := func() int { return strings.Count(log.String(), "mined block") }
	for range 3 {
		before := found()
		waitUpTo(x.t, interopPatience, "blocks found for the other", func() bool { return found() >= before+3 })
		x.mine(1)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		x.t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		x.t.Error(err)
	}
	if strings.Contains(log.String(), "refused") {
		x.t.Errorf("the other has refused blocks:\n%s", log)
	}
	waitUpTo(x.t, interopPatience, "one tip", func() bool {
		ours, theirs := x.tip(), x.other.tip()
		if ours != theirs && x.height() == x.other.height() { // each keeps its own block until one is longer
			x.mine(1)
		}
		return ours == theirs
	})
}
