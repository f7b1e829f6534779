package testnet_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

type psbtAnswer struct {
	PSBT, TxID, Hex string
	Signed          int
	Complete        bool
}

// offline calls a command about the wallet file of a machine without a node.
func offline(t *testing.T, dir string, words ...string) (stdout, stderr string, status int) {
	t.Helper()
	return lode(t, append(words, "--network", "regtest", "--datadir", dir, "--rpc", "http://127.0.0.1:9")...)
}

// TestPaymentSignedOffline: a wallet without its secret makes a PSBT, a machine with
// nothing but the wallet file signs it, and the first sends it.
func TestPaymentSignedOffline(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir())
	a.makeWallet()
	a.rpc("generatetoaddress", "103", a.run("wallet", "address"))
	cold := t.TempDir()
	if err := os.MkdirAll(filepath.Join(cold, "regtest"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(a.datadir, "regtest", "wallet.age"), filepath.Join(cold, "regtest", "wallet.age")); err != nil {
		t.Fatal(err)
	}
	const to = "bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg"
	file := filepath.Join(t.TempDir(), "payment.psbt")
	for _, version := range []string{"2"} {
		var made psbtAnswer
		stdout, notes, status := a.try("wallet", "psbt", "create", "--to", to, "--amount", "1.5", "--psbt-version", version, "--lock", "--json", "--out", file)
		if status != 0 || !strings.Contains(notes, "Pay 1.50000000 to "+to) {
			t.Fatalf("status %d, %s", status, notes)
		}
		decode(t, stdout, &made)
		if _, errs, status := a.try("wallet", "psbt", "finalize", file); status != 1 || !strings.Contains(errs, "a signature is missing") {
			t.Errorf("status %d, %s", status, errs)
		}
		if out, _, _ := offline(t, cold, "wallet", "psbt", "analyze", file); !strings.Contains(out, "It is for the signer next.") {
			t.Error(out)
		}
		if _, errs, status := offline(t, cold, "wallet", "psbt", "sign", file); status != 1 || !strings.Contains(errs, "a signature wants a yes") {
			t.Errorf("status %d, %s", status, errs)
		}
		stdout, shown, status := offline(t, cold, "wallet", "psbt", "sign", file, "--yes", "--json", "--out", file)
		if status != 0 || !strings.Contains(shown, "of this wallet") || !strings.Contains(shown, "m/86h/1h/0h/1/") || !strings.Contains(shown, " 1.50000000 ") || !strings.Contains(shown, " "+to) {
			t.Fatalf("status %d, %s", status, shown)
		}
		var signed psbtAnswer
		decode(t, stdout, &signed)
		if signed.Signed != 1 || !signed.Complete || signed.TxID != made.TxID {
			t.Errorf("%+v", signed)
		}
		if entries, _ := os.ReadDir(filepath.Join(cold, "regtest")); len(entries) != 1 {
			t.Errorf("signing left files: %v", entries)
		}
		other := a.run("wallet", "psbt", "convert", file, "--to", fmt.Sprint(2-int(version[0]-'0')))
		if a.run("wallet", "psbt", "finalize", other) != a.run("wallet", "psbt", "finalize", file) {
			t.Error("the other version is another transaction")
		}
		if out := a.run("wallet", "psbt", "broadcast", file, "--yes"); out != made.TxID {
			t.Error(out)
		}
		if h := a.history(); h[len(h)-1].TxID != made.TxID || h[len(h)-1].State != "pending" {
			t.Errorf("%+v", h[len(h)-1])
		}
		if _, errs, status := a.try("wallet", "psbt", "broadcast", file, "--yes"); status != 0 { // it is sent again
			t.Errorf("status %d, %s", status, errs)
		}
		a.rpc("generatetoaddress", "1", to)
	}
}

// TestBitcoinJS has bitcoinjs-lib sign one input of two, and Lode the other, in both
// orders; BITCOINJS names a directory with the package (make interop-js).
func TestBitcoinJS(t *testing.T) {
	dir := os.Getenv("BITCOINJS")
	if dir == "" {
		t.Skip("no BITCOINJS: see make interop-js")
	}
	a := startNode(t, t.TempDir())
	a.makeWallet()
	a.rpc("generatetoaddress", "103", a.run("wallet", "address"))
	key := bytes.Repeat([]byte{0x5a}, 32)
	_, public := btcec.PrivKeyFromBytes(key)
	output, _, err := consensus.TweakKey([32]byte(schnorr.SerializePubKey(public)), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs := consensus.Address("bcrt", output)
	js := func(psbt string, finalize bool) (answer psbtAnswer) {
		t.Helper()
		in, _ := json.Marshal(map[string]any{"psbt": psbt, "key": hex.EncodeToString(key), "finalize": finalize})
		cmd := exec.Command("node", "sign.mjs")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
		}
		decode(t, string(out), &answer)
		return answer
	}
	sign := func(psbt string) (answer psbtAnswer) {
		t.Helper()
		decode(t, a.run("wallet", "psbt", "sign", psbt, "--yes", "--json"), &answer)
		if answer.Signed != 1 {
			t.Fatalf("%+v", answer)
		}
		return answer
	}
	for _, jsFirst := range []bool{true, false} {
		var sent struct{ TxID, Hex string }
		decode(t, a.run("wallet", "send", "--to", theirs, "--amount", "1", "--yes", "--json"), &sent)
		a.rpc("generatetoaddress", "1", theirs)
		var coins []struct {
			TxID      string
			Vout      int
			Spendable bool
		}
		decode(t, a.run("wallet", "coins", "--json"), &coins)
		tx, err := consensus.DecodeTx(unhex(t, sent.Hex))
		if err != nil {
			t.Fatal(err)
		}
		paid := 0
		for i := range tx.Out {
			if k, _ := consensus.TaprootKey(tx.Out[i].Script); k == output {
				paid = i
			}
		}
		inputs := fmt.Sprintf(`[{"txid":%q,"vout":%d},{"txid":%q,"vout":%d}]`, sent.TxID, paid, coins[0].TxID, coins[0].Vout)
		psbt := a.rpc("utxoupdatepsbt", a.rpc("createpsbt", inputs, fmt.Sprintf(`[{%q:2.5},{%q:48.4999}]`, theirs, a.run("wallet", "address"))))
		var done string
		if jsFirst {
			done = a.run("wallet", "psbt", "finalize", sign(js(psbt, false).PSBT).PSBT)
		} else {
			done = js(sign(psbt).PSBT, true).Hex
		}
		id := a.rpc("sendrawtransaction", done)
		a.rpc("generatetoaddress", "1", theirs)
		if out := a.rpc("gettxout", id, "0"); !strings.Contains(out, `"value": 2.50000000`) {
			t.Errorf("not in the block: %s", out)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
