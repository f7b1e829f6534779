package rpc_test

import (
	"bytes"
	"encoding/hex"
	"net/url"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/btcsuite/btcd/wire/v2"

	"lode/consensus"
	"lode/p2p"
	"lode/rpc"
	"lode/wallet/descriptor"
)

// btcdClient is btcd's client, unmodified, in the mode in which it talks to Bitcoin
// Core.
func btcdClient(t *testing.T, n *testNode) *rpcclient.Client {
	t.Helper()
	u, err := url.Parse(n.http.URL)
	check(t, err)
	c, err := rpcclient.New(&rpcclient.ConnConfig{Host: u.Host, User: user, Pass: password, HTTPPostMode: true, DisableTLS: true, Params: "regtest"}, nil)
	check(t, err)
	t.Cleanup(c.Shutdown)
	return c
}

func msgTx(t *testing.T, tx *consensus.Tx) *wire.MsgTx {
	t.Helper()
	m := new(wire.MsgTx)
	check(t, m.Deserialize(bytes.NewReader(tx.Bytes())))
	return m
}

// TestBtcdClient calls every method that btcd's client and this server share. The
// client decodes what comes into its own types, and takes its ways by the version
// that the node says it has. Left out is getaddednodeinfo, which has an argument that
// Bitcoin Core has not had since 0.15.
func TestBtcdClient(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 104, func(c *rpc.Config) { c.UserAgent = "/Satoshi:30.0.0/Lode:1.2.3/" })
	c := btcdClient(t, n)
	sent, tested, grouped := n.payment(1, 1000), n.payment(2, 1000), n.payment(3, 1000)
	block := n.block(1)
	hash := chainhash.Hash(block.Header.Hash())
	tip := n.chain.Tip()
	coinbase := chainhash.Hash(block.Txs[0].TxID())
	pay, err := address.DecodeAddress(n.address, &chaincfg.RegressionNetParams)
	check(t, err)
	n.net.known = []p2p.KnownAddress{{URL: "tcp://8.8.8.8:1", Services: 9, Good: true}}

	call := func(name string, f func() (any, error)) {
		t.Helper()
		if _, err := f(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	call("sendrawtransaction", func() (any, error) {
		id, err := c.SendRawTransaction(msgTx(t, sent), false)
		if err == nil && *id != chainhash.Hash(sent.TxID()) {
			t.Errorf("sent as %v", id)
		}
		return id, err
	})
	call("sendrawtransaction, high fees", func() (any, error) { return c.SendRawTransaction(msgTx(t, sent), true) })
	call("testmempoolaccept", func() (any, error) {
		r, err := c.TestMempoolAccept([]*wire.MsgTx{msgTx(t, tested)}, 0.1)
		if err == nil && !r[0].Allowed {
			t.Errorf("testmempoolaccept: %+v", r[0])
		}
		return r, err
	})
	call("submitpackage", func() (any, error) { return c.SubmitPackage([]*wire.MsgTx{msgTx(t, grouped)}, nil, nil) })
	call("gettxspendingprevout", func() (any, error) {
		r, err := c.GetTxSpendingPrevOut([]wire.OutPoint{msgTx(t, sent).TxIn[0].PreviousOutPoint})
		if err == nil && r[0].SpendingTxid != sent.TxID().String() {
			t.Errorf("gettxspendingprevout: %+v", r)
		}
		return r, err
	})
	call("getmempoolentry", func() (any, error) { return c.GetMempoolEntry(sent.TxID().String()) })
	call("getrawmempool", func() (any, error) { return c.GetRawMempool() })
	call("getrawmempool verbose", func() (any, error) { return c.GetRawMempoolVerbose() })
	call("getbestblockhash", func() (any, error) { return c.GetBestBlockHash() })
	call("getblock", func() (any, error) {
		b, err := c.GetBlock(&hash)
		if err == nil && b.BlockHash() != hash {
			t.Error("getblock gives another block")
		}
		return b, err
	})
	call("getblock 1", func() (any, error) { return c.GetBlockVerbose(&hash) })
	call("getblock 2", func() (any, error) { return c.GetBlockVerboseTx(&hash) })
	call("getblockcount", func() (any, error) { return c.GetBlockCount() })
	call("getchaintxstats", func() (any, error) { return c.GetChainTxStats() })
	call("getchaintxstats n", func() (any, error) { return c.GetChainTxStatsNBlocks(5) })
	call("getchaintxstats n hash", func() (any, error) { return c.GetChainTxStatsNBlocksBlockHash(5, chainhash.Hash(tip.Hash)) })
	call("getdifficulty", func() (any, error) { return c.GetDifficulty() })
	call("getblockchaininfo", func() (any, error) { return c.GetBlockChainInfo() })
	call("getblockhash", func() (any, error) { return c.GetBlockHash(1) })
	call("getblockheader", func() (any, error) { return c.GetBlockHeader(&hash) })
	call("getblockheader verbose", func() (any, error) { return c.GetBlockHeaderVerbose(&hash) })
	call("getchaintips", func() (any, error) { return c.GetChainTips() })
	call("estimatesmartfee", func() (any, error) { return c.EstimateSmartFee(6, &btcjson.EstimateModeConservative) })
	call("verifychain", func() (any, error) { return c.VerifyChain() })
	call("verifychain level", func() (any, error) { return c.VerifyChainLevel(4) })
	call("verifychain blocks", func() (any, error) { return c.VerifyChainBlocks(4, 10) })
	call("gettxout", func() (any, error) { return c.GetTxOut(&coinbase, 0, false) })
	call("gettxoutsetinfo", func() (any, error) { return c.GetTxOutSetInfo() })
	call("gettxoutproof", func() (any, error) { return c.GetTxOutProof([]string{coinbase.String()}, nil) })
	call("getblockstats", func() (any, error) { return c.GetBlockStats(hash.String(), nil) })
	call("getblockstats height", func() (any, error) { return c.GetBlockStats(1, &[]string{"txs"}) })
	text := descriptor.AddChecksum("addr(" + n.address + ")")
	call("deriveaddresses", func() (any, error) { return c.DeriveAddresses(text, nil) })
	call("getdescriptorinfo", func() (any, error) { return c.GetDescriptorInfo(text) })
	call("getmininginfo", func() (any, error) { return c.GetMiningInfo() })
	call("getnetworkhashps", func() (any, error) { return c.GetNetworkHashPS() })
	call("getnetworkhashps 2", func() (any, error) { return c.GetNetworkHashPS2(10) })
	call("getnetworkhashps 3", func() (any, error) { return c.GetNetworkHashPS3(10, 50) })
	call("getblocktemplate", func() (any, error) {
		return c.GetBlockTemplate(&btcjson.TemplateRequest{Mode: "template", Rules: []string{"segwit"}})
	})
	call("addnode", func() (any, error) { return nil, c.AddNode("10.0.0.1:18444", rpcclient.ANAdd) })
	call("addnode onetry", func() (any, error) { return nil, c.AddNode("10.0.0.2:18444", rpcclient.ANOneTry) })
	call("addnode remove", func() (any, error) { return nil, c.AddNode("10.0.0.1:18444", rpcclient.ANRemove) })
	call("getconnectioncount", func() (any, error) { return c.GetConnectionCount() })
	call("ping", func() (any, error) { return nil, c.Ping() })
	call("getnetworkinfo", func() (any, error) { return c.GetNetworkInfo() })
	call("getnodeaddresses", func() (any, error) { return c.GetNodeAddresses(nil) })
	call("getpeerinfo", func() (any, error) { return c.GetPeerInfo() })
	call("getnettotals", func() (any, error) { return c.GetNetTotals() })
	call("getrawtransaction", func() (any, error) {
		id := chainhash.Hash(sent.TxID())
		return c.GetRawTransaction(&id)
	})
	call("getrawtransaction verbose", func() (any, error) {
		id := chainhash.Hash(sent.TxID())
		return c.GetRawTransactionVerbose(&id)
	})
	call("decoderawtransaction", func() (any, error) { return c.DecodeRawTransaction(sent.Bytes()) })
	call("decodescript", func() (any, error) { return c.DecodeScript(n.script) })
	call("createrawtransaction", func() (any, error) {
		return c.CreateRawTransaction([]btcjson.TransactionInput{{Txid: coinbase.String()}}, map[address.Address]btcutil.Amount{pay: 1000}, nil)
	})
	call("validateaddress", func() (any, error) { return c.ValidateAddress(pay) })
	call("generatetoaddress", func() (any, error) { return c.GenerateToAddress(1, pay, nil) })
	call("submitblock", func() (any, error) {
		raw, err := hex.DecodeString(hexBlock(solve(n.template())))
		check(t, err)
		b, err := btcutil.NewBlockFromBytes(raw)
		check(t, err)
		return nil, c.SubmitBlock(b, nil)
	})
	best := n.chain.Tip().Hash
	last := chainhash.Hash(best)
	call("invalidateblock", func() (any, error) { return nil, c.InvalidateBlock(&last) })
	call("reconsiderblock", func() (any, error) { return nil, c.ReconsiderBlock(&last) })
	if now := n.chain.Tip().Hash; now != best {
		t.Errorf("the tip is %s, want %s", now, best)
	}
	if v, err := c.BackendVersion(); err != nil {
		t.Errorf("the version of the node: %v, %v", v, err)
	}
}
