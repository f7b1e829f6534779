package testnet_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

type walletEntry struct {
	TxID, State, By, Label string
	Amount                 int64
	Warn                   bool
}

func (n *node) history() []walletEntry {
	n.t.Helper()
	var h struct{ Transactions []walletEntry }
	decode(n.t, n.run("wallet", "history", "--json"), &h)
	return h.Transactions
}

// TestWalletAndAKilledNode: a payment outlives the node that took it, a deposit
// that is reversed leaves a trace, and the words bring back what there is.
func TestWalletAndAKilledNode(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir(), "--addrindex")
	mnemonic := a.makeWallet()
	mine := a.run("wallet", "address", "--label", "mining")
	a.rpc("generatetoaddress", "103", mine)
	var locked []struct {
		TxID      string
		Spendable bool
	}
	decode(t, a.run("wallet", "coins", "--json"), &locked)
	if len(locked) != 103 || !locked[0].Spendable || locked[102].Spendable {
		t.Fatalf("coins %+v", locked)
	}

	shop := filepath.Join(a.datadir, "shop.age")
	a.makeWallet(shop)
	to := a.run("wallet", "address", "--wallet", shop)
	var sent struct{ TxID, Hex string }
	stdout, notes, status := a.try("wallet", "send", "--to", to, "--amount", "1.5", "--yes", "--json")
	if status != 0 || !strings.Contains(notes, "the node has no peers") {
		t.Fatalf("status %d, %s", status, notes)
	}
	decode(t, stdout, &sent)
	rival := resign(t, a, sent.Hex)
	a.stop(syscall.SIGKILL) // and its mempool is gone
	a.start("--addrindex")
	if got := a.mempool(); len(got) != 0 {
		t.Fatalf("mempool after a kill: %v", got)
	}
	if h := a.history(); len(h) != 104 || h[103].TxID != sent.TxID || h[103].State != "pending" || h[103].Amount != -150000000 {
		t.Errorf("history after the kill: %+v", h[100:])
	}
	if got := a.mempool(); len(got) != 1 || got[0] != sent.TxID {
		t.Errorf("the payment was not sent again: %v", got)
	}
	_, errs, status := a.try("wallet", "abandon", "--txid", sent.TxID)
	if status != 1 || !strings.Contains(errs, "the node has it in its mempool") {
		t.Errorf("status %d, %s", status, errs)
	}

	// The shop sees it confirmed, and then undone by a rival.
	block := strings.Trim(strings.Split(a.rpc("generatetoaddress", "1", mine), "\"")[1], " ")
	if got := a.run("wallet", "balance", "--wallet", shop); !strings.Contains(got, "1.50000000") {
		t.Errorf("the shop has %s", got)
	}
	a.rpc("invalidateblock", block)
	a.stop(syscall.SIGKILL)
	a.start("--addrindex")
	a.rpc("sendrawtransaction", rival)
	a.rpc("generatetoaddress", "2", mine)
	stdout, notes, status = a.try("wallet", "history", "--json", "--wallet", shop)
	if status != 0 || !strings.Contains(stdout, `"state": "conflicted"`) || !strings.Contains(notes, "lode: warning: 1.50000000 to "+to) {
		t.Errorf("status %d, %s, %s", status, stdout, notes)
	}
	if stdout = a.run("wallet", "history", "--since", block, "--json", "--wallet", shop); !strings.Contains(stdout, `"removed": [`) {
		t.Errorf("since the block that was undone: %s", stdout)
	}
	a.run("wallet", "history", "--acknowledge", "all", "--wallet", shop)
	if _, notes, _ = a.try("wallet", "balance", "--wallet", shop); strings.Contains(notes, "warning") {
		t.Errorf("after the acknowledgement: %s", notes)
	}
	if h := a.history(); h[len(h)-1].State != "conflicted" || h[len(h)-1].TxID != sent.TxID {
		t.Errorf("the sender's history %+v", h[len(h)-2:])
	}

	// The words bring the same back.
	words := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(words, []byte(mnemonic), 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(a.datadir, "again.age")
	if got := a.run("wallet", "restore", "--mnemonic-file", words, "--wallet", again); !strings.Contains(got, "Found ") || !strings.Contains(got, "up to key 0;") {
		t.Errorf("restore says %s", got)
	}
	if got, want := a.run("wallet", "balance", "--wallet", again), a.run("wallet", "balance"); got != want {
		t.Errorf("restored\n%s\nwant\n%s", got, want)
	}
}
