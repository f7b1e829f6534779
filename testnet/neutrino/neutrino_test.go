// Package neutrino has neutrino, the light client of LND, follow a chain that Lode alone
// serves to it: unmodified, over TCP, by block filters (BIP157). It is a module of its
// own, as neutrino needs an older btcd than Lode's tests do.
package neutrino

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
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
	"github.com/btcsuite/btcwallet/walletdb"
	_ "github.com/btcsuite/btcwallet/walletdb/bdb"
	"github.com/lightninglabs/neutrino"
	"github.com/lightninglabs/neutrino/headerfs"
)

// patience bounds what the client is waited for.
const patience = 2 * time.Minute

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// startNode builds and starts Lode on regtest; the test's end stops it.
func startNode(t *testing.T) (rpc *rpcclient.Client, tcp string) {
	t.Helper()
	dir := t.TempDir()
	lode, data := filepath.Join(dir, "lode"), filepath.Join(dir, "data")
	build := exec.Command("go", "build", "-o", lode, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	tcp = freePort(t)
	var log bytes.Buffer
	node := exec.Command(lode, "node", "--network", "regtest", "--datadir", data, "--listen", "off", "--outbound", "0",
		"--rpc-listen", "127.0.0.1:0", "--listen-tcp", tcp, "--blockfilterindex", "--peerblockfilters", "--log-level", "debug")
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
		user, password, _ := strings.Cut(strings.TrimSpace(string(cookie)), ":")
		rpc, err := rpcclient.New(&rpcclient.ConnConfig{Host: strings.TrimSpace(string(address)), User: user, Pass: password, HTTPPostMode: true, DisableTLS: true}, nil)
		check(t, err)
		t.Cleanup(rpc.Shutdown)
		return rpc, tcp
	}
	t.Fatal("the node does not start")
	return nil, ""
}

// startClient starts neutrino with that node as its only peer.
func startClient(t *testing.T, tcp string) *neutrino.ChainService {
	t.Helper()
	dir := t.TempDir()
	db, err := walletdb.Create("bdb", filepath.Join(dir, "neutrino.db"), true, time.Minute)
	check(t, err)
	client, err := neutrino.NewChainService(neutrino.Config{DataDir: dir, Database: db, ChainParams: chaincfg.RegressionNetParams, ConnectPeers: []string{tcp}})
	check(t, err)
	check(t, client.Start(t.Context()))
	t.Cleanup(func() {
		check(t, client.Stop())
		check(t, db.Close())
	})
	return client
}

// synced waits until the client has the filter headers of a tip.
func synced(t *testing.T, client *neutrino.ChainService, tip *chainhash.Hash) {
	t.Helper()
	var best *headerfs.BlockStamp
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		var err error
		if best, err = client.BestBlock(); err == nil && best.Hash == *tip && client.IsCurrent() {
			return
		}
	}
	t.Fatalf("the client is at %+v, and the tip is %s", best, tip)
}

// seen is what a rescan says of a block.
type seen struct {
	hash chainhash.Hash
	gone bool
	txs  []chainhash.Hash
}

// next waits for a block that is wanted.
func next(t *testing.T, blocks <-chan seen, hash *chainhash.Hash, gone bool) seen {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case b := <-blocks:
			if b.hash == *hash && b.gone == gone {
				return b
			}
		case <-timeout:
			t.Fatalf("nothing is said of block %s", hash)
		}
	}
}

// TestNeutrino syncs a chain, whose filters and headers are then the node's, rescans it for
// an address, and sees a payment and a reorganization.
func TestNeutrino(t *testing.T) {
	rpc, tcp := startNode(t)
	params := &chaincfg.RegressionNetParams
	secret, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	ours, err := btcutil.NewAddressTaproot(schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(secret.PubKey())), params)
	check(t, err)
	other, err := btcutil.NewAddressTaproot(schnorr.SerializePubKey(secret.PubKey()), params)
	check(t, err)
	generate := func(n int64, to btcutil.Address) []*chainhash.Hash {
		t.Helper()
		hashes, err := rpc.GenerateToAddress(n, to, nil)
		check(t, err)
		return hashes
	}
	mined := generate(1, ours)[0]
	hashes := generate(110, other)
	client := startClient(t, tcp)
	synced(t, client, hashes[109])
	for _, hash := range []*chainhash.Hash{params.GenesisHash, mined, hashes[5], hashes[109]} {
		sameFilter(t, rpc, client, hash)
	}

	blocks := make(chan seen, 1000)
	quit := make(chan struct{})
	rescan := neutrino.NewRescan(&neutrino.RescanChainSource{ChainService: client},
		neutrino.StartBlock(&headerfs.BlockStamp{Height: 0, Hash: *params.GenesisHash}), neutrino.WatchAddrs(ours), neutrino.QuitChan(quit),
		neutrino.NotificationHandlers(rpcclient.NotificationHandlers{
			OnFilteredBlockConnected: func(_ int32, header *wire.BlockHeader, txs []*btcutil.Tx) {
				b := seen{hash: header.BlockHash()}
				for _, tx := range txs {
					b.txs = append(b.txs, *tx.Hash())
				}
				blocks <- b
			},
			OnFilteredBlockDisconnected: func(_ int32, header *wire.BlockHeader) { blocks <- seen{hash: header.BlockHash(), gone: true} },
		}))
	failed := rescan.Start()
	defer func() { close(quit); rescan.WaitForShutdown() }()
	go func() {
		if err := <-failed; err != nil && err != neutrino.ErrRescanExit {
			t.Errorf("the rescan: %v", err)
		}
	}()
	if b := next(t, blocks, mined, false); len(b.txs) != 1 {
		t.Errorf("%d transactions in the block that pays the address", len(b.txs))
	}

	// A payment from it, which the client broadcasts.
	block, err := rpc.GetBlock(mined)
	check(t, err)
	coin, before := wire.OutPoint{Hash: block.Transactions[0].TxHash()}, block.Transactions[0].TxOut[0]
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&coin, nil, nil))
	tx.AddTxOut(wire.NewTxOut(before.Value-10_000, before.PkScript))
	sighashes := txscript.NewTxSigHashes(tx, txscript.NewCannedPrevOutputFetcher(before.PkScript, before.Value))
	signature, err := txscript.RawTxInTaprootSignature(tx, sighashes, 0, before.Value, before.PkScript, nil, txscript.SigHashDefault, secret)
	check(t, err)
	tx.TxIn[0].Witness = wire.TxWitness{signature}
	check(t, client.SendTransaction(tx))
	id := tx.TxHash()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := rpc.GetMempoolEntry(id.String()); err == nil {
			break
		} else if time.Since(began) > patience {
			t.Fatalf("the payment does not come: %v", err)
		}
	}
	paid := generate(1, other)[0]
	if b := next(t, blocks, paid, false); len(b.txs) != 1 || b.txs[0] != id {
		t.Errorf("transactions %v in the block of the payment %s", b.txs, id)
	}

	// A branch that outgrows it, with the payment in another block.
	check(t, rpc.InvalidateBlock(paid))
	branch := generate(2, other)
	next(t, blocks, paid, true)
	if b := next(t, blocks, branch[0], false); len(b.txs) != 1 || b.txs[0] != id {
		t.Errorf("transactions %v in the block of the payment %s", b.txs, id)
	}
	synced(t, client, branch[1])
	sameFilter(t, rpc, client, branch[0])
}

// sameFilter compares a filter, and the filter header that the client has worked out, with
// what the node says.
func sameFilter(t *testing.T, rpc *rpcclient.Client, client *neutrino.ChainService, block *chainhash.Hash) {
	t.Helper()
	name, err := json.Marshal(block.String())
	check(t, err)
	raw, err := rpc.RawRequest("getblockfilter", []json.RawMessage{name})
	check(t, err)
	var want struct{ Filter, Header string }
	check(t, json.Unmarshal(raw, &want))
	filter, err := client.GetCFilter(*block, wire.GCSFilterRegular)
	check(t, err)
	got, err := filter.NBytes()
	check(t, err)
	if hex.EncodeToString(got) != want.Filter {
		t.Errorf("the filter of block %s is %x, and the node's %s", block, got, want.Filter)
	}
	header, err := client.RegFilterHeaders.FetchHeader(block)
	check(t, err)
	if header.String() != want.Header {
		t.Errorf("the filter header of block %s is %s, and the node's %s", block, header, want.Header)
	}
}
