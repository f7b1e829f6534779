package testnet_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// coreTest is a Lode node and one of Bitcoin Core with coins to spend.
type coreTest struct {
	interop
	chain *chaingen.Chain
	coins []spendable
}

// spendable is a confirmed coin.
type spendable struct {
	at   consensus.OutPoint
	coin consensus.Coin
}

// pays makes a transaction that spends a coin and leaves one, and pays fee.
func (x *coreTest) pays(from spendable, version uint32, fee consensus.Amount) (*consensus.Tx, spendable) {
	tx := &consensus.Tx{
		Version: version,
		In:      []consensus.TxIn{{PrevOut: from.at, Sequence: 0xfffffffd}},
		Out:     []consensus.TxOut{{Value: from.coin.Value - fee, Script: from.coin.Output().Script}},
	}
	x.chain.Sign(tx, []consensus.Coin{from.coin})
	return tx, spendable{consensus.OutPoint{TxID: tx.TxID()}, consensus.Coin{Value: from.coin.Value - fee, Key: from.coin.Key}}
}

// unspent lists coins that can be spent now and are worth it.
func unspent(c *chaingen.Chain) (coins []spendable) {
	spent := make(map[consensus.OutPoint]bool)
	for _, b := range c.Blocks[1:] {
		for _, tx := range b.Txs {
			for i := range tx.In {
				spent[tx.In[i].PrevOut] = true
			}
		}
	}
	for _, b := range c.Blocks[1:] {
		for _, tx := range b.Txs[1:] {
			for i, out := range tx.Out {
				at := consensus.OutPoint{TxID: tx.TxID(), Index: uint32(i)}
				if !spent[at] && out.Value > consensus.SatPerCoin {
					coins = append(coins, spendable{at, consensus.Coin{Value: out.Value, Key: [32]byte(out.Script[2:])}})
				}
			}
		}
	}
	return coins
}

func (x *coreTest) next() spendable {
	x.t.Helper()
	if len(x.coins) == 0 {
		x.t.Fatal("no more coins")
	}
	defer func() { x.coins = x.coins[1:] }()
	return x.coins[0]
}

// peerState is what matters here of getpeerinfo, whose fields are the same in both.
type peerState struct {
	To       bool             `json:"bip152_hb_to"`
	From     bool             `json:"bip152_hb_from"`
	Filter   float64          `json:"minfeefilter"`
	Sent     map[string]int64 `json:"bytessent_per_msg"`
	Received map[string]int64 `json:"bytesrecv_per_msg"`
}

func (x *coreTest) lodePeer() peerState {
	x.t.Helper()
	var list []peerState
	x.lode.call(&list, "getpeerinfo")
	if len(list) != 1 {
		x.t.Fatalf("%d peers", len(list))
	}
	return list[0]
}

func raw(tx *consensus.Tx) string { return hex.EncodeToString(tx.Bytes()) }

// TestCore lets Lode and Bitcoin Core send each other compact blocks, with all
// transactions known and with one unknown, and packages of a parent that pays
// nothing and its child.
func TestCore(t *testing.T) {
	bitcoind := os.Getenv("BITCOIND")
	if bitcoind == "" {
		t.Skip("$BITCOIND does not name the program")
	}
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 200
	first := time.Now().Add(-(blocks + 5) * 10 * time.Minute)
	x := &coreTest{chain: chaingen.New(&spec.Rules, chaingen.Params{Seed: 27, Txs: 4, Outputs: 2, Fee: 10_000, Start: uint32(first.Unix())})}
	x.t, x.pay = t, consensus.Address(spec.Defaults.AddressPrefix, [32]byte(x.chain.Script()[2:]))
	x.chain.Extend(blocks)
	x.coins = unspent(x.chain)
	// Core wants ten times the fee that Lode wants, so that there are transactions
	// in Lode's blocks that Core has not seen.
	x.other = startBitcoindWith(t, bitcoind, x.pay, "-debug=cmpctblock", "-debug=net", "-debug=txpackages", "-minrelaytxfee=0.00001")
	for _, b := range x.chain.Blocks[1:] {
		x.other.call(nil, "submitblock", hex.EncodeToString(b.Bytes()))
	}
	x.lode = startNode(t, t.TempDir(), "--listen-tcp", freePort(t), "--log-level", "debug")
	x.connect()
	x.agree("the first blocks", x.other.tip())

	// Both choose the other for compact announcements once it was first with a block.
	for range 2 {
		x.other.mine(1)
		x.agree("Core's block", x.other.tip())
		x.mine(1)
		x.agree("Lode's block", x.tip())
	}
	waitFor(t, "both to choose each other", func() bool { p := x.lodePeer(); return p.To && p.From })

	x.compactBlocks()
	x.packages()
	if t.Failed() {
		return
	}
	for line := range strings.Lines(x.other.log.String()) {
		if strings.Contains(line, "cmpctblock") || strings.Contains(line, "reconstructed") || strings.Contains(line, "package") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func (x *coreTest) compactBlocks() {
	t := x.t
	// All transactions are known.
	tx, _ := x.pays(x.next(), 2, 10_000)
	x.lode.rpc("sendrawtransaction", raw(tx))
	x.pools(tx.TxID().String())
	before := x.lodePeer()
	x.other.mine(1)
	x.agree("Core's block", x.other.tip())
	tx, _ = x.pays(x.next(), 2, 10_000)
	x.other.call(nil, "sendrawtransaction", raw(tx))
	x.pools(tx.TxID().String())
	x.mine(1)
	x.agree("Lode's block", x.tip())
	after := x.lodePeer()
	if after.Received["cmpctblock"] == before.Received["cmpctblock"] || after.Sent["cmpctblock"] == before.Sent["cmpctblock"] {
		t.Errorf("not in compact form: %+v, then %+v", before, after)
	}
	for _, whole := range []string{"block", "blocktxn", "getblocktxn"} {
		if after.Received[whole] != before.Received[whole] || after.Sent[whole] != before.Sent[whole] {
			t.Errorf("%s was sent", whole)
		}
	}

	// One is not.
	before = after
	tx, _ = x.pays(x.next(), 2, 10_000)
	x.other.call(nil, "generateblock", x.pay, []string{raw(tx)})
	x.agree("Core's block", x.other.tip())
	if after = x.lodePeer(); after.Received["blocktxn"] == before.Received["blocktxn"] || after.Received["block"] != before.Received["block"] {
		t.Errorf("Lode did not ask for what it lacks: %+v, then %+v", before, after)
	}
	before = after
	tx, _ = x.pays(x.next(), 2, 50)
	x.lode.rpc("sendrawtransaction", raw(tx))
	x.mine(1)
	x.agree("Lode's block", x.tip())
	if after = x.lodePeer(); after.Sent["blocktxn"] == before.Sent["blocktxn"] || after.Sent["block"] != before.Sent["block"] {
		t.Errorf("Core did not ask for what it lacks: %+v, then %+v", before, after)
	}
}

func (x *coreTest) packages() {
	pair := func(fee consensus.Amount) (parent, child *consensus.Tx) {
		parent, coin := x.pays(x.next(), 3, fee)
		child, _ = x.pays(coin, 3, 20_000)
		return parent, child
	}
	parent, child := pair(0)
	if got := x.lode.rpc("submitpackage", fmt.Sprintf("[%q,%q]", raw(parent), raw(child))); !strings.Contains(got, `"success"`) {
		x.t.Fatal(got)
	}
	x.pools(parent.TxID().String(), child.TxID().String())
	x.mine(1)
	x.agree("Lode's block", x.tip())

	parent, child = pair(0)
	var result struct {
		Message string `json:"package_msg"`
	}
	if x.other.call(&result, "submitpackage", []string{raw(parent), raw(child)}); result.Message != "success" {
		x.t.Fatal(result)
	}
	x.pools(parent.TxID().String(), child.TxID().String())
	x.other.mine(1)
	x.agree("Core's block", x.other.tip())

	// What Lode takes by itself and Core does not.
	parent, child = pair(50)
	x.lode.rpc("sendrawtransaction", raw(parent))
	x.lode.rpc("sendrawtransaction", raw(child))
	x.pools(parent.TxID().String(), child.TxID().String())
}
