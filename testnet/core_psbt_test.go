package testnet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lode/consensus"
)

// corePSBT is a Lode node with a wallet and Bitcoin Core with one, on one chain.
type corePSBT struct {
	t    *testing.T
	lode *node
	core *bitcoinNode
}

// sync hands Lode's blocks to Core.
func (x *corePSBT) sync() {
	x.t.Helper()
	var mine, theirs int
	x.lode.call(&mine, "getblockcount")
	x.core.call(&theirs, "getblockcount")
	for h := theirs + 1; h <= mine; h++ {
		x.core.call(nil, "submitblock", strings.Trim(x.lode.rpc("getblock", strings.Trim(x.lode.rpc("getblockhash", fmt.Sprint(h)), `"`), "0"), `"`))
	}
}

// at is a URL path of Core's wallet.
func (x *corePSBT) wallet(name string) *bitcoinNode {
	w := *x.core
	w.rpc = x.core.rpc + "/wallet/" + name
	return &w
}

// confirm sends a transaction to both, mines it and hands the block on.
func (x *corePSBT) confirm(hex string) {
	x.t.Helper()
	var id string
	x.core.call(&id, "sendrawtransaction", hex)
	if got := x.lode.rpc("sendrawtransaction", hex); strings.Trim(got, `"`) != id {
		x.t.Errorf("Lode has it as %s, Core as %s", got, id)
	}
	x.lode.rpc("generatetoaddress", "1", consensus.Address("bcrt", [32]byte{31: 9}))
	x.sync()
	var tx struct{ Confirmations int }
	decode(x.t, x.lode.rpc("getrawtransaction", id, "1"), &tx)
	var block struct{ Tx []string }
	x.core.call(&block, "getblock", x.core.tip())
	if tx.Confirmations != 1 || len(block.Tx) != 2 || block.Tx[1] != id {
		x.t.Errorf("%s is not in the block: %d, %v", id, tx.Confirmations, block.Tx)
	}
}

// alike compares what both say of a PSBT.
func (x *corePSBT) alike(psbt string) {
	x.t.Helper()
	for _, method := range []string{"decodepsbt", "analyzepsbt"} {
		var mine, theirs map[string]any
		decode(x.t, x.lode.rpc(method, psbt), &mine)
		x.core.call(&theirs, method, psbt)
		if theirs["estimated_vsize"] == nil { // Core is silent about these once an input is signed
			delete(mine, "estimated_vsize")
			delete(mine, "estimated_feerate")
		}
		if !reflect.DeepEqual(mine, theirs) {
			a, _ := json.Marshal(mine)
			b, _ := json.Marshal(theirs)
			x.t.Errorf("%s %s\nLode says\n%s\nCore says\n%s", method, psbt, a, b)
		}
	}
}

// TestCorePSBT has PSBTs go to and fro between Lode and Bitcoin Core: Core creates,
// Lode signs, Core finalizes, and the reverse; and one with an input of each. What
// decodepsbt and analyzepsbt say of them is the same.
func TestCorePSBT(t *testing.T) {
	bitcoind := os.Getenv("BITCOIND")
	if bitcoind == "" {
		t.Skip("$BITCOIND does not name the program")
	}
	x := &corePSBT{t: t, lode: startNode(t, t.TempDir(), "--txindex"), core: startBitcoind(t, bitcoind, consensus.Address("bcrt", [32]byte{31: 9}))}
	if err := x.core.try(nil, "createwallet", "own"); err != nil {
		t.Skipf("this bitcoind has no wallet: %v", err)
	}
	own := x.wallet("own")
	var theirs string
	own.call(&theirs, "getnewaddress", "", "bech32m")
	x.lode.run("wallet", "create", "--json")
	mine := x.lode.run("wallet", "address")
	x.lode.rpc("generatetoaddress", "3", theirs)
	x.lode.rpc("generatetoaddress", "3", mine)
	x.lode.rpc("generatetoaddress", "101", consensus.Address("bcrt", [32]byte{31: 9}))
	x.sync()

	x.coreCreates(theirs)
	x.lodeCreates(own, mine)
	x.together(own, theirs)
	x.vectors()
}

// coreCreates: Core watches Lode's addresses, makes a PSBT, and Lode signs it with
// nothing but its wallet file.
func (x *corePSBT) coreCreates(to string) {
	x.t.Helper()
	var export struct{ Descriptor string }
	decode(x.t, x.lode.run("wallet", "export", "--json"), &export)
	x.core.call(nil, "createwallet", "watch", true, true)
	watch := x.wallet("watch")
	var imported []struct {
		Success bool
		Error   any
	}
	watch.call(&imported, "importdescriptors", []any{map[string]any{"desc": export.Descriptor, "timestamp": 0, "active": true, "range": []int{0, 20}}})
	if !imported[0].Success {
		x.t.Fatalf("Core does not import %s: %v", export.Descriptor, imported[0].Error)
	}
	var made struct{ PSBT string }
	watch.call(&made, "walletcreatefundedpsbt", []any{}, []any{map[string]any{to: 60}}, 0, map[string]any{"fee_rate": 5})
	x.alike(made.PSBT)
	cold := x.t.TempDir()
	if err := os.MkdirAll(filepath.Join(cold, "regtest"), 0o700); err != nil {
		x.t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(x.lode.datadir, "regtest", "wallet.age"))
	if err == nil {
		err = os.WriteFile(filepath.Join(cold, "regtest", "wallet.age"), secret, 0o600)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	stdout, shown, status := offline(x.t, cold, "wallet", "psbt", "sign", made.PSBT, "--yes", "--json")
	if status != 0 || !strings.Contains(shown, "back to this wallet, m/86h/1h/0h/1/0") {
		x.t.Fatalf("status %d, %s", status, shown)
	}
	var signed psbtAnswer
	decode(x.t, stdout, &signed)
	x.alike(signed.PSBT)
	var done psbtAnswer
	x.core.call(&done, "finalizepsbt", signed.PSBT)
	if !done.Complete || signed.Signed != 2 {
		x.t.Fatalf("%+v, %d signed", done, signed.Signed)
	}
	x.confirm(done.Hex)
}

// lodeCreates: Lode makes a PSBT of Core's coins by Core's public descriptors, Core
// signs it, and Lode finalizes.
func (x *corePSBT) lodeCreates(own *bitcoinNode, to string) {
	x.t.Helper()
	var list struct{ Descriptors []struct{ Desc string } }
	own.call(&list, "listdescriptors")
	var descriptors []string
	for _, d := range list.Descriptors {
		if strings.HasPrefix(d.Desc, "tr(") {
			descriptors = append(descriptors, d.Desc)
		}
	}
	var coins []struct {
		TxID   string
		Vout   int
		Amount float64
	}
	own.call(&coins, "listunspent")
	public, _ := json.Marshal(descriptors)
	psbt := x.lode.rpc("utxoupdatepsbt", x.lode.rpc("createpsbt", fmt.Sprintf(`[{"txid":%q,"vout":%d}]`, coins[0].TxID, coins[0].Vout), fmt.Sprintf(`[{%q:%v}]`, to, coins[0].Amount-0.001)), string(public))
	x.alike(psbt)
	var signed psbtAnswer
	own.call(&signed, "walletprocesspsbt", psbt, true, "DEFAULT", true, false)
	x.alike(signed.PSBT)
	x.confirm(x.lode.run("wallet", "psbt", "finalize", signed.PSBT))
}

// together: one input of each. Core signs first; Lode combines and finalizes.
func (x *corePSBT) together(own *bitcoinNode, to string) {
	x.t.Helper()
	var theirs []struct {
		TxID   string
		Vout   int
		Amount float64
	}
	own.call(&theirs, "listunspent")
	var mine []struct {
		TxID      string
		Vout      int
		Amount    int64
		Spendable bool
	}
	decode(x.t, x.lode.run("wallet", "coins", "--json"), &mine)
	inputs := []any{map[string]any{"txid": theirs[0].TxID, "vout": theirs[0].Vout}}
	for _, c := range mine {
		if c.Spendable {
			inputs = append(inputs, map[string]any{"txid": c.TxID, "vout": c.Vout})
			break
		}
	}
	var psbt string
	x.core.call(&psbt, "createpsbt", inputs, []any{map[string]any{to: theirs[0].Amount + 0.5}})
	x.core.call(&psbt, "utxoupdatepsbt", psbt)
	var half psbtAnswer
	own.call(&half, "walletprocesspsbt", psbt, true, "DEFAULT", true, false)
	var other psbtAnswer
	decode(x.t, x.lode.run("wallet", "psbt", "sign", psbt, "--yes", "--max-fee", "1000", "--json"), &other)
	whole := x.lode.run("wallet", "psbt", "combine", half.PSBT, other.PSBT)
	x.alike(whole)
	var theirWhole string
	x.core.call(&theirWhole, "combinepsbt", []any{half.PSBT, other.PSBT})
	x.alike(theirWhole)
	final := x.lode.run("wallet", "psbt", "finalize", whole)
	var done psbtAnswer
	x.core.call(&done, "finalizepsbt", theirWhole)
	if done.Hex != final {
		x.t.Errorf("finalized by Lode\n%s\nby Core\n%s", final, done.Hex)
	}
	var accepted []struct{ Allowed bool }
	x.core.call(&accepted, "testmempoolaccept", []any{final}, 0)
	if !accepted[0].Allowed {
		x.t.Error("Core does not accept it")
	}
	// Version 2 is beyond Core.
	two := x.lode.run("wallet", "psbt", "convert", whole, "--to", "2")
	if err := x.core.try(nil, "decodepsbt", two); err == nil || !strings.Contains(err.Error(), "TX decode failed") {
		x.t.Errorf("Core on version 2: %v", err)
	}
	if back := x.lode.run("wallet", "psbt", "convert", two, "--to", "0"); back != whole {
		x.t.Error("there and back it is another")
	}
}

// vectors: both take and refuse the same of the BIPs' test vectors of version 0, with
// the same words.
func (x *corePSBT) vectors() {
	x.t.Helper()
	b, err := os.ReadFile("../wallet/psbt/testdata/vectors.json")
	var list []struct {
		BIP              int
		Kind, Case, PSBT string
	}
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	for _, v := range list {
		if v.BIP == 370 || v.BIP == 375 || v.Case == "extracted" {
			continue
		}
		_, errs, status := x.lode.try("rpc", "decodepsbt", v.PSBT)
		theirs := x.core.try(nil, "decodepsbt", v.PSBT)
		if (status == 0) != (theirs == nil) {
			x.t.Errorf("BIP%d, %s: Lode %s, Core %v", v.BIP, v.Case, errs, theirs)
			continue
		}
		if theirs != nil {
			x.t.Logf("%s\n    Lode %s    Core %v", v.Case, errs, theirs)
		}
	}
}
