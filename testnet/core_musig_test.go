package testnet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// cosigners is an account of two owners: a wallet of Lode and one of Bitcoin Core.
type cosigners struct {
	interop
	file string // that goes round
}

// key is the private and the public key of Core's own Taproot account.
func (x *cosigners) coreKeys() (private, public string) {
	x.t.Helper()
	find := func(withPrivate bool, pattern string) string {
		var list struct {
			Descriptors []struct{ Desc string }
		}
		x.other.call(&list, "listdescriptors", withPrivate)
		for _, d := range list.Descriptors {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(d.Desc); m != nil {
				return m[1]
			}
		}
		x.t.Fatalf("Core has no descriptor like %s", pattern)
		return ""
	}
	public = find(false, `^tr\((\[.+?\].+?)/0/\*\)`)
	path := regexp.MustCompile(`^\[\w{8}(/.*)\]`).FindStringSubmatch(public)[1]
	return find(true, `^tr\((tprv\w+)/.*/0/\*\)`) + path, public
}

// core does Core's part of a PSBT.
func (x *cosigners) core(psbt string) string {
	x.t.Helper()
	var r struct{ PSBT string }
	x.other.call(&r, "walletprocesspsbt", psbt)
	return r.PSBT
}

// lodes does Lode's part.
func (x *cosigners) lodes(psbt string, flags ...string) string {
	x.t.Helper()
	if err := os.WriteFile(x.file, []byte(psbt), 0o600); err != nil {
		x.t.Fatal(err)
	}
	x.lode.run(append([]string{"wallet", "musig", "sign", x.file, "--yes", "--max-fee", "1"}, flags...)...)
	b, err := os.ReadFile(x.file)
	if err != nil {
		x.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// settle finalizes a PSBT in Core, sends it, mines it and sees that both wallets
// have the same balance.
func (x *cosigners) settle(psbt string) {
	x.t.Helper()
	var r struct {
		Hex      string
		Complete bool
	}
	x.other.call(&r, "finalizepsbt", psbt)
	if !r.Complete {
		x.t.Fatal("Core does not take it for complete:", psbt)
	}
	txid := x.lode.rpc("sendrawtransaction", r.Hex)
	x.mine(1)
	x.agree("a block with the payment", x.tip())
	var tx struct{ Confirmations int }
	x.other.call(&tx, "gettransaction", txid)
	if tx.Confirmations != 1 {
		x.t.Fatalf("%s has %d confirmations in Core", txid, tx.Confirmations)
	}
}

// TestCoreMuSig has Lode and Bitcoin Core sign together, whoever begins.
func TestCoreMuSig(t *testing.T) {
	bitcoind := os.Getenv("BITCOIND")
	if bitcoind == "" {
		t.Skip("$BITCOIND does not name the program")
	}
	x := &cosigners{file: filepath.Join(t.TempDir(), "pay.psbt")}
	x.t, x.pay = t, "bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg"
	x.other = startBitcoindWith(t, bitcoind, x.pay, "-fallbackfee=0.0001")
	x.lode = startNode(t, t.TempDir(), "--listen-tcp", freePort(t))
	x.connect()
	x.other.call(nil, "createwallet", "cosigner")
	x.lode.run("wallet", "create", "--json")
	key := x.lode.run("wallet", "musig", "key")
	private, public := x.coreKeys()
	x.lode.run("wallet", "musig", "create", "--name", "shared", "--key", public, "--key", key)

	desc := fmt.Sprintf("tr(musig(%s,%s)/<0;1>/*)", private, key)
	var info struct{ Checksum string }
	x.other.call(&info, "getdescriptorinfo", desc)
	var imported []struct{ Success bool }
	x.other.call(&imported, "importdescriptors", []any{map[string]any{"desc": desc + "#" + info.Checksum, "active": true, "timestamp": "now"}})
	if !imported[0].Success {
		t.Fatal("Core does not import the descriptor")
	}
	var address string
	x.other.call(&address, "getnewaddress", "", "bech32m")
	if got := x.lode.run("wallet", "address", "--name", "shared"); got != address {
		t.Fatalf("the first address is %s, and Core's is %s", got, address)
	}
	x.lode.rpc("generatetoaddress", "20", address)
	x.mine(101)
	x.agree("coins of the account", x.tip())

	funded := func() string {
		var r struct{ PSBT string }
		x.other.call(&r, "walletcreatefundedpsbt", []any{}, []any{map[string]any{x.pay: 60.5}}, 0, map[string]any{"fee_rate": 2, "change_type": "bech32m"})
		return r.PSBT
	}
	// Two inputs at least each time. Core adds nonces and partial signatures in
	// two calls; Lode, when it comes last, in one.
	x.settle(x.core(x.lodes(x.core(funded()))))
	x.settle(x.lodes(x.core(x.core(x.lodes(funded())))))
	created := func() string {
		return x.lode.run("wallet", "psbt", "create", "--name", "shared", "--to", x.pay, "--amount", "60.5", "--fee-rate", "2")
	}
	x.settle(x.core(x.lodes(x.core(created()))))
	x.settle(x.lodes(x.core(x.core(x.lodes(created())))))
	for i := range 4 {
		p := funded()
		if i%2 == 0 {
			p = created()
		}
		for range 2 {
			var both string
			x.other.call(&both, "combinepsbt", []string{x.core(p), x.lodes(p)})
			p = both
		}
		x.settle(p)
	}
	var balance float64
	x.other.call(&balance, "getbalance")
	if got := x.lode.run("wallet", "balance", "--name", "shared"); !strings.Contains(got, fmt.Sprintf("%.8f", balance)) {
		t.Errorf("Core has %.8f, Lode says %s", balance, got)
	}
}
