package rpc_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
	"lode/wallet/silent"
)

type silentTx struct {
	TxID    consensus.Hash
	Tweak   consensus.HexBytes
	Outputs []consensus.HexBytes
}

type silentBlock struct {
	Height uint32
	Hash   consensus.Hash
	Prev   consensus.Hash `json:"previousblockhash"`
	Txs    []silentTx     `json:"transactions"`
}

type silentPage struct {
	Loaded bool
	Txs    []silentTx `json:"transactions"`
	Next   string
	More   bool
}

// TestSilentCalls pays a silent address, finds the payment in the mempool and in its block by
// what the calls say, and asks for what is not there.
func TestSilentCalls(t *testing.T) {
	t.Parallel()
	n := indexed(t, 101)
	scan, spend := btcec.PrivateKey{}, btcec.PrivateKey{}
	scan.Key.SetInt(7)
	spend.Key.SetInt(9)
	receiver, err := silent.NewReceiver(scan.Key.Bytes(), silent.PublicKey(spend.PubKey().SerializeCompressed()))
	check(t, err)
	scanner, err := receiver.NewScanner(nil)
	check(t, err)
	coin := n.coinbase(1)
	keys, err := silent.Outputs([]consensus.OutPoint{coin}, []silent.InputKey{{Secret: n.priv, Taproot: true}}, []silent.Address{receiver.Address()})
	check(t, err)
	const subsidy = 50 * consensus.SatPerCoin
	tx := n.pay(subsidy, []consensus.OutPoint{coin}, consensus.TxOut{Value: 7000, Script: consensus.TaprootScript(keys[0])},
		consensus.TxOut{Value: subsidy - 9000, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(tx)), tx.TxID())
	find := func(txs []silentTx) {
		t.Helper()
		if len(txs) != 1 || txs[0].TxID != tx.TxID() || len(txs[0].Outputs) != 2 {
			t.Fatalf("%+v", txs)
		}
		var outputs [][32]byte
		for _, key := range txs[0].Outputs {
			outputs = append(outputs, [32]byte(key))
		}
		found, err := scanner.Scan(silent.PublicKey(txs[0].Tweak), outputs)
		if err != nil || len(found) != 1 || found[0].Key != keys[0] {
			t.Fatalf("found %+v, %v", found, err)
		}
	}
	page := ok[silentPage](n, "getsilentmempool")
	find(page.Txs)
	same(t, []any{page.Loaded, page.More}, []any{true, false})
	same(t, len(ok[silentPage](n, "getsilentmempool", page.Next).Txs), 0)
	find(ok[silentPage](n, "getsilentmempool", "another-5").Txs)
	child := n.pay(subsidy-9000, []consensus.OutPoint{{TxID: tx.TxID(), Index: 1}}, consensus.TxOut{Value: subsidy - 11000, Script: n.script})
	check(t, n.pool.Add(child))
	same(t, ok[silentPage](n, "getsilentmempool", page.Next).Txs[0].TxID, child.TxID()) // its parent is unconfirmed
	n.mine(2)
	n.built()
	blocks := ok[[]silentBlock](n, "getsilentblocks", 101, 10)
	if len(blocks) != 3 || blocks[1].Height != 102 || blocks[1].Prev != blocks[0].Hash || blocks[1].Hash != n.block(102).Header.Hash() || len(blocks[0].Txs) != 0 {
		t.Fatalf("%+v", blocks)
	}
	find(blocks[1].Txs[:1])
	find(ok[[]silentBlock](n, "getsilentblocks", blocks[1].Hash)[0].Txs[:1])
	if tweak := hex.EncodeToString(blocks[1].Txs[0].Tweak); len(tweak) != 66 || !strings.HasPrefix(tweak, "0") {
		t.Errorf("tweak %s", tweak)
	}
	n.refused(-8, "count must be 1 to 1000", "getsilentblocks", 1, 0)
	n.refused(-8, "count must be 1 to 1000", "getsilentblocks", 1, 1001)
	n.refused(-8, "Target block height 104 after current tip 103", "getsilentblocks", 104)
	n.refused(-8, "after must be what an earlier answer gave as next (not 'x')", "getsilentmempool", "x")

	n = newNode(t, "regtest", 1)
	for _, call := range [][]any{{"getsilentblocks", 1}, {"getsilentmempool"}} {
		n.refused(-1, "Silent payment index is not enabled. Start the node with --silentindex.", call[0].(string), call[1:]...)
	}
}
