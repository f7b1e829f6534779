package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// regtestDifficulty and regtestTarget are those of every block on regtest.
const (
	regtestDifficulty = "4.6565423739069247e-10"
	regtestTarget     = "7fffff0000000000000000000000000000000000000000000000000000000000"
)

// chainWork is the work of a chain of regtest blocks after genesis.
func chainWork(height int) string { return fmt.Sprintf("%064x", 2*(height+1)) }

// wantHeader is what getblockheader must say.
func wantHeader(b *consensus.Block, height, tip int, median uint32) object {
	h := object{
		"hash": b.Header.Hash(), "confirmations": tip - height + 1, "height": height, "version": b.Version, "versionHex": fmt.Sprintf("%08x", b.Version),
		"merkleroot": b.MerkleRoot, "time": b.Time, "mediantime": median, "nonce": b.Nonce, "bits": "207fffff", "target": regtestTarget,
		"difficulty": json.Number(regtestDifficulty), "chainwork": chainWork(height), "nTx": len(b.Txs),
	}
	if height > 0 {
		h["previousblockhash"] = b.Prev
	}
	return h
}

func (n *testNode) scriptOf() object {
	return object{"asm": "1 " + hex.EncodeToString(n.key[:]), "hex": hex.EncodeToString(n.script), "desc": descriptor.AddChecksum("rawtr(" + hex.EncodeToString(n.key[:]) + ")"), "address": n.address, "type": "witness_v1_taproot"}
}

// wantCoinbase is how a coinbase of this node is shown.
func (n *testNode) wantCoinbase(tx *consensus.Tx, value string) object {
	commitment := tx.Out[1].Script
	return object{
		"txid": tx.TxID(), "hash": tx.WTxID(), "version": tx.Version, "size": tx.Size(), "vsize": tx.VSize(), "weight": tx.Weight(), "locktime": tx.LockTime,
		"vin": []any{object{"coinbase": hex.EncodeToString(tx.In[0].ScriptSig), "txinwitness": []string{strings.Repeat("00", 32)}, "sequence": tx.In[0].Sequence}},
		"vout": []any{
			object{"value": btc(value), "n": 0, "scriptPubKey": n.scriptOf()},
			object{"value": btc("0.00000000"), "n": 1, "scriptPubKey": object{
				"asm": "OP_RETURN " + hex.EncodeToString(commitment[2:]), "hex": hex.EncodeToString(commitment), "type": "nulldata",
				"desc": descriptor.AddChecksum("raw(" + hex.EncodeToString(commitment) + ")"),
			}},
		},
		"hex": hexTx(tx),
	}
}

// wantPayment is how a payment with one input and one output to this node is
// shown.
func (n *testNode) wantPayment(tx *consensus.Tx, value string) object {
	in := &tx.In[0]
	return object{
		"txid": tx.TxID(), "hash": tx.WTxID(), "version": 2, "size": tx.Size(), "vsize": tx.VSize(), "weight": tx.Weight(), "locktime": 0,
		"vin": []any{object{
			"txid": in.PrevOut.TxID, "vout": in.PrevOut.Index, "scriptSig": object{"asm": "", "hex": ""},
			"txinwitness": []string{hex.EncodeToString(in.Witness[0])}, "sequence": json.Number("4294967293"),
		}},
		"vout": []any{object{"value": btc(value), "n": 0, "scriptPubKey": n.scriptOf()}},
	}
}

// merged is an object with members of another.
func merged(a, b object) object {
	out := object{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// withPayment is a chain whose block 101 spends the coinbase of block 1.
func withPayment(t *testing.T) (n *testNode, payment *consensus.Tx) {
	n = newNode(t, "regtest", 100)
	payment = n.payment(1, 1000)
	check(t, n.pool.Add(payment))
	n.mine(2)
	return n, payment
}

func TestGetBlock(t *testing.T) {
	t.Parallel()
	n, payment := withPayment(t)
	block := n.block(101)
	hash := block.Header.Hash()
	info, _ := n.chain.Header(hash)

	header := wantHeader(block, 101, 102, info.MedianTime)
	header["nextblockhash"] = n.chain.Tip().Hash
	same(t, ok[any](n, "getblockheader", hash), header)
	same(t, ok[any](n, "getblockheader", hash, true), header)
	same(t, ok[any](n, "getblockheader", hash, false), hex.EncodeToString(block.Header.Append(nil)))

	same(t, ok[any](n, "getblock", hash, 0), hexBlock(block))
	same(t, ok[any](n, "getblock", hash, false), hexBlock(block))
	same(t, ok[any](n, "getblock", hash, -5), hexBlock(block))

	body := merged(header, object{"strippedsize": block.StrippedSize(), "size": block.Size(), "weight": block.Weight()})
	body["tx"] = block.TxIDs()
	same(t, ok[any](n, "getblock", hash), body)
	same(t, ok[any](n, "getblock", hash, 1), body)
	same(t, ok[any](n, "getblock", hash, true), body)

	coinbase := n.wantCoinbase(block.Txs[0], "50.00001000")
	spend := merged(n.wantPayment(payment, "49.99999000"), object{"fee": btc("0.00001000"), "hex": hexTx(payment)})
	body["tx"] = []any{coinbase, spend}
	same(t, ok[any](n, "getblock", hash, 2), body)

	spend["vin"].([]any)[0].(object)["prevout"] = object{"generated": true, "height": 1, "value": btc("50.00000000"), "scriptPubKey": n.scriptOf()}
	same(t, ok[any](n, "getblock", hash, 3), body)
	same(t, ok[any](n, "getblock", hash, 99), body)
}

func TestGetBlockOfGenesis(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	genesis := n.chain.Rules().Genesis()
	hash := genesis.Header.Hash()
	same(t, ok[any](n, "getblockheader", hash), wantHeader(genesis, 0, 0, genesis.Time))
	for verbosity := range 4 {
		ok[any](n, "getblock", hash, verbosity)
	}
	same(t, ok[any](n, "getblock", hash, 0), hexBlock(genesis))
}

func TestBlocksOffTheActiveChain(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	other := n.template() // after block 1, as block 2 is
	n.mine(1)
	solve(other)
	same(t, ok[any](n, "submitblock", hexBlock(other)), "inconclusive")
	hash := other.Header.Hash()

	// A header whose block never came.
	lone := variant(other, func(*consensus.Block) {})
	lone.Prev, lone.Time = hash, lone.Time+1
	solve(lone)
	same(t, ok[any](n, "submitheader", hex.EncodeToString(lone.Header.Append(nil))), nil)

	h := ok[object](n, "getblockheader", hash)
	same(t, []any{h["confirmations"], h["height"], h["nTx"], h["nextblockhash"]}, []any{-1, 2, 1, nil})
	h = ok[object](n, "getblockheader", lone.Header.Hash())
	same(t, []any{h["confirmations"], h["height"], h["nTx"]}, []any{-1, 3, 0})
	b := ok[object](n, "getblock", hash, 3)
	if tx := b["tx"].([]any)[0].(object); tx["fee"] != nil {
		t.Errorf("a fee for a block that was never connected: %v", tx["fee"])
	}
	n.refused(-1, "Block not available (not fully downloaded)", "getblock", lone.Header.Hash())

	best := ok[object](n, "getblockchaininfo")
	same(t, []any{best["blocks"], best["headers"]}, []any{2, 3})
	same(t, ok[any](n, "getchaintips"), []any{
		object{"height": 3, "hash": lone.Header.Hash(), "branchlen": 2, "status": "headers-only"},
		object{"height": 2, "hash": n.chain.Tip().Hash, "branchlen": 0, "status": "active"},
	})
}

// TestChainTips walks through the states of the end of a branch:
//
//	0 - 1 - 2a           connected first
//	     \- 2b - 3b      more work, then active
//	         \- 3c       never connected
//	     \- 2d           breaks a rule
func TestChainTips(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	b2, d2 := n.template(), n.template()
	a2 := n.mine(1)[0]
	solve(b2)
	same(t, ok[any](n, "submitblock", hexBlock(b2)), "inconclusive")
	after := func(parent *consensus.Block) *consensus.Block {
		b := &consensus.Block{Header: parent.Header, Txs: []*consensus.Tx{
			consensus.NewCoinbase(consensus.CoinbaseScript(3, []byte{1}), []consensus.TxOut{{Value: 1, Script: n.script}}),
		}}
		b.Prev, b.Time = parent.Header.Hash(), parent.Time+1
		b.Seal()
		return b
	}
	b3, c3 := solve(after(b2)), after(b2)
	same(t, ok[any](n, "submitblock", hexBlock(b3)), nil)
	c3.Time++
	solve(c3)
	same(t, ok[any](n, "submitblock", hexBlock(c3)), "inconclusive")
	d2.Txs[0].In[0].ScriptSig = consensus.CoinbaseScript(3, []byte{1})
	d2.MerkleRoot, _ = consensus.MerkleRoot(d2.TxIDs())
	solve(d2)
	same(t, ok[any](n, "submitblock", hexBlock(d2)), "bad-cb-height")

	got, order := map[consensus.Hash]string{}, []int(nil)
	for _, tip := range ok[[]struct {
		Hash      consensus.Hash
		Height    int
		BranchLen int
		Status    string
	}](n, "getchaintips") {
		got[tip.Hash] = fmt.Sprint(tip.BranchLen, " ", tip.Status)
		order = append(order, tip.Height)
		if len(order) == 1 && tip.Hash != b3.Header.Hash() {
			t.Errorf("%s is first, not the active one of the highest", tip.Hash)
		}
	}
	same(t, order, []int{3, 3, 2, 2})
	same(t, got, map[consensus.Hash]string{
		b3.Header.Hash(): "0 active", a2: "1 valid-fork", c3.Header.Hash(): "1 valid-headers", d2.Header.Hash(): "1 invalid",
	})
}

func TestControlOfBlocks(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	b2 := n.template()
	a := n.mine(2)
	solve(b2)
	same(t, ok[any](n, "submitblock", hexBlock(b2)), "inconclusive")

	same(t, ok[any](n, "invalidateblock", a[0]), nil)
	same(t, ok[any](n, "getbestblockhash"), b2.Header.Hash())
	same(t, ok[any](n, "reconsiderblock", a[1]), nil)
	same(t, ok[any](n, "getbestblockhash"), a[1])
	same(t, ok[any](n, "invalidateblock", a[1]), nil)
	same(t, ok[any](n, "getbestblockhash"), a[0]) // as much work as b2, and seen first
	same(t, ok[any](n, "preciousblock", b2.Header.Hash()), nil)
	same(t, ok[any](n, "getbestblockhash"), b2.Header.Hash())
	same(t, ok[any](n, "preciousblock", a[0]), nil)
	same(t, ok[any](n, "getbestblockhash"), a[0])

	for _, method := range []string{"invalidateblock", "reconsiderblock", "preciousblock"} {
		n.refused(-5, "Block not found", method, consensus.Hash{1})
		n.refused(-8, "blockhash must be of length 64 (not 2, for 'aa')", method, "aa")
	}
	n.refused(-1, "the genesis block cannot be invalidated", "invalidateblock", n.chain.Rules().GenesisHash())
	same(t, ok[any](n, "getblockcount"), 2)
}

func TestChainNumbers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 3)
	tip := n.chain.Tip()
	same(t, ok[any](n, "getblockcount"), 3)
	same(t, ok[any](n, "getbestblockhash"), tip.Hash)
	same(t, ok[any](n, "getblockhash", 3), tip.Hash)
	same(t, ok[any](n, "getdifficulty"), json.Number(regtestDifficulty))
	same(t, ok[any](n, "getindexinfo"), object{})
	same(t, ok[any](n, "getindexinfo", "txindex"), object{})
	info := ok[object](n, "getblockchaininfo")
	if size, err := info["size_on_disk"].(json.Number).Int64(); err != nil || size < 600 {
		t.Errorf("size_on_disk %v", info["size_on_disk"])
	}
	delete(info, "size_on_disk")
	id := n.chain.Rules().ID()
	want := object{
		"chain": "regtest", "blocks": 3, "headers": 3, "bestblockhash": tip.Hash, "bits": "207fffff", "target": regtestTarget,
		"difficulty": json.Number(regtestDifficulty), "time": tip.Time, "mediantime": tip.MedianTime(), "verificationprogress": 1, "initialblockdownload": false,
		"chainwork": chainWork(3), "pruned": false, "warnings": []any{}, "rules": hex.EncodeToString(id[:]), "syncing": false,
	}
	same(t, info, want)
	n.net.initial = true
	info = ok[object](n, "getblockchaininfo")
	same(t, []any{info["initialblockdownload"], info["syncing"], info["verificationprogress"]}, []any{true, false, 1})
	// A tip that is not recent lacks the blocks of the time since.
	for after, want := range map[uint32]float64{2 * 60 * 60: 1, 2*60*60 + 1: 3. / (3 + 12)} {
		n.clock.Set(time.Unix(int64(tip.Time+after), 0))
		if got := ok[object](n, "getblockchaininfo")["verificationprogress"]; got != json.Number(strconv.FormatFloat(want, 'g', -1, 64)) {
			t.Errorf("%d s after the tip: verificationprogress %v, want %v", after, got, want)
		}
	}
	n.clock.Set(time.Time{})
	n.net.initial, n.net.syncing = false, true
	info = ok[object](n, "getblockchaininfo")
	same(t, []any{info["initialblockdownload"], info["syncing"]}, []any{false, true})
}

func TestGetTxOut(t *testing.T) {
	t.Parallel()
	n, payment := withPayment(t)
	id := payment.TxID()
	tip := n.chain.Tip().Hash
	confirmed := object{"bestblock": tip, "confirmations": 2, "value": btc("49.99999000"), "scriptPubKey": n.scriptOf(), "coinbase": false}
	same(t, ok[any](n, "gettxout", id, 0), confirmed)
	same(t, ok[any](n, "gettxout", id, 0, false), confirmed)
	same(t, ok[any](n, "gettxout", id, 1), nil)
	same(t, ok[any](n, "gettxout", n.coinbase(1).TxID, 0), nil) // spent
	same(t, ok[any](n, "gettxout", n.coinbase(2).TxID, 0), object{
		"bestblock": tip, "confirmations": 101, "value": btc("50.00000000"), "scriptPubKey": n.scriptOf(), "coinbase": true,
	})
	same(t, ok[any](n, "gettxout", n.coinbase(2).TxID, 1), nil) // data is never a coin
	same(t, ok[any](n, "gettxout", n.chain.Rules().Genesis().Txs[0].TxID(), 0), nil)

	// A child in the mempool spends the payment and makes a coin.
	child := n.pay(50*consensus.SatPerCoin-1000, []consensus.OutPoint{{TxID: id}}, consensus.TxOut{Value: 1e8, Script: n.script})
	check(t, n.pool.Add(child))
	same(t, ok[any](n, "gettxout", id, 0), nil)
	same(t, ok[any](n, "gettxout", id, 0, false), confirmed)
	same(t, ok[any](n, "gettxout", child.TxID(), 0), object{
		"bestblock": tip, "confirmations": 0, "value": btc("1.00000000"), "scriptPubKey": n.scriptOf(), "coinbase": false,
	})
	same(t, ok[any](n, "gettxout", child.TxID(), 0, false), nil)
	same(t, ok[any](n, "gettxout", child.TxID(), 7), nil)
	n.refused(-8, "txid must be of length 64 (not 1, for 'x')", "gettxout", "x", 0)
}
