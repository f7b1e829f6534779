package testnet_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// lightning is a running lnd, unmodified, whose bitcoind is a Lode node.
type lightning struct {
	t      *testing.T
	node   *node
	url    string // of its REST
	peers  string // HOST:PORT
	client *http.Client
	log    *logBuffer
}

// startLND runs the program that LND names; the test is skipped without.
func startLND(t *testing.T, n *node) *lightning {
	t.Helper()
	name := os.Getenv("LND")
	if name == "" {
		t.Skip("LND is not set to a program")
	}
	dir := t.TempDir()
	address, err := os.ReadFile(filepath.Join(n.datadir, n.network, ".rpc-address"))
	if err != nil {
		t.Fatal(err)
	}
	rest := freePort(t)
	l := &lightning{t: t, node: n, url: "https://" + rest, peers: freePort(t), log: new(logBuffer)}
	cmd := exec.Command(name, "--lnddir="+dir, "--bitcoin.regtest", "--bitcoin.node=bitcoind",
		"--bitcoind.rpchost="+strings.TrimSpace(string(address)), "--bitcoind.rpccookie="+filepath.Join(n.datadir, n.network, ".cookie"),
		"--bitcoind.rpcpolling", "--bitcoind.blockpollinginterval=200ms", "--bitcoind.txpollinginterval=200ms",
		"--noseedbackup", "--no-macaroons", "--nobootstrap", "--restlisten="+rest, "--rpclisten="+freePort(t), "--listen="+l.peers,
		"--protocol.simple-taproot-chans", "--trickledelay=50", "--maxpendingchannels=4")
	cmd.Stdout, cmd.Stderr = l.log, l.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		stopped := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stopped.Stop()
		if t.Failed() {
			t.Logf("log of lnd:\n%s", l.log)
		}
	})
	var cert []byte
	waitFor(t, "lnd to make its certificate", func() bool {
		cert, err = os.ReadFile(filepath.Join(dir, "tls.cert"))
		return err == nil && bytes.Contains(cert, []byte("END CERTIFICATE"))
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	l.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	l.waitSynced()
	return l
}

// try makes a call of lnd's REST and gives the answer, also to one that fails.
func (l *lightning) try(method, path string, body any) ([]byte, error) {
	var data io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			l.t.Fatal(err)
		}
		data = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, l.url+path, data)
	if err != nil {
		l.t.Fatal(err)
	}
	res, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return text, err
}

func (l *lightning) call(into any, method, path string, body any) {
	l.t.Helper()
	text, err := l.try(method, path, body)
	if err != nil {
		l.t.Fatalf("lnd: %s %s: %v", method, path, err)
	}
	decode(l.t, string(text), into)
}

// lndInfo is what getinfo tells.
type lndInfo struct {
	Key     string `json:"identity_pubkey"`
	Height  uint32 `json:"block_height"`
	Hash    string `json:"block_hash"`
	Synced  bool   `json:"synced_to_chain"`
	Active  int    `json:"num_active_channels"`
	Pending int    `json:"num_pending_channels"`
}

// waitSynced waits until lnd is at the node's tip.
func (l *lightning) waitSynced() (info lndInfo) {
	l.t.Helper()
	waitFor(l.t, "lnd to be at the node's tip", func() bool {
		text, err := l.try(http.MethodGet, "/v1/getinfo", nil)
		info = lndInfo{}
		return err == nil && json.Unmarshal(text, &info) == nil && info.Hash == l.node.rpc("getbestblockhash") && info.Synced
	})
	return info
}

// address is a fresh one of lnd's, pay-to-taproot.
func (l *lightning) address() string {
	l.t.Helper()
	var a struct{ Address string }
	l.call(&a, http.MethodGet, "/v1/newaddress?type=4", nil)
	if !strings.HasPrefix(a.Address, "bcrt1p") {
		l.t.Fatalf("address %q is not of Taproot", a.Address)
	}
	return a.Address
}

// confirmed is lnd's balance on the chain in sat, at the node's tip.
func (l *lightning) confirmed() int64 {
	l.t.Helper()
	l.waitSynced()
	var b struct {
		Confirmed string `json:"confirmed_balance"`
	}
	l.call(&b, http.MethodGet, "/v1/balance/blockchain", nil)
	sat, err := strconv.ParseInt(b.Confirmed, 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return sat
}

// fund gives lnd a block's subsidy that can be spent.
func (l *lightning) fund() {
	l.t.Helper()
	l.node.rpc("generatetoaddress", "1", l.address())
	l.node.rpc("generatetoaddress", "100", nobody)
	waitFor(l.t, "lnd to have its subsidy", func() bool { return l.confirmed() > 0 })
}

// nobody is an address of regtest whose key is not known here.
const nobody = "bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg"

// waitForPool waits until the node's mempool holds a transaction that is none of
// those known, and gives its id.
func waitForPool(t *testing.T, n *node, known ...string) (txid string) {
	t.Helper()
	waitFor(t, "a transaction in the node's mempool", func() bool {
		var ids []string
		n.call(&ids, "getrawmempool")
		i := slices.IndexFunc(ids, func(id string) bool { return !slices.Contains(known, id) })
		if i >= 0 {
			txid = ids[i]
		}
		return i >= 0
	})
	return txid
}

// TestLNDOnChain has lnd start, follow a reorg, receive, and pay with change.
func TestLNDOnChain(t *testing.T) {
	if os.Getenv("LND") == "" {
		t.Skip("LND is not set to a program")
	}
	n := startNode(t, t.TempDir())
	n.rpc("generatetoaddress", "3", nobody)
	l := startLND(t, n)
	l.fund()
	const subsidy = 50_0000_0000
	if got := l.confirmed(); got != subsidy {
		t.Fatalf("lnd has %d sat, want %d", got, int64(subsidy))
	}

	left := n.rpc("getbestblockhash")
	n.rpc("invalidateblock", left)
	n.rpc("generatetoaddress", "2", l.address())
	if info := l.waitSynced(); info.Hash == left || l.confirmed() != subsidy {
		t.Fatalf("after the reorg lnd is at %s with %d sat", info.Hash, l.confirmed())
	}

	const amount = 1_2345_6789
	var sent struct{ TxID string }
	l.call(&sent, http.MethodPost, "/v1/transactions", map[string]any{"addr": nobody, "amount": strconv.Itoa(amount), "sat_per_vbyte": "2"})
	waitForPool(t, n)
	n.rpc("generatetoaddress", "1", nobody)
	var tx struct {
		Confirmations int
		Vout          []struct {
			ScriptPubKey struct{ Type, Address string }
		}
	}
	n.call(&tx, "getrawtransaction", sent.TxID, "true", n.rpc("getbestblockhash"))
	if len(tx.Vout) != 2 || tx.Vout[0].ScriptPubKey.Type != "witness_v1_taproot" || tx.Vout[1].ScriptPubKey.Type != "witness_v1_taproot" || tx.Confirmations != 1 {
		t.Fatalf("lnd's payment: %+v", tx)
	}
	if got := l.confirmed(); got >= subsidy-amount || got < subsidy-amount-10_000 {
		t.Errorf("after its payment lnd has %d sat", got)
	}
}

// TestLNDChannel has two lnds open a simple taproot channel over Lode, pay each
// other a hundred times, and close it together: its funding is spent by key.
func TestLNDChannel(t *testing.T) {
	for _, flags := range [][]string{nil, {"--txindex"}} {
		t.Run(strings.Join(append([]string{"node"}, flags...), " "), func(t *testing.T) { lndChannel(t, flags) })
	}
}

func lndChannel(t *testing.T, flags []string) {
	if os.Getenv("LND") == "" {
		t.Skip("LND is not set to a program")
	}
	n := startNode(t, t.TempDir(), flags...)
	n.rpc("generatetoaddress", "3", nobody)
	a, b := startLND(t, n), startLND(t, n)
	a.fund()
	a.connect(b)
	point := a.open(b, 10_000_000)
	a.pay(b, 1_000_000) // b must keep a reserve of its own
	for i := range 100 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		from.pay(to, 1000+3*int64(i%2)-int64(i))
	}
	before := a.confirmed() + b.confirmed()
	a.close(point, false)
	closing := waitForPool(t, n)
	n.rpc("generatetoaddress", "6", nobody)
	var tx struct {
		Vin []struct {
			TxID        string
			TxInWitness []string
		}
	}
	n.call(&tx, "getrawtransaction", closing, "true", n.rpc("getblockhash", strconv.Itoa(int(a.waitSynced().Height)-5)))
	if len(tx.Vin) != 1 || tx.Vin[0].TxID != strings.Split(point, ":")[0] || len(tx.Vin[0].TxInWitness) != 1 {
		t.Errorf("the closing transaction does not spend the funding by key: %+v", tx)
	}
	waitFor(t, "both to have what is theirs", func() bool {
		back := a.confirmed() + b.confirmed() - before
		return back > 9_900_000 && back < 10_000_000
	})
	if b.confirmed() == 0 {
		t.Error("b got nothing from the channel")
	}
}

// TestLNDWhatCannotWork shows what needs a script: a default channel's funding is
// refused, and what a forced close leaves on the chain cannot be claimed.
func TestLNDWhatCannotWork(t *testing.T) {
	if os.Getenv("LND") == "" {
		t.Skip("LND is not set to a program")
	}
	n := startNode(t, t.TempDir())
	n.rpc("generatetoaddress", "3", nobody)
	a, b := startLND(t, n), startLND(t, n)
	a.fund()
	a.connect(b)
	// lnd only logs that its funding was refused, and waits for it from then on with
	// the coins that it meant to spend.
	a.call(new(struct{}), http.MethodPost, "/v1/channels", map[string]any{"node_pubkey_string": b.waitSynced().Key, "local_funding_amount": "1000000"})
	waitFor(t, "the funding of a default channel to be refused", func() bool {
		return strings.Contains(a.log.String(), "not accepted by mempool: bad-txns-output-type")
	})
	a.fund()
	point := a.open(b, 10_000_000)
	a.pay(b, 1_000_000)
	a.close(point, true)
	commitment := waitForPool(t, n)
	n.rpc("generatetoaddress", "1", nobody)
	var tx struct{ Confirmations int }
	n.call(&tx, "getrawtransaction", commitment, "true", n.rpc("getbestblockhash"))
	if tx.Confirmations != 1 {
		t.Errorf("the commitment has %d confirmations", tx.Confirmations)
	}
	before := a.confirmed() + b.confirmed()
	n.rpc("generatetoaddress", "200", nobody)
	if after := a.confirmed() + b.confirmed(); after != before {
		t.Errorf("%d sat came back through the script path", after-before)
	}
}

func (l *lightning) connect(to *lightning) {
	l.t.Helper()
	var none struct{}
	l.call(&none, http.MethodPost, "/v1/peers", map[string]any{"addr": map[string]string{"pubkey": to.waitSynced().Key, "host": to.peers}})
}

// open makes a private simple taproot channel, waits until both can use it, and
// gives its funding as TXID:INDEX.
func (l *lightning) open(to *lightning, amount int64) string {
	l.t.Helper()
	var opened struct {
		Bytes string `json:"funding_txid_bytes"`
		Index int    `json:"output_index"`
	}
	l.waitSynced()
	l.call(&opened, http.MethodPost, "/v1/channels", map[string]any{"node_pubkey_string": to.waitSynced().Key, "local_funding_amount": strconv.FormatInt(amount, 10),
		"private": true, "commitment_type": "SIMPLE_TAPROOT", "sat_per_vbyte": "2"})
	raw, err := base64.StdEncoding.DecodeString(opened.Bytes)
	if err != nil || len(raw) != 32 {
		l.t.Fatalf("funding %q", opened.Bytes)
	}
	slices.Reverse(raw)
	waitForPool(l.t, l.node)
	l.node.rpc("generatetoaddress", "6", nobody)
	waitFor(l.t, "the channel to be active on both sides", func() bool {
		return l.waitSynced().Active == 1 && to.waitSynced().Active == 1 && l.knowsRoute() && to.knowsRoute()
	})
	return fmt.Sprintf("%s:%d", hex.EncodeToString(raw), opened.Index)
}

// knowsRoute reports whether lnd knows what both sides of its channel ask for.
func (l *lightning) knowsRoute() bool {
	l.t.Helper()
	var list struct {
		Channels []struct {
			ID string `json:"chan_id"`
		}
	}
	l.call(&list, http.MethodGet, "/v1/channels", nil)
	if len(list.Channels) != 1 {
		return false
	}
	var edge struct {
		A *struct{} `json:"node1_policy"`
		B *struct{} `json:"node2_policy"`
	}
	text, err := l.try(http.MethodGet, "/v1/graph/edge/"+list.Channels[0].ID, nil)
	return err == nil && json.Unmarshal(text, &edge) == nil && edge.A != nil && edge.B != nil
}

// pay sends sat over the channel.
func (l *lightning) pay(to *lightning, sat int64) {
	l.t.Helper()
	var invoice struct {
		Request string `json:"payment_request"`
	}
	to.call(&invoice, http.MethodPost, "/v1/invoices", map[string]any{"value": strconv.FormatInt(sat, 10), "private": true})
	var paid struct {
		Error string `json:"payment_error"`
	}
	l.call(&paid, http.MethodPost, "/v1/channels/transactions", map[string]any{"payment_request": invoice.Request})
	if paid.Error != "" {
		l.t.Fatalf("payment of %d sat: %s", sat, paid.Error)
	}
}

// close ends a channel, with the other side or by force. lnd answers as it goes on,
// until the closing is confirmed; the first answer is enough.
func (l *lightning) close(point string, force bool) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	path := "/v1/channels/" + strings.Replace(point, ":", "/", 1) + "?sat_per_vbyte=2"
	if force {
		path = strings.TrimSuffix(path, "?sat_per_vbyte=2") + "?force=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, l.url+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	res, err := l.client.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	var first json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&first); err != nil || bytes.Contains(first, []byte(`"error"`)) {
		l.t.Fatalf("close: %v %s", err, first)
	}
}
