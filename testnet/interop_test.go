package testnet_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// btcd is a running process of btcd, a node of Bitcoin that knows nothing of
// Lode.
type btcd struct {
	t          *testing.T
	peers, rpc string // HOST:PORT
	stop       func()
}

// startBtcd runs the program in $BTCD on regtest, paid at an address, and waits
// until it answers. `make interop` installs it.
func startBtcd(t *testing.T, payTo string) *btcd {
	t.Helper()
	b := &btcd{t: t, peers: freePort(t), rpc: freePort(t)}
	dir, log := t.TempDir(), new(bytes.Buffer)
	cmd := exec.Command(os.Getenv("BTCD"), "--regtest", "--datadir="+dir, "--logdir="+dir, "--debuglevel=RPCS=warn", "--trickleinterval=100ms", "--nodnsseed", "--notls", "--rpcuser=u", "--rpcpass=p",
		"--listen="+b.peers, "--rpclisten="+b.rpc, "--miningaddr="+payTo)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("log of btcd on %s:\n%s", b.peers, log)
		}
	})
	waitUpTo(t, interopPatience, "btcd to answer", func() bool { return b.try(nil, "getblockcount") == nil })
	return b
}

// try calls a method and decodes the result.
func (b *btcd) try(into any, method string, args ...any) error {
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

func (b *btcd) call(into any, method string, args ...any) {
	b.t.Helper()
	if err := b.try(into, method, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *btcd) tip() (hash string) {
	b.t.Helper()
	b.call(&hash, "getbestblockhash")
	return hash
}

// interop is a Lode node and a btcd that are, or are not, connected.
type interop struct {
	t    *testing.T
	lode *node
	btcd *btcd
	pay  string // address
}

func (x *interop) tip() string { return x.lode.rpc("getbestblockhash") }

// agree waits until both have a tip.
func (x *interop) agree(what, tip string) {
	x.t.Helper()
	waitUpTo(x.t, interopPatience, what, func() bool { return x.tip() == tip && x.btcd.tip() == tip })
}

func (x *interop) connect() {
	x.t.Helper()
	x.lode.rpc("addnode", x.btcd.peers, "add") // host:port is TCP on regtest
	waitUpTo(x.t, interopPatience, "a connection", func() bool { return x.lode.rpc("getconnectioncount") == "1" })
}

func (x *interop) disconnect() {
	x.t.Helper()
	x.lode.rpc("addnode", x.btcd.peers, "remove")
	waitUpTo(x.t, interopPatience, "no connection", func() bool {
		var count int
		x.btcd.call(&count, "getconnectioncount")
		return count == 0 && x.lode.rpc("getconnectioncount") == "0"
	})
}

// mine has each side find blocks of its own.
func (x *interop) mine(byLode, byBtcd int) {
	x.t.Helper()
	if byLode > 0 {
		x.lode.rpc("generatetoaddress", fmt.Sprint(byLode), x.pay)
	}
	if byBtcd > 0 {
		x.btcd.call(nil, "generate", byBtcd)
	}
}

// pools waits until both mempools hold these transactions and no others.
func (x *interop) pools(txids ...string) {
	x.t.Helper()
	slices.Sort(txids)
	waitUpTo(x.t, interopPatience, fmt.Sprintf("%d transactions in both mempools", len(txids)), func() bool {
		var a, b []string
		x.lode.call(&a, "getrawmempool")
		x.btcd.call(&b, "getrawmempool")
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(a, txids) && slices.Equal(b, txids)
	})
}

const (
	interopBlocks   = 600 // more than one answer to getblocks names
	interopPatience = 2 * time.Minute
)

// TestInterop lets Lode and btcd follow each other over Bitcoin's TCP protocol.
func TestInterop(t *testing.T) {
	if os.Getenv("BTCD") == "" {
		t.Skip("$BTCD is not set: `make interop` installs btcd and runs this")
	}
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	// btcd takes transactions only when its tip is less than a day old.
	start := time.Now().Add(-(interopBlocks + 5) * 10 * time.Minute)
	chain := chaingen.New(&spec.Rules, chaingen.Params{Seed: 26, Txs: 4, Outputs: 2, Fee: 10_000, Start: uint32(start.Unix())})
	chain.Extend(interopBlocks)
	tip := chain.Tip().Hash.String()
	spends := 0
	for _, b := range chain.Blocks {
		spends += len(b.Txs) - 1
	}
	pay := consensus.Address(spec.Defaults.AddressPrefix, [32]byte(chain.Script()[2:]))

	x := &interop{t: t, pay: pay, btcd: startBtcd(t, pay)}
	for _, b := range chain.Blocks[1:] {
		x.btcd.call(nil, "submitblock", hex.EncodeToString(b.Bytes()))
	}
	if got := x.btcd.tip(); got != tip {
		t.Fatalf("btcd is at %s after %d blocks", got, interopBlocks)
	}

	tcp := freePort(t)
	x.lode = startNode(t, t.TempDir(), "--listen-tcp", tcp)
	x.connect()
	x.agree(fmt.Sprintf("Lode to download %d blocks", interopBlocks), tip)

	fresh := startBtcd(t, pay)
	fresh.call(nil, "addnode", tcp, "add")
	waitUpTo(t, interopPatience, fmt.Sprintf("btcd to download %d blocks", interopBlocks), func() bool { return fresh.tip() == tip })
	fresh.stop()
	waitUpTo(t, interopPatience, "the fresh btcd to leave", func() bool { return x.lode.rpc("getconnectioncount") == "1" })
	t.Logf("both ways: %d blocks with %d Taproot spends", interopBlocks, spends)

	// Transactions cross both ways.
	txs := chain.Next().Txs[1:]
	txids := []string{txs[0].TxID().String(), txs[1].TxID().String()}
	x.lode.rpc("sendrawtransaction", hex.EncodeToString(txs[0].Bytes()))
	x.pools(txids[0])
	x.btcd.call(nil, "sendrawtransaction", hex.EncodeToString(txs[1].Bytes()))
	x.pools(txids...)

	// So do new blocks, the first of which has both transactions.
	x.mine(0, 1)
	x.agree("Lode to take btcd's block", x.btcd.tip())
	x.pools()
	x.mine(1, 0)
	x.agree("btcd to take Lode's block", x.tip())

	// Each follows the other's longer branch.
	//
	//	- common - L1            common - B1
	//	       \ - B1 - B2             \ - L1 - L2
	x.disconnect()
	x.mine(1, 2)
	x.connect()
	x.agree("Lode to follow btcd's branch", x.btcd.tip())
	x.disconnect()
	x.mine(2, 1)
	x.connect()
	x.agree("btcd to follow Lode's branch", x.tip())
}
