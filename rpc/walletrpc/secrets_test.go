package walletrpc_test

import (
	"encoding/json"
	"testing"

	"lode/consensus"
	"lode/wallet/message"
)

// TestPassphrase: the secret is there between walletpassphrase and its end, and no
// longer.
func TestPassphrase(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "plain")
	n.refused(-15, "Error: running with an unencrypted wallet, but walletpassphrase was called.", "walletpassphrase", "x", 1)
	n.refused(-15, "Error: running with an unencrypted wallet, but walletlock was called.", "walletlock")
	n.refused(-15, "but walletpassphrasechange was called", "walletpassphrasechange", "x", "y")
	n.refused(-8, "passphrase cannot be empty", "encryptwallet", "")
	ok[string](n, "signmessage", n.address(), "hello")
	ok[string](n, "encryptwallet", "first")
	n.refused(-15, "but encryptwallet was called", "encryptwallet", "first")
	want(t, "until", ok[object](n, "getwalletinfo")["unlocked_until"], "0")
	n.refused(-13, "Please enter the wallet passphrase with walletpassphrase first.", "signmessage", n.address(), "hello")
	n.refused(-13, "Please enter the wallet passphrase", "sendtoaddress", elsewhere(n), 1)
	n.refused(-13, "Please enter the wallet passphrase", "rescanblockchain")
	n.refused(-13, "Please enter the wallet passphrase", "keypoolrefill")
	n.refused(-14, "The wallet passphrase entered was incorrect", "walletpassphrase", "second", 10)
	n.refused(-8, "passphrase cannot be empty", "walletpassphrase", "", 10)
	n.refused(-8, "Timeout cannot be negative.", "walletpassphrase", "first", -1)
	ok[any](n, "walletpassphrase", "first", 1000)
	if until := ok[map[string]any](n, "getwalletinfo")["unlocked_until"].(json.Number); until == "0" {
		t.Error("it is not unlocked")
	}
	a := n.address()
	signature := ok[string](n, "signmessage", a, "hello")
	key, err := consensus.ParseAddress("bcrt", a)
	check(t, err)
	check(t, message.Verify(key, []byte("hello"), signature))
	n.refused(-5, "Private key not available", "signmessage", elsewhere(n), "hello")
	ok[any](n, "walletlock")
	n.refused(-13, "Please enter the wallet passphrase", "signmessage", a, "hello")
	n.refused(-14, "The wallet passphrase entered was incorrect", "walletpassphrasechange", "wrong", "second")
	ok[any](n, "walletpassphrasechange", "first", "second")
	n.refused(-14, "The wallet passphrase entered was incorrect", "walletpassphrase", "first", 10)
	ok[any](n, "walletpassphrase", "second", 10)
	ok[any](n, "unloadwallet", "plain")
	ok[any](n, "loadwallet", "plain")
	n.refused(-13, "Please enter the wallet passphrase", "signmessage", a, "hello")
}
