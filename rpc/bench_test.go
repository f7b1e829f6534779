package rpc_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/chain"
	"lode/consensus"
)

// spread splits coins of the first blocks, a hundred outputs a transaction, and mines that.
func (n *testNode) spread(outputs int) (coins []consensus.OutPoint, value consensus.Amount) {
	n.tb.Helper()
	const fee, each = 100_000, 2000
	value = (50*consensus.SatPerCoin - fee) / each
	for height := uint32(1); len(coins) < outputs; height++ {
		out := make([]consensus.TxOut, each)
		for i := range out {
			out[i] = consensus.TxOut{Value: value, Script: n.script}
		}
		tx := n.pay(50*consensus.SatPerCoin, []consensus.OutPoint{n.coinbase(height)}, out...)
		check(n.tb, n.pool.Add(tx))
		id := tx.TxID()
		for i := range out {
			coins = append(coins, consensus.OutPoint{TxID: id, Index: uint32(i)})
		}
		if height%10 == 0 || len(coins) >= outputs {
			n.mine(1)
		}
	}
	return coins[:outputs], value
}

// payments spend coins one by one, to a key of somebody and a change, each its own.
func (n *testNode) payments(coins []consensus.OutPoint, value consensus.Amount) (txs []*consensus.Tx) {
	n.tb.Helper()
	script := func(i int) []byte {
		var seed [32]byte
		binary.BigEndian.PutUint64(seed[24:], uint64(i+1))
		_, key := btcec.PrivKeyFromBytes(seed[:])
		return consensus.TaprootScript([32]byte(schnorr.SerializePubKey(key)))
	}
	for i, o := range coins {
		txs = append(txs, n.pay(value, []consensus.OutPoint{o}, consensus.TxOut{Value: 10_000, Script: script(2 * i)}, consensus.TxOut{Value: value - 11_000, Script: script(2*i + 1)}))
	}
	return txs
}

// ask makes a call, of whose answer the size counts.
func ask(b *testing.B, n *testNode, method, params string) {
	r := authorized(fmt.Sprintf(`{"id":1,"method":%q,"params":[%s]}`, method, params))
	resp := n.do(r)
	size, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatal(resp.Status, err)
	}
	b.SetBytes(size)
}

// BenchmarkGetBlock describes a block of 2,000 transactions.
func BenchmarkGetBlock(b *testing.B) {
	n := newNode(b, "regtest", 101)
	coins, value := n.spread(2000)
	for _, tx := range n.payments(coins, value) {
		check(b, n.pool.Add(tx))
	}
	hash := n.mine(1)[0]
	if got := len(n.block(n.chain.Tip().Height).Txs); got != 2001 {
		b.Fatalf("%d transactions", got)
	}
	for verbosity := range 4 {
		b.Run(fmt.Sprint(verbosity), func(b *testing.B) {
			for b.Loop() {
				ask(b, n, "getblock", fmt.Sprintf("%q,%d", hash, verbosity))
			}
		})
	}
}

// BenchmarkGetRawMempool describes a mempool of 100,000 transactions.
func BenchmarkGetRawMempool(b *testing.B) {
	n := newNodeWith(b, chain.Config{}, "regtest", 160)
	coins, value := n.spread(100_000)
	for len(coins) > 0 {
		part := coins[:min(len(coins), 1000)]
		coins = coins[len(part):]
		for _, err := range n.pool.AddAll(n.payments(part, value)) {
			check(b, err)
		}
	}
	for _, verbose := range []bool{false, true} {
		b.Run(fmt.Sprint(verbose), func(b *testing.B) {
			for b.Loop() {
				ask(b, n, "getrawmempool", fmt.Sprint(verbose))
			}
		})
	}
}
