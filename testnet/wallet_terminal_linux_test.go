package testnet_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onTerminal runs a command of a wallet on a terminal of its own, on which somebody types.
func (n *node) onTerminal(typed string, words ...string) (stdout, stderr string, status int) {
	n.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Skip("no terminal to make: ", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer slave.Close()
	if _, err := master.WriteString(typed); err != nil { // it waits in the terminal
		n.t.Fatal(err)
	}
	cmd := exec.Command(program, append(words, "--network", n.network, "--datadir", n.datadir)...)
	cmd.Env = append(os.Environ(), "LODE_WALLET_PASSPHRASE="+passphrase)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, &out, &errs
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer hung.Stop()
	_ = cmd.Wait()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestPaymentsAreAskedForOnATerminal: a fee above a tenth of the payment is said before the
// question, and coins that do not fit into one transaction are, each transaction with what it
// pays. Without a yes nothing is paid.
func TestPaymentsAreAskedForOnATerminal(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir())
	a.makeWallet()
	own := a.run("wallet", "address")
	a.rpc("generatetoaddress", "101", own)
	shop := filepath.Join(a.datadir, "shop.age")
	a.makeWallet(shop)
	to := a.run("wallet", "address", "--wallet", shop)

	small := []string{"wallet", "send", "--to", to, "--amount", "0.00001", "--fee-rate", "2"}
	out, errs, status := a.onTerminal("n\n", small...)
	if status != 1 || out != "" || !strings.HasPrefix(errs, "The fee is 30 % of the amount.\nPay 0.00001000 to "+to+", and a fee of 0.00000308 ") ||
		!strings.HasSuffix(errs, "? [y/N] lode: nothing was paid: the answer was not yes\n") {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if got := a.mempool(); len(got) != 0 {
		t.Fatalf("paid without a yes: %v", got)
	}
	if out, errs, status = a.onTerminal("y\n", small...); status != 0 || !strings.HasPrefix(errs, "The fee is 30 % of the amount.\n") || !strings.Contains(out, "paid  0.00001000 to "+to) {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	if got := a.mempool(); len(got) != 1 {
		t.Fatalf("mempool after a yes: %v", got)
	}
	if _, errs, _ = a.onTerminal("\n", "wallet", "send", "--to", to, "--amount", "1", "--fee-rate", "2"); strings.Contains(errs, "%") || !strings.Contains(errs, "Pay 1.00000000 to ") {
		t.Errorf("a fee that is none of a tenth: %s", errs)
	}

	payees := filepath.Join(t.TempDir(), "payees")
	if err := os.WriteFile(payees, []byte(strings.Repeat(own+",0.0001\n", 1750)), 0o600); err != nil {
		t.Fatal(err)
	}
	a.run("wallet", "send", "--csv", payees, "--fee-rate", "1", "--yes")
	a.rpc("generatetoaddress", "1", to)
	all := []string{"wallet", "send", "--to", to, "--amount", "all", "--fee-rate", "1"}
	for _, answer := range []string{"\n", "yes\n"} { // in this order: the second leaves nothing to ask about
		out, errs, status = a.onTerminal(answer, all...)
		for _, want := range []string{"Transaction 1: 87", "Transaction 2: 87", " coins, ", " to " + to + ", and a fee of ", "The coins do not fit into one transaction: pay in these 2, 99.99", " in all, and fees of 0.00", "? [y/N] "} {
			if !strings.Contains(errs, want) {
				t.Errorf("%q is not in\n%s", want, errs)
			}
		}
		if paid := answer == "yes\n"; paid != (status == 0) || paid && strings.Count(out, "txid ") != 2 {
			t.Errorf("status %d, %s%s", status, out, errs)
		}
	}
	if got := a.mempool(); len(got) != 2 {
		t.Errorf("mempool after all was paid: %v", got)
	}
	if got := a.run("wallet", "balance", "--json"); !strings.Contains(got, `"spendable": 0`) {
		t.Errorf("left: %s", got)
	}
}

// TestReceiveWaitsOverAReorg: a deposit that has lost its block waits for its confirmations anew.
// The process that waits leaves no core file.
func TestReceiveWaitsOverAReorg(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir())
	a.makeWallet()
	mine := a.run("wallet", "address")
	a.rpc("generatetoaddress", "101", mine)
	shop := filepath.Join(a.datadir, "shop.age")
	a.makeWallet(shop)
	to := a.run("wallet", "address", "--wallet", shop)

	var out logBuffer
	wait := exec.Command(program, "wallet", "receive", to, "--wait", "--confirmations", "3", "--json", "--wallet", shop, "--network", "regtest", "--datadir", a.datadir)
	wait.Stdout, wait.Stderr = &out, &out
	if err := wait.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() { _ = wait.Process.Kill() })
	defer hung.Stop()
	var sent struct{ TxID string }
	decode(t, a.run("wallet", "send", "--to", to, "--amount", "1.5", "--yes", "--json"), &sent)
	var first []string
	a.call(&first, "generatetoaddress", "2", mine) // two confirmations
	waitFor(t, "the shop to have seen it", func() bool { return strings.Contains(a.run("wallet", "balance", "--wallet", shop), "1.50000000") })
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", wait.Process.Pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 +bytes`).Match(limits) {
		t.Errorf("core files of a wallet command: %v, %s", err, limits)
	}
	a.rpc("invalidateblock", first[0])
	for range 4 {
		a.rpc("generateblock", mine, "[]") // the payment waits in the mempool
	}
	waitFor(t, "the shop to have seen it go", func() bool {
		return strings.Contains(a.run("wallet", "history", "--json", "--wallet", shop), `"confirmations": 0`)
	})
	var second []string
	a.call(&second, "generatetoaddress", "3", mine)
	if err := wait.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	var got struct {
		Amount       int64
		Transactions []struct {
			TxID, BlockHash, State string
			Confirmations          int
		}
	}
	decode(t, out.String(), &got)
	if len(got.Transactions) != 1 || got.Amount != 150000000 || got.Transactions[0].TxID != sent.TxID ||
		got.Transactions[0].BlockHash != second[0] || got.Transactions[0].Confirmations != 3 || got.Transactions[0].State != "confirmed" {
		t.Errorf("it ended with %s, want it in block %s with 3 confirmations", out.String(), second[0])
	}
}
