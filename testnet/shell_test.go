package testnet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

type balance struct{ Confirmed, Unconfirmed, Immature int64 }

func (n *node) balance() (b balance) {
	n.t.Helper()
	decode(n.t, n.run("wallet", "balance", "--json"), &b)
	return b
}

func (n *node) mempool() (ids []string) {
	n.t.Helper()
	n.call(&ids, "getrawmempool")
	return ids
}

// TestMainJob is what a user does first, from the shell: two nodes, two
// wallets, a payment from one to the other, and attempts to spend its coin
// twice.
func TestMainJob(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir())
	var made struct{ Mnemonic string }
	decode(t, a.run("wallet", "create", "--json"), &made)
	if len(strings.Fields(made.Mnemonic)) < 12 {
		t.Fatalf("mnemonic %q", made.Mnemonic)
	}
	address := a.run("wallet", "address")
	a.rpc("generatetoaddress", "101", address)
	if b, want := a.balance(), (balance{Confirmed: 50_00000000, Immature: 100 * 50_00000000}); b != want {
		t.Fatalf("balance after 101 blocks %+v, want %+v", b, want)
	}

	b := startNode(t, t.TempDir(), "--connect", a.url())
	b.makeWallet()
	waitFor(t, "the second node to reach the tip", func() bool { return b.rpc("getbestblockhash") == a.rpc("getbestblockhash") })

	to := b.run("wallet", "address")
	var sent struct {
		TxID string
		Fee  int64
	}
	decode(t, a.run("wallet", "send", "--to", to, "--amount", "1.5", "--yes", "--json"), &sent)
	waitFor(t, "the payment in both mempools", func() bool {
		return fmt.Sprint(a.mempool()) == fmt.Sprint([]string{sent.TxID}) && fmt.Sprint(b.mempool()) == fmt.Sprint([]string{sent.TxID})
	})
	if got := b.balance(); got.Unconfirmed != 1_50000000 || got.Confirmed != 0 {
		t.Errorf("balance of the receiver before the block %+v", got)
	}

	rival := doubleSpend(t, a, sent.TxID)
	_, errs, status := a.try("rpc", "sendrawtransaction", rival)
	if status != 1 || !strings.Contains(errs, "insufficient fee") || !strings.Contains(errs, "-26") {
		t.Errorf("double spend at the same fee: status %d, %s", status, errs)
	}

	a.rpc("generatetoaddress", "1", address)
	waitFor(t, "the receiver's balance", func() bool { return b.balance().Confirmed == 1_50000000 })
	if got, want := a.balance().Confirmed, int64(2*50_00000000-1_50000000)-sent.Fee; got != want {
		t.Errorf("the sender has %d confirmed, want %d", got, want)
	}
	_, errs, status = a.try("rpc", "sendrawtransaction", rival)
	if status != 1 || !strings.Contains(errs, "-25") || !strings.Contains(errs, "bad-txns-inputs-missingorspent") {
		t.Errorf("double spend after the confirmation: status %d, %s", status, errs)
	}

	var history []struct{ TxID string }
	text := b.run("wallet", "history", "--json")
	if err := json.Unmarshal([]byte(text), &history); err != nil {
		var wrapped struct{ Transactions []struct{ TxID string } }
		decode(t, text, &wrapped)
		history = wrapped.Transactions
	}
	if len(history) != 1 || history[0].TxID != sent.TxID {
		t.Errorf("history of the receiver: %s", text)
	}

	sameState(t, a, b)
	tip := a.rpc("getbestblockhash")
	for _, n := range []*node{a, b} {
		if status := n.stop(syscall.SIGTERM); status != 0 {
			t.Errorf("a node ended with status %d", status)
		}
		for _, name := range []string{".cookie", ".rpc-address"} {
			if _, err := os.Stat(filepath.Join(n.datadir, n.network, name)); !os.IsNotExist(err) {
				t.Errorf("%s is still there after the stop", name)
			}
		}
	}
	a.start()
	if got := a.rpc("getbestblockhash"); got != tip {
		t.Errorf("after a restart the tip is %s, want %s", got, tip)
	}
}

// doubleSpend is another transaction that spends what the given one spends and
// pays the same fee: the same with its outputs in another order, signed anew by
// the wallet that made it.
func doubleSpend(t *testing.T, n *node, txid string) string {
	t.Helper()
	return resign(t, n, n.rpc("getrawtransaction", txid))
}

// sameState checks that nodes have one tip and one UTXO set.
func sameState(t *testing.T, nodes ...*node) {
	t.Helper()
	type state struct {
		BestBlock string
		Hash      string `json:"hash_serialized_3"`
	}
	var first state
	for i, n := range nodes {
		var s state
		n.call(&s, "gettxoutsetinfo")
		if i == 0 {
			first = s
		}
		if s != first || s.Hash == "" {
			t.Errorf("node %d has %+v, the first %+v", i, s, first)
		}
	}
}

// TestMostWorkWins lets two nodes mine apart and then connects them: they agree
// on the chain with more work, and the loser's transactions are back in its
// mempool.
func TestMostWorkWins(t *testing.T) {
	t.Parallel()
	a, b := startNode(t, t.TempDir()), startNode(t, t.TempDir())
	for _, n := range []*node{a, b} {
		n.makeWallet()
	}
	mine, theirs := a.run("wallet", "address"), b.run("wallet", "address")
	a.rpc("generatetoaddress", "101", mine)
	a.rpc("addnode", b.url(), "add")
	waitFor(t, "both at one tip", func() bool { return b.rpc("getbestblockhash") == a.rpc("getbestblockhash") })
	a.rpc("addnode", b.url(), "remove")
	waitFor(t, "the connection to end", func() bool {
		a.try("rpc", "disconnectnode", b.url())
		return a.rpc("getconnectioncount") == "0" && b.rpc("getconnectioncount") == "0"
	})

	var sent struct{ TxID string }
	decode(t, a.run("wallet", "send", "--to", theirs, "--amount", "2", "--yes", "--json"), &sent)
	a.rpc("generatetoaddress", "2", mine)
	b.rpc("generatetoaddress", "3", theirs)
	if len(a.mempool()) != 0 {
		t.Fatal("the payment is not confirmed on the losing side")
	}
	a.rpc("addnode", b.url(), "onetry")
	waitFor(t, "both to agree", func() bool { return a.rpc("getbestblockhash") == b.rpc("getbestblockhash") })
	if got := a.rpc("getblockcount"); got != "104" {
		t.Errorf("height %s, want 104", got)
	}
	if got := a.mempool(); len(got) != 1 || got[0] != sent.TxID {
		t.Errorf("mempool of the loser %v, want %s", got, sent.TxID)
	}
	sameState(t, a, b)
	b.rpc("generatetoaddress", "1", theirs)
	waitFor(t, "both to agree again", func() bool { return a.rpc("getbestblockhash") == b.rpc("getbestblockhash") })
}

// TestKilled kills a node at once: it starts again by itself and has every
// block that it had acknowledged.
func TestKilled(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir())
	a.makeWallet()
	address := a.run("wallet", "address")
	for range 3 {
		a.rpc("generatetoaddress", "40", address)
		var before, after struct {
			Hash string `json:"hash_serialized_3"`
		}
		a.call(&before, "gettxoutsetinfo")
		a.stop(syscall.SIGKILL)
		a.start()
		a.call(&after, "gettxoutsetinfo")
		if before != after || before.Hash == "" {
			t.Fatalf("UTXO set %v before the kill, %v after it", before, after)
		}
	}
}
