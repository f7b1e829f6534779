// Package btcwallet has the chain client of btcwallet, which LND uses too, work with
// Lode as its bitcoind: unmodified, by RPC alone. It is a module of its own, as
// btcwallet needs an older btcd than Lode's tests do.
package btcwallet

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/chaincfg/chainhash"
	"github.com/btcsuite/btcd/rpcclient"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/btcsuite/btcwallet/chain"
)

// patience bounds what the client is waited for: it polls.
const patience = 2 * time.Minute

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startNode builds and starts Lode on regtest; the test's end stops it.
func startNode(t *testing.T) (host, user, password string) {
	t.Helper()
	dir := t.TempDir()
	lode, data := filepath.Join(dir, "lode"), filepath.Join(dir, "data")
	build := exec.Command("go", "build", "-o", lode, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var log bytes.Buffer
	node := exec.Command(lode, "node", "--network", "regtest", "--datadir", data, "--listen", "off", "--outbound", "0", "--rpc-listen", "127.0.0.1:0")
	node.Stdout, node.Stderr = &log, &log
	check(t, node.Start())
	exited := make(chan error, 1)
	go func() { exited <- node.Wait() }()
	t.Cleanup(func() {
		_ = node.Process.Signal(os.Interrupt)
		if err := <-exited; err != nil || t.Failed() {
			t.Errorf("%v: %s", err, log.String())
		}
	})
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		address, err := os.ReadFile(filepath.Join(data, "regtest", ".rpc-address"))
		if err != nil {
			continue
		}
		cookie, err := os.ReadFile(filepath.Join(data, "regtest", ".cookie"))
		check(t, err)
		user, password, _ = strings.Cut(strings.TrimSpace(string(cookie)), ":")
		return strings.TrimSpace(string(address)), user, password
	}
	t.Fatal("the node does not start")
	return "", "", ""
}

// next waits for a notification of one kind that is wanted; others pass.
func next[T any](t *testing.T, client *chain.BitcoindClient, wanted func(T) bool) T {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case n := <-client.Notifications():
			if v, ok := n.(T); ok && wanted(v) {
				return v
			}
		case <-timeout:
			var none T
			t.Fatalf("no %T comes", none)
		}
	}
}

// TestChainClient starts btcwallet's chain client, has it follow blocks and a
// reorganization, and pays to and from a key that it watches, in the mempool and in
// blocks.
func TestChainClient(t *testing.T) {
	host, user, password := startNode(t)
	rpc, err := rpcclient.New(&rpcclient.ConnConfig{Host: host, User: user, Pass: password, HTTPPostMode: true, DisableTLS: true}, nil)
	check(t, err)
	defer rpc.Shutdown()
	params := &chaincfg.RegressionNetParams
	secret, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	output := txscript.ComputeTaprootKeyNoScript(secret.PubKey())
	ours, err := btcutil.NewAddressTaproot(schnorr.SerializePubKey(output), params)
	check(t, err)
	other, err := btcutil.NewAddressTaproot(schnorr.SerializePubKey(secret.PubKey()), params)
	check(t, err)
	generate := func(n int64, to btcutil.Address) []*chainhash.Hash {
		t.Helper()
		hashes, err := rpc.GenerateToAddress(n, to, nil)
		check(t, err)
		return hashes
	}
	mined := generate(1, ours)
	generate(100, other)

	conn, err := chain.NewBitcoindConn(&chain.BitcoindConfig{
		ChainParams: params, Host: host, User: user, Pass: password,
		Dialer:        func(address string) (net.Conn, error) { return net.Dial("tcp", address) },
		PollingConfig: &chain.PollingConfig{BlockPollingInterval: 50 * time.Millisecond, TxPollingInterval: 50 * time.Millisecond},
	})
	check(t, err)
	check(t, conn.Start())
	defer conn.Stop()
	client := conn.NewBitcoindClient()
	check(t, client.Start())
	defer func() { client.Stop(); client.WaitForShutdown() }()
	next(t, client, func(chain.ClientConnected) bool { return true })
	check(t, client.NotifyBlocks())
	check(t, client.NotifyReceived([]btcutil.Address{ours}))
	if best, height, err := client.GetBestBlock(); err != nil || height != 101 || !client.IsCurrent() {
		t.Fatalf("best block %v at %d, current %v: %v", best, height, client.IsCurrent(), err)
	}

	// Blocks, and a branch that outgrows them.
	lost := generate(2, other)
	for _, hash := range lost {
		next(t, client, func(b chain.BlockConnected) bool { return b.Hash == *hash })
	}
	check(t, rpc.InvalidateBlock(lost[0]))
	kept := generate(3, other)
	next(t, client, func(b chain.BlockDisconnected) bool { return b.Hash == *lost[1] })
	next(t, client, func(b chain.BlockDisconnected) bool { return b.Height == 102 }) // under the hash of its parent: the client's mistake
	for _, hash := range kept {
		next(t, client, func(b chain.BlockConnected) bool { return b.Hash == *hash })
	}

	// A payment from the watched key back to it.
	block, err := client.GetBlock(mined[0])
	check(t, err)
	coin := wire.OutPoint{Hash: block.Transactions[0].TxHash()}
	before := block.Transactions[0].TxOut[0]
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&coin, nil, nil))
	tx.AddTxOut(wire.NewTxOut(before.Value-10_000, before.PkScript))
	sighashes := txscript.NewTxSigHashes(tx, txscript.NewCannedPrevOutputFetcher(before.PkScript, before.Value))
	signature, err := txscript.RawTxInTaprootSignature(tx, sighashes, 0, before.Value, before.PkScript, nil, txscript.SigHashDefault, secret)
	check(t, err)
	tx.TxIn[0].Witness = wire.TxWitness{signature}
	if r, err := client.TestMempoolAccept([]*wire.MsgTx{tx}, 0); err != nil || len(r) != 1 || !r[0].Allowed {
		t.Fatalf("testmempoolaccept: %+v, %v", r, err)
	}
	id, err := client.SendRawTransaction(tx, false)
	check(t, err)
	next(t, client, func(r chain.RelevantTx) bool { return r.TxRecord.Hash == *id && r.Block == nil })
	if spender, found := client.LookupInputMempoolSpend(coin); !found || spender != *id {
		t.Errorf("the coin is spent by %v in the mempool: %v", spender, found)
	}
	confirming := generate(1, other)
	filtered := next(t, client, func(b chain.FilteredBlockConnected) bool { return b.Block.Hash == *confirming[0] })
	if len(filtered.RelevantTxs) != 1 || filtered.RelevantTxs[0].Hash != *id {
		t.Errorf("the block that confirms it has %d transactions of the key", len(filtered.RelevantTxs))
	}

	// A refusal that the client has a kind of error for, and one coin that is there.
	if _, err := client.SendRawTransaction(tx, false); !errors.Is(err, chain.ErrTxAlreadyConfirmed) {
		t.Errorf("sent twice: %v", err)
	}
	if out, err := client.GetTxOut(id, 0, true); err != nil || out == nil || out.Confirmations != 1 {
		t.Errorf("gettxout: %+v, %v", out, err)
	}

	// What a wallet that was restored does: read the chain again from a block.
	genesis := params.GenesisHash
	check(t, client.Rescan(genesis, []btcutil.Address{ours}, nil))
	done := next(t, client, func(*chain.RescanFinished) bool { return true })
	if done.Height != 105 {
		t.Errorf("the rescan ended at %d", done.Height)
	}
}
