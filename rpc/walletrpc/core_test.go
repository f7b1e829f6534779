package walletrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lode/consensus"
	"lode/rpc/client"
)

// core is a Bitcoin Core that runs beside Lode. It has no peers: blocks and
// transactions are handed to it.
type core struct {
	t   *testing.T
	url string
	dir string
}

func startCore(t *testing.T, program string) *core {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	check(t, l.Close())
	c := &core{t, fmt.Sprintf("http://127.0.0.1:%d", port), t.TempDir()}
	cmd := exec.Command(program, "-regtest", "-datadir="+c.dir, "-server", "-listen=0", "-connect=0", "-dnsseed=0", "-fixedseeds=0", "-natpmp=0",
		"-rpcport="+strconv.Itoa(port), "-fallbackfee=0.00002", "-addresstype=bech32m", "-changetype=bech32m", "-printtoconsole=0", "-keypool=100",
		"-walletrejectlongchains=0")
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
		}
	})
	for range 600 {
		if _, err = c.try("", "getblockcount"); err == nil {
			return c
		}
		select {
		case err := <-ended:
			t.Fatalf("Bitcoin Core ended: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("Bitcoin Core does not answer: %v", err)
	return nil
}

func (c *core) try(wallet, method string, params ...any) (json.RawMessage, error) {
	auth, err := client.Cookie(filepath.Join(c.dir, "regtest", ".cookie"))
	if err != nil {
		return nil, err
	}
	url := c.url
	if wallet != "" {
		url += "/wallet/" + wallet
	}
	cl, err := client.New(url, auth)
	if err != nil {
		return nil, err
	}
	if params == nil {
		params = []any{}
	}
	var raw json.RawMessage
	err = cl.Call(context.Background(), method, params, &raw)
	return raw, err
}

// of calls Core and decodes the result.
func of[T any](c *core, wallet, method string, params ...any) (v T) {
	c.t.Helper()
	raw, err := c.try(wallet, method, params...)
	if err != nil {
		c.t.Fatalf("Bitcoin Core: %s %.300v: %v", method, params, err)
	}
	check(c.t, json.Unmarshal(raw, &v))
	return v
}

// pair is a Lode and a Core with the same wallets, on one chain.
type pair struct {
	t     *testing.T
	lode  *testNode
	core  *core
	rng   *rand.Rand
	names []string
	sink  string
	did   map[string]int
}

// TestBesideCore has Lode and Bitcoin Core hold the same wallets by the same
// descriptors, pay at random with either, hand PSBTs back and forth, and reorganizes
// the chain that both follow: balances, coins and histories are equal at every block.
// It runs where BITCOIND names the program; LODE_TEST_PAYMENTS is how many payments
// are made.
func TestBesideCore(t *testing.T) {
	program := os.Getenv("BITCOIND")
	if program == "" {
		t.Skip("BITCOIND names no program")
	}
	payments, seed := 60, uint64(1)
	if s := os.Getenv("LODE_TEST_PAYMENTS"); s != "" {
		payments, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("LODE_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	p := &pair{t: t, lode: newNode(t, "regtest"), core: startCore(t, program), rng: rand.New(rand.NewPCG(seed, 0)), names: []string{"a", "b"}, did: make(map[string]int)}
	p.sink = elsewhere(p.lode)
	for _, name := range p.names {
		p.share(name)
	}
	for _, name := range p.names {
		p.mine(8, p.address(name))
	}
	p.mine(101, p.sink)
	for made, block := 0, 0; made < payments; block++ {
		for range 1 + p.rng.IntN(6) {
			if p.pay() {
				made++
			}
		}
		p.level()
		p.compare(fmt.Sprintf("before block %d", block))
		if p.rng.IntN(6) == 0 {
			p.reorg(1 + p.rng.IntN(3))
		}
		p.mine(1, p.payTo())
		p.compare(fmt.Sprintf("at block %d", block))
	}
	t.Logf("%d payments with seed %d: %v", payments, seed, p.did)
}

// share has Core import the descriptors of a wallet that Lode has made.
func (p *pair) share(name string) {
	ok[any](p.lode, "createwallet", name)
	of[any](p.core, "", "createwallet", name, false, true)
	var requests []any
	for _, d := range ok[struct{ Descriptors []object }](p.lode.on(name), "listdescriptors", true).Descriptors {
		requests = append(requests, object{"desc": d["desc"], "active": true, "internal": d["internal"], "timestamp": 0, "range": []int{0, 500}, "next_index": 0})
	}
	for _, r := range of[[]object](p.core, name, "importdescriptors", requests) {
		if r["success"] != true {
			p.t.Fatalf("importdescriptors: %v", r)
		}
	}
}

// address is the next one of a wallet, in both.
func (p *pair) address(name string) string {
	p.t.Helper()
	a, b := ok[string](p.lode.on(name), "getnewaddress"), of[string](p.core, name, "getnewaddress")
	if a != b {
		p.t.Fatalf("the next address of %s: %s, of Bitcoin Core: %s", name, a, b)
	}
	return a
}

func (p *pair) payTo() string {
	switch p.rng.IntN(4) {
	case 0:
		return p.sink
	default:
		return p.address(p.names[p.rng.IntN(len(p.names))])
	}
}

// mine makes blocks with Lode and gives them to Core.
func (p *pair) mine(n int, address string) {
	p.t.Helper()
	for _, hash := range p.lode.mine(n, address) {
		raw := ok[string](p.lode, "getblock", hash, 0)
		if why := of[any](p.core, "", "submitblock", raw); why != nil {
			p.t.Fatalf("Bitcoin Core refuses block %s: %v", hash, why)
		}
	}
	of[any](p.core, "", "syncwithvalidationinterfacequeue")
}

// level gives each the transactions that only the other has.
func (p *pair) level() {
	p.t.Helper()
	for range 3 {
		a, b := ok[[]string](p.lode, "getrawmempool"), of[[]string](p.core, "", "getrawmempool")
		for _, id := range a {
			if !slices.Contains(b, id) {
				_, _ = p.core.try("", "sendrawtransaction", ok[string](p.lode, "getrawtransaction", id), 0)
			}
		}
		for _, id := range b {
			if !slices.Contains(a, id) {
				var raw string
				if answer, err := p.core.try("", "getrawtransaction", id); err == nil && json.Unmarshal(answer, &raw) == nil { // else it was replaced
					p.lode.call("sendrawtransaction", raw, 0)
				}
			}
		}
	}
	for _, name := range p.names { // nothing follows the mempool here: what is replaced must have been seen
		ok[any](p.lode.on(name), "getbalance")
	}
	a, b := ok[[]string](p.lode, "getrawmempool"), of[[]string](p.core, "", "getrawmempool")
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		p.t.Fatalf("the mempools differ:\n%v\n%v", a, b)
	}
	of[any](p.core, "", "syncwithvalidationinterfacequeue")
}

func (p *pair) reorg(depth int) {
	p.t.Helper()
	height := ok[int](p.lode, "getblockcount")
	hash := ok[string](p.lode, "getblockhash", height-depth+1)
	ok[any](p.lode, "invalidateblock", hash)
	of[any](p.core, "", "invalidateblock", hash)
	p.did["reorg"]++
	p.level()
	p.mine(depth, p.payTo())
	// What has a lock time that was too high meanwhile has left both mempools. Bitcoin
	// Core waits for hours before it sends its own again.
	for _, name := range p.names {
		for _, e := range of[[]object](p.core, name, "listtransactions", "*", 1000) {
			if text(e["confirmations"]) == "0" && e["generated"] != true {
				_, _ = p.core.try("", "sendrawtransaction", of[object](p.core, name, "gettransaction", e["txid"])["hex"], 0)
			}
		}
	}
	p.level()
}

// pay makes a payment by one or the other.
func (p *pair) pay() bool {
	name := p.names[p.rng.IntN(len(p.names))]
	amount := json.Number(consensus.Amount(1_000_000 + p.rng.Int64N(300_000_000)).String())
	w := p.lode.on(name)
	to := p.payTo()
	rate := 1 + p.rng.IntN(20)
	kind, done := "", false
	switch p.rng.IntN(7) {
	case 0, 1:
		kind = "Lode's sendtoaddress"
		_, failure := w.call("sendtoaddress", to, amount, "", "", p.rng.IntN(2) == 0, true, nil, "unset", nil, rate)
		done = failure == nil
	case 2:
		kind = "Bitcoin Core's sendtoaddress"
		_, err := p.core.try(name, "sendtoaddress", to, amount, "", "", p.rng.IntN(2) == 0, true, nil, "unset", nil, rate)
		done = err == nil
	case 3:
		kind = "Lode's sendmany"
		_, failure := w.call("sendmany", "", object{to: amount, p.address("a"): "0.01", p.address("b"): "0.02"}, 1, "", []string{}, true, nil, "unset", rate)
		done = failure == nil
	case 4:
		kind = "Lode's bumpfee"
		done = p.bump(w)
	case 5:
		kind = "a PSBT of Bitcoin Core's that Lode signs"
		done = p.psbt(name, to, amount, rate)
	default:
		kind = "a PSBT of Lode's that Bitcoin Core signs"
		done = p.psbtOfLode(w, name, to, amount, rate)
	}
	if done {
		p.did[kind]++
	}
	p.level()
	return done
}

func (p *pair) bump(w *testNode) bool {
	for _, e := range ok[[]object](w, "listtransactions", "*", 20) {
		if text(e["confirmations"]) != "0" || e["category"] != "send" {
			continue
		}
		if _, failure := w.call("bumpfee", e["txid"], object{"fee_rate": 60 + p.rng.IntN(100)}); failure == nil {
			return true
		}
	}
	return false
}

// psbt has Core make a PSBT, Lode sign it, and Core finalize and send it.
func (p *pair) psbt(name, to string, amount json.Number, rate int) bool {
	p.t.Helper()
	raw, err := p.core.try(name, "walletcreatefundedpsbt", []any{}, []any{object{to: amount}}, 0, object{"fee_rate": rate})
	if err != nil {
		return false
	}
	var made object
	check(p.t, json.Unmarshal(raw, &made))
	signed := ok[object](p.lode.on(name), "walletprocesspsbt", made["psbt"], true, nil, true, false)
	if signed["complete"] != true {
		p.t.Fatalf("Lode cannot sign a PSBT of Bitcoin Core's: %v", signed)
	}
	final := of[object](p.core, name, "finalizepsbt", signed["psbt"])
	if final["complete"] != true {
		p.t.Fatalf("Bitcoin Core cannot finalize what Lode has signed: %v", final)
	}
	_, err = p.core.try(name, "sendrawtransaction", final["hex"])
	return err == nil
}

// psbtOfLode is the reverse.
func (p *pair) psbtOfLode(w *testNode, name, to string, amount json.Number, rate int) bool {
	p.t.Helper()
	raw, failure := w.call("walletcreatefundedpsbt", []any{}, []any{object{to: amount}}, 0, object{"fee_rate": rate})
	if failure != nil {
		return false
	}
	var made object
	check(p.t, json.Unmarshal(raw, &made))
	signed := of[object](p.core, name, "walletprocesspsbt", made["psbt"], true, "DEFAULT", true, false)
	final := ok[object](p.lode, "finalizepsbt", signed["psbt"])
	if final["complete"] != true {
		p.t.Fatalf("Lode cannot finalize what Bitcoin Core has signed: %v", final)
	}
	_, failure = p.lode.call("sendrawtransaction", final["hex"])
	return failure == nil
}

// seen is what one program tells of a wallet.
type seen struct {
	Balances object
	Coins    map[string]string
	History  []string
	Received []string
}

func (p *pair) compare(when string) {
	p.t.Helper()
	for _, name := range p.names {
		lode := tell(func(method string, params ...any) json.RawMessage {
			raw, failure := p.lode.on(name).call(method, params...)
			if failure != nil {
				p.t.Fatalf("%s: %v", method, failure)
			}
			return raw
		})
		other := tell(func(method string, params ...any) json.RawMessage {
			raw, err := p.core.try(name, method, params...)
			if err != nil {
				p.t.Fatalf("Bitcoin Core: %s: %v", method, err)
			}
			return raw
		})
		if diff := cmp.Diff(other, lode); diff != "" {
			p.t.Fatalf("%s, wallet %s (- Bitcoin Core, + Lode):\n%s", when, name, diff)
		}
	}
}

func tell(call func(method string, params ...any) json.RawMessage) (s seen) {
	decode := func(v any, method string, params ...any) {
		if err := json.Unmarshal(call(method, params...), v); err != nil {
			panic(errors.Join(errors.New(method), err))
		}
	}
	var balances map[string]object
	decode(&balances, "getbalances")
	s.Balances = balances["mine"]
	var coins []object
	decode(&coins, "listunspent", 0, 9999999, []string{}, true, object{"include_immature_coinbase": true})
	s.Coins = make(map[string]string)
	for _, c := range coins {
		s.Coins[fmt.Sprintf("%v:%v", c["txid"], c["vout"])] = fmt.Sprint(c["address"], c["amount"], c["confirmations"], c["desc"], c["parent_descs"], c["scriptPubKey"], c["solvable"])
	}
	var list struct{ Transactions []object }
	decode(&list, "listsinceblock")
	for _, e := range list.Transactions {
		s.History = append(s.History, fmt.Sprint(e["txid"], " ", e["category"], e["vout"], e["address"], e["amount"], e["fee"], e["confirmations"], e["blockhash"], e["blockheight"],
			e["blockindex"], e["blocktime"], e["generated"], e["trusted"], e["abandoned"], e["bip125-replaceable"], e["parent_descs"], e["label"], e["wtxid"]))
	}
	slices.Sort(s.History)
	var received []object
	decode(&received, "listreceivedbyaddress", 0, false, false, "", true)
	for _, e := range received {
		s.Received = append(s.Received, fmt.Sprint(e["address"], e["amount"], e["confirmations"], e["label"]))
	}
	slices.Sort(s.Received)
	return s
}
