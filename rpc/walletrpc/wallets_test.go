package walletrpc_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/rpc/walletrpc"
)

type object = map[string]any

func text(v any) string { return fmt.Sprint(v) }

func want(t *testing.T, what string, got any, want string) {
	t.Helper()
	if text(got) != want {
		t.Errorf("%s: %v, want %s", what, got, want)
	}
}

// TestWalletIsChosenByPath: calls are for the wallet in the path, or for the one
// that is loaded; where there are several, the path must say.
func TestWalletIsChosenByPath(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	n.refused(-18, "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet.", "getbalance")
	n.on("a").refused(-18, "Requested wallet does not exist or is not loaded", "getbalance")
	want(t, "created", ok[any](n, "createwallet", "a"), "map[name:a]")
	want(t, "balance", ok[any](n, "getbalance"), "0.00000000")
	want(t, "balance", ok[any](n.on("a"), "getbalance"), "0.00000000")
	n.on("b").refused(-18, "Requested wallet does not exist or is not loaded", "getbalance")
	n.on("../a").refused(-18, "Requested wallet does not exist or is not loaded", "getbalance")
	ok[any](n, "createwallet", "b")
	n.refused(-19, "Multiple wallets are loaded. Please select which wallet to use by requesting the RPC through the /wallet/<walletname> URI path.", "getbalance")
	want(t, "name", ok[object](n.on("b"), "getwalletinfo")["walletname"], "b")
	want(t, "wallets", ok[any](n, "listwallets"), "[a b]")
	n.on("a").refused(-8, "specify different wallets", "unloadwallet", "b")
	ok[any](n.on("a"), "unloadwallet")
	n.refused(-18, "Requested wallet does not exist or is not loaded", "unloadwallet", "a")
	n.refused(-8, "Either the RPC endpoint wallet or the wallet name parameter must be provided", "unloadwallet")
	want(t, "wallets", ok[any](n, "listwallets"), "[b]")
	want(t, "all", ok[any](n, "listwalletdir"), "map[wallets:[map[name:a warnings:[]] map[name:b warnings:[]]]]")
	n.refused(-35, `Wallet "b" is already loaded.`, "loadwallet", "b")
	n.refused(-18, "Path does not exist", "loadwallet", "c")
	want(t, "loaded", ok[any](n, "loadwallet", "a"), "map[name:a]")
}

// TestNamesAreNoPaths: a wallet's name cannot lead out of the directory of wallets.
func TestNamesAreNoPaths(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	for _, name := range []string{"", ".", "..", "../a", "a/b", `a\b`, "a.age", "ä", "a b", strings.Repeat("a", 65), "/tmp/a", "a\x00", "a\n"} {
		n.refused(-8, "The name of a wallet must have", "createwallet", name)
		n.refused(-8, "The name of a wallet must have", "loadwallet", name)
		n.refused(-8, "The name of a wallet must have", "restorewallet", name, "x")
	}
	ok[any](n, "createwallet", strings.Repeat("aZ-_09", 10)+"1234")
}

// TestCreateWallet: what is asked for and cannot be had is refused; outside of a
// playground a wallet has a passphrase.
func TestCreateWallet(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	n.refused(-4, `descriptors argument must be set to "true"`, "createwallet", "a", false, false, "", false, false)
	n.refused(-4, "Compiled without external signing support", "createwallet", "a", true, false, nil, false, true, nil, true)
	n.refused(-4, "avoid_reuse", "createwallet", "a", false, false, nil, true)
	n.refused(-4, "Passphrase provided but private keys are disabled", "createwallet", "a", true, false, "x")
	n.refused(-3, "JSON value of type string is not of expected type bool", "createwallet", "a", "yes")
	n.refused(-1, "createwallet \"wallet_name\"", "createwallet")
	want(t, "warnings", ok[any](n, "createwallet", "a", false, false, ""), "map[name:a warnings:[Empty string given as passphrase, wallet will not be encrypted.]]")
	n.refused(-4, "Database already exists.", "createwallet", "a")
	ok[any](n, "createwallet", "watch", true)
	info := ok[object](n.on("watch"), "getwalletinfo")
	want(t, "flags", info["flags"], "[disable_private_keys blank descriptor_wallet]")
	n.on("watch").refused(-4, "Error: This wallet has no available keys", "getnewaddress")
	n.on("watch").refused(-4, "Error: Private keys are disabled for this wallet", "sendtoaddress", elsewhere(n), 1)
	n.on("watch").refused(-16, "nothing to encrypt", "encryptwallet", "x")
	ok[any](n, "createwallet", "blank", false, true)
	n.on("blank").refused(-4, "Error: This wallet has no available keys", "getnewaddress")

	main := newNode(t, "main")
	main.refused(-4, "A passphrase is needed", "createwallet", "a")
	main.refused(-4, "A passphrase is needed", "createwallet", "a", false, false, "")
	ok[any](main, "createwallet", "a", false, false, "long")
	main.refused(-13, "Error: Please enter the wallet passphrase with walletpassphrase first.", "listdescriptors", true)
}

// TestAddressTypes: there is no type of addresses but bech32m.
func TestAddressTypes(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "a")
	for _, kind := range []string{"legacy", "p2sh-segwit", "bech32", "taproot", ""} {
		n.refused(-5, "ddress type", "getnewaddress", "", kind)
		n.refused(-5, "ddress type", "getrawchangeaddress", kind)
	}
	a, b := ok[string](n, "getnewaddress", "x", "bech32m"), ok[string](n, "getrawchangeaddress", "bech32m")
	if a == b || a == n.address() {
		t.Error("an address is given twice")
	}
	n.refused(-11, "Invalid label name", "getnewaddress", "*")
	info := ok[object](n, "getaddressinfo", a)
	want(t, "labels", info["labels"], "[x]")
	want(t, "path", info["hdkeypath"], "m/86h/1h/0h/0/0")
	want(t, "mine", info["ismine"], "true")
	want(t, "change", ok[object](n, "getaddressinfo", b)["ischange"], "true")
	if desc := text(info["desc"]); !strings.HasPrefix(desc, "tr(["+text(info["hdmasterfingerprint"])+"/86h/1h/0h/0/0]") {
		t.Errorf("descriptor %s", desc)
	}
	want(t, "mine", ok[object](n, "getaddressinfo", elsewhere(n))["ismine"], "false")
	n.refused(-5, "Invalid address", "getaddressinfo", a[:len(a)-1])
}

// TestStartsWithItsWallets: wallets that were loaded with load_on_startup are there
// after a restart, with all that they know.
func TestStartsWithItsWallets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, "regtest", dir)
	ok[any](n, "createwallet", "a", false, false, nil, false, true, true)
	ok[any](n, "createwallet", "b", false, false, nil, false, true, false)
	a := n.on("a").address()
	n.mine(3, a)
	n.close()
	n = openNode(t, "regtest", dir)
	defer n.close()
	want(t, "loaded", ok[any](n, "listwallets"), "[]")
	n.wallets.LoadAll(t.Context())
	want(t, "loaded", ok[any](n, "listwallets"), "[a]")
	want(t, "immature", ok[map[string]object](n, "getbalances")["mine"]["immature"], "150.00000000")
	ok[any](n, "unloadwallet", "a", false)
	n.close()
	n = openNode(t, "regtest", dir)
	defer n.close()
	n.wallets.LoadAll(t.Context())
	want(t, "loaded", ok[any](n, "listwallets"), "[]")
}

// TestSecondProcessIsTold: a wallet that another process has open is not loaded.
func TestSecondProcessIsTold(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "a")
	other := openNode(t, "regtest", t.TempDir(), func(c *walletrpc.Config) { c.Dir = n.dir })
	defer other.close()
	other.refused(-4, "in use by another process", "loadwallet", "a")
	ok[any](n, "unloadwallet", "a")
	ok[any](other, "loadwallet", "a")
}

// TestPayments: what was paid is told by every call, and in the same amounts.
func TestPayments(t *testing.T) {
	t.Parallel()
	n := funded(t, 3)
	want(t, "balance", ok[any](n, "getbalance"), "150.00000000")
	id := ok[string](n, "sendtoaddress", elsewhere(n), "1.5", "rent", "landlord", false, true, nil, "unset", nil, 2)
	tx := ok[object](n, "gettransaction", id, nil, true)
	want(t, "amount", tx["amount"], "-1.50000000")
	want(t, "comment", tx["comment"], "rent")
	want(t, "to", tx["to"], "landlord")
	want(t, "confirmations", tx["confirmations"], "0")
	want(t, "trusted", tx["trusted"], "true")
	want(t, "replaceable", tx["bip125-replaceable"], "yes")
	fee := tx["fee"]
	last := ok[[]object](n, "listtransactions", "*", 1)[0]
	want(t, "category", last["category"], "send")
	want(t, "fee", last["fee"], text(fee))
	want(t, "address", last["address"], elsewhere(n))
	n.mine(1, elsewhere(n))
	tx = ok[object](n, "gettransaction", id)
	want(t, "confirmations", tx["confirmations"], "1")
	want(t, "replaceable", tx["bip125-replaceable"], "no")
	self := ok[string](n, "getnewaddress", "own")
	id = ok[string](n, "sendmany", "", object{self: 2, elsewhere(n): 0.25}, 1, "two", []string{self})
	n.mine(1, elsewhere(n))
	details := ok[object](n, "gettransaction", id)["details"].([]any)
	if len(details) != 3 { // two are sent, and one of them is received
		t.Errorf("details %v", details)
	}
	received := ok[any](n, "getreceivedbylabel", "own")
	want(t, "received", ok[any](n, "getreceivedbyaddress", self), text(received))
	if !strings.HasPrefix(text(received), "1.9999") {
		t.Errorf("received %v: the payee bears the fee", received)
	}
	n.refused(-4, "Address not found in wallet", "getreceivedbyaddress", elsewhere(n))
	n.refused(-4, "Label not found in wallet", "getreceivedbylabel", "none")
	want(t, "labels", ok[any](n, "listlabels"), "[ own]")
	list := ok[[]object](n, "listreceivedbyaddress", 1, false, false, self)
	want(t, "received", list[0]["amount"], text(received))
	want(t, "by label", len(ok[[]object](n, "listreceivedbylabel")), "2")
}

// TestPaymentsThatAreRefused: with the codes that programs look for, and nothing is
// paid.
func TestPaymentsThatAreRefused(t *testing.T) {
	t.Parallel()
	n := funded(t, 1)
	a := elsewhere(n)
	before := text(ok[any](n, "listtransactions", "*", 1000))
	n.refused(-6, "Insufficient funds", "sendtoaddress", a, 51)
	n.refused(-6, "Transaction amount too small", "sendtoaddress", a, "0.00000100")
	n.refused(-3, "Amount out of range", "sendtoaddress", a, -1)
	n.refused(-3, "Invalid amount", "sendtoaddress", a, "1.123456789")
	n.refused(-5, "Invalid Bitcoin address", "sendtoaddress", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 1)
	n.refused(-8, "Cannot specify both estimate_mode and fee_rate", "sendtoaddress", a, 1, "", "", false, true, nil, "economical", nil, 1)
	n.refused(-8, "Cannot specify both conf_target and fee_rate", "sendtoaddress", a, 1, "", "", false, true, 6, "unset", nil, 1)
	n.refused(-8, "Invalid conf_target, must be between 1 and 1008", "sendtoaddress", a, 1, "", "", false, true, 0)
	n.refused(-8, "Invalid estimate_mode parameter", "sendtoaddress", a, 1, "", "", false, true, 6, "fast")
	n.refused(-3, "Invalid amount", "sendtoaddress", a, 1, "", "", false, true, nil, "unset", nil, "0.0001")
	n.refused(-8, "is lower than the minimum fee rate setting", "sendtoaddress", a, 1, "", "", false, true, nil, "unset", nil, "0.001")
	n.refused(-6, "Fee exceeds maximum configured by user", "sendtoaddress", a, 1, "", "", false, true, nil, "unset", nil, 100000)
	n.refused(-8, `Dummy value must be set to ""`, "sendmany", "x", object{a: 1})
	n.refused(-8, "not found in tx outputs", "sendmany", "", object{a: 1}, nil, "", []string{n.address()})
	n.refused(-8, "duplicated position: 0", "sendmany", "", object{a: 1}, nil, "", []any{0, 0})
	n.refused(-8, "position too large: 1", "sendmany", "", object{a: 1}, nil, "", []any{1})
	n.refused(-3, "Unexpected key fee", "send", object{a: 1}, nil, nil, nil, object{"fee": 1})
	n.refused(-8, "Use fee_rate (sat/vB) instead of feeRate", "send", object{a: 1}, nil, nil, nil, object{"feeRate": 1})
	n.refused(-8, "Specify estimate_mode", "send", object{a: 1}, 6)
	n.refused(-4, "Insufficient funds", "send", object{a: 51})
	n.refused(-8, "Must provide at least one address without a specified amount", "sendall", []any{object{a: 1}})
	n.refused(-5, "Invalid or non-wallet transaction id", "gettransaction", strings.Repeat("00", 32))
	n.refused(-8, "txid must be of length 64", "gettransaction", "00")
	n.refused(-5, "Invalid or non-wallet transaction id", "abandontransaction", strings.Repeat("00", 32))
	n.refused(-5, "Invalid or non-wallet transaction id", "bumpfee", strings.Repeat("00", 32))
	if after := text(ok[any](n, "listtransactions", "*", 1000)); after != before {
		t.Error("something was paid")
	}
	want(t, "mempool", ok[any](n, "getrawmempool"), "[]")
}

// TestSendAndSendAll: send and sendall pay, or make what another program may send.
func TestSendAndSendAll(t *testing.T) {
	t.Parallel()
	n := funded(t, 4)
	a := elsewhere(n)
	r := ok[object](n, "send", []any{object{a: 1}, object{"data": "c0ffee"}}, nil, "unset", 3)
	want(t, "complete", r["complete"], "true")
	want(t, "mempool", len(ok[[]string](n, "getrawmempool")), "1")
	r = ok[object](n, "send", object{a: 2}, nil, "unset", 3, object{"add_to_wallet": false, "change_position": 0, "locktime": 7, "replaceable": false})
	tx := ok[object](n, "decoderawtransaction", r["hex"])
	want(t, "lock time", tx["locktime"], "7")
	want(t, "sequence", tx["vin"].([]any)[0].(object)["sequence"], "4294967294")
	want(t, "second", tx["vout"].([]any)[1].(object)["value"], "2.00000000")
	want(t, "mempool", len(ok[[]string](n, "getrawmempool")), "1")
	want(t, "accepted", ok[[]object](n, "testmempoolaccept", []any{r["hex"]})[0]["allowed"], "true")
	coin := ok[[]object](n, "listunspent", 1)[0]
	r = ok[object](n, "send", object{a: 2}, nil, "unset", 3, object{"inputs": []any{object{"txid": coin["txid"], "vout": coin["vout"]}}, "psbt": true})
	if !strings.HasPrefix(text(r["psbt"]), "cHNidP8") {
		t.Errorf("a PSBT: %v", r)
	}
	r = ok[object](n, "sendall", []any{a, object{ok[string](n, "getnewaddress"): 3}}, nil, "unset", 2)
	want(t, "complete", r["complete"], "true")
	n.mine(1, a)
	want(t, "balance", ok[any](n, "getbalance"), "3.00000000")
}

// TestLockUnspents locks the coins of what others are to send, and does not get into
// the way of what is sent.
func TestLockUnspents(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	a := elsewhere(n)
	ok[any](n, "send", object{a: 1}, nil, "unset", 2, object{"lock_unspents": true, "psbt": true})
	want(t, "locked", len(ok[[]any](n, "listlockunspent")), "1")
	want(t, "complete", ok[object](n, "send", object{a: 1}, nil, "unset", 2, object{"lock_unspents": true})["complete"], "true")
	want(t, "locked", len(ok[[]any](n, "listlockunspent")), "1")
	want(t, "complete", ok[object](n, "sendall", []any{a}, nil, "unset", 2, object{"lock_unspents": true})["complete"], "true")
	want(t, "locked", len(ok[[]any](n, "listlockunspent")), "1")
}

// TestLockedCoins are not spent and not listed, until they are unlocked.
func TestLockedCoins(t *testing.T) {
	t.Parallel()
	n := funded(t, 1)
	coin := ok[[]object](n, "listunspent")[0]
	one := []any{object{"txid": coin["txid"], "vout": coin["vout"]}}
	ok[bool](n, "lockunspent", false, one)
	want(t, "locked", ok[any](n, "listlockunspent"), fmt.Sprintf("[map[txid:%v vout:%v]]", coin["txid"], coin["vout"]))
	want(t, "unspent", len(ok[[]object](n, "listunspent")), "0")
	n.refused(-6, "Insufficient funds", "sendtoaddress", elsewhere(n), 1)
	n.refused(-8, "Invalid parameter, output already locked", "lockunspent", false, one)
	ok[bool](n, "lockunspent", false, one, true)
	ok[bool](n, "lockunspent", true, one)
	n.refused(-8, "Invalid parameter, expected locked output", "lockunspent", true, one)
	n.refused(-8, "Invalid parameter, unknown transaction", "lockunspent", true, []any{object{"txid": strings.Repeat("00", 32), "vout": 0}})
	n.refused(-8, "Invalid parameter, vout index out of bounds", "lockunspent", true, []any{object{"txid": coin["txid"], "vout": 9}})
	n.refused(-8, "Invalid parameter, vout cannot be negative", "lockunspent", true, []any{object{"txid": coin["txid"], "vout": -1}})
	ok[bool](n, "lockunspent", false, one)

	// Funding from a locked coin leaves it locked, unless it is spent.
	a := elsewhere(n)
	still := text(ok[any](n, "listlockunspent"))
	ok[any](n, "walletcreatefundedpsbt", one, object{a: 1})
	want(t, "locked", ok[any](n, "listlockunspent"), still)
	ok[any](n, "send", object{a: 1}, nil, "unset", 2, object{"inputs": one, "psbt": true})
	want(t, "locked", ok[any](n, "listlockunspent"), still)
	n.refused(-4, "Insufficient funds", "send", object{a: 51}, nil, "unset", 2, object{"inputs": one})
	want(t, "locked", ok[any](n, "listlockunspent"), still)
	ok[bool](n, "lockunspent", true)
	want(t, "unspent", len(ok[[]object](n, "listunspent")), "1")
}

// TestHistoryThroughReorg: what was in blocks that do not count any more is told as
// removed.
func TestHistoryThroughReorg(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	since := ok[string](n, "getbestblockhash")
	id := ok[string](n, "sendtoaddress", n.address(), 1)
	block := n.mine(1, elsewhere(n))[0]
	got := ok[map[string]any](n, "listsinceblock", since)
	want(t, "entries", len(got["transactions"].([]any)), "2")
	want(t, "last", got["lastblock"], block)
	ok[any](n, "invalidateblock", block)
	want(t, "confirmations", ok[object](n, "gettransaction", id)["confirmations"], "0")
	got = ok[map[string]any](n, "listsinceblock", block)
	want(t, "removed", len(got["removed"].([]any)), "2")
	n.refused(-5, "Block not found", "listsinceblock", strings.Repeat("11", 32))
	n.refused(-8, "Invalid parameter", "listsinceblock", since, 0)
	n.refused(-8, "Negative count", "listtransactions", "*", -1)
	n.refused(-8, "Label argument must be a valid label name", "listtransactions", "")
}

// TestAbandon: a payment that the mempool refuses after a restart is given up. Its coins
// can be spent again, and it is not sent again.
func TestAbandon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, "regtest", dir)
	ok[any](n, "createwallet", "w", false, false, nil, false, true, true)
	n.mine(1, n.address())
	n.mine(100, elsewhere(n))
	id := ok[string](n, "sendtoaddress", elsewhere(n), 1, "", "", false, true, nil, "unset", nil, 2)
	n.refused(-5, "Transaction not eligible for abandonment", "abandontransaction", id)
	n.close()
	n = openNode(t, "regtest", dir, func(c *walletrpc.Config) {
		policy := mempool.DefaultPolicy()
		policy.MinRelay *= 100
		c.Pool = mempool.New(mempool.Config{Ledger: c.Chain, Sigs: sigcheck.New(1000), Policy: policy})
		c.Pool.Load(t.Context(), dir+"/"+mempool.FileName)
	})
	defer n.close()
	n.wallets.LoadAll(t.Context())
	balance := func() any { return ok[map[string]object](n, "getbalances")["mine"]["trusted"] }
	abandoned := func() any { return ok[[]object](n, "listtransactions", "*", 1)[0]["abandoned"] }
	want(t, "balance", balance(), "0.00000000")
	want(t, "abandoned", abandoned(), "false")
	want(t, "answer", ok[any](n, "abandontransaction", id), "<nil>")
	want(t, "again", ok[any](n, "abandontransaction", id), "<nil>")
	want(t, "balance", balance(), "50.00000000")
	want(t, "abandoned", abandoned(), "true")
	n.close()

	n = openNode(t, "regtest", dir)
	defer n.close()
	n.wallets.LoadAll(t.Context())
	want(t, "balance", balance(), "50.00000000")
	want(t, "abandoned", abandoned(), "true")
	want(t, "mempool", ok[any](n, "getrawmempool"), "[]")
	other := ok[string](n, "sendtoaddress", elsewhere(n), 49)
	want(t, "mempool", ok[any](n, "getrawmempool"), "["+other+"]")
	want(t, "conflicts", ok[object](n, "gettransaction", other)["walletconflicts"], "["+id+"]")
	n.refused(-5, "Invalid or non-wallet transaction id", "abandontransaction", strings.Repeat("ab", 32))
}

// TestBumpAndAbandon: a payment is replaced, and the one that replaces it cannot be
// given up while the mempool has it.
func TestBumpAndAbandon(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	id := ok[string](n, "sendtoaddress", elsewhere(n), 1, "", "", false, true, nil, "unset", nil, 1)
	n.refused(-8, "Insufficient total fee", "bumpfee", id, object{"fee_rate": 1})
	n.refused(-8, "should not both be set", "bumpfee", id, object{"conf_target": 1, "confTarget": 1})
	p := ok[object](n, "psbtbumpfee", id, object{"fee_rate": 5})
	if !strings.HasPrefix(text(p["psbt"]), "cHNidP8") {
		t.Errorf("a PSBT: %v", p)
	}
	n.refused(-4, "Fee exceeds maximum", "psbtbumpfee", id, object{"fee_rate": 500000})
	r := ok[object](n, "bumpfee", id, object{"fee_rate": 10})
	want(t, "mempool", ok[any](n, "getrawmempool"), fmt.Sprintf("[%v]", r["txid"]))
	old := ok[object](n, "gettransaction", id)
	want(t, "replaced by", old["replaced_by_txid"], text(r["txid"]))
	want(t, "replaces", ok[object](n, "gettransaction", r["txid"])["replaces_txid"], id)
	n.refused(-4, "which was already bumped", "bumpfee", id)
	n.refused(-5, "Transaction not eligible for abandonment", "abandontransaction", r["txid"])
	n.mine(1, elsewhere(n))
	n.refused(-4, "Transaction has been mined", "bumpfee", r["txid"])
	want(t, "depth", ok[object](n, "gettransaction", id)["confirmations"], "-1")
}

// TestRawTransactions: one that was made by hand gets inputs, change and signatures.
func TestRawTransactions(t *testing.T) {
	t.Parallel()
	n := funded(t, 3)
	raw := ok[string](n, "createrawtransaction", []any{}, object{elsewhere(n): 60})
	f := ok[object](n, "fundrawtransaction", raw, object{"fee_rate": 4, "changePosition": 1})
	want(t, "change", f["changepos"], "1")
	s := ok[object](n, "signrawtransactionwithwallet", f["hex"])
	want(t, "complete", s["complete"], "true")
	want(t, "change", ok[object](n, "simulaterawtransaction", []any{s["hex"]})["balance_change"], text(json.Number(fmt.Sprintf("-60.0000%s", text(f["fee"])[6:]))))
	ok[string](n, "sendrawtransaction", s["hex"])
	n.refused(-22, "TX decode failed", "fundrawtransaction", "00")
	n.refused(-4, "Insufficient funds", "fundrawtransaction", ok[string](n, "createrawtransaction", []any{}, object{elsewhere(n): 600}))
	foreign := ok[string](n, "createrawtransaction", []any{object{"txid": strings.Repeat("ab", 32), "vout": 0}}, object{elsewhere(n): 1})
	n.refused(-4, "Unable to find UTXO for external input", "fundrawtransaction", foreign)
	s = ok[object](n, "signrawtransactionwithwallet", foreign)
	want(t, "complete", s["complete"], "false")
	want(t, "errors", s["errors"].([]any)[0].(object)["error"], "Input not found or already spent")
}

// TestPSBTs: one wallet makes a PSBT, and signs it.
func TestPSBTs(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	p := ok[object](n, "walletcreatefundedpsbt", []any{}, []any{object{elsewhere(n): 3}}, 0, object{"fee_rate": 2})
	half := ok[object](n, "walletprocesspsbt", p["psbt"], false)
	want(t, "complete", half["complete"], "false")
	s := ok[object](n, "walletprocesspsbt", half["psbt"], true, "ALL")
	want(t, "complete", s["complete"], "true")
	ok[string](n, "sendrawtransaction", s["hex"])
	n.refused(-22, "TX decode failed", "walletprocesspsbt", "AAAA")
	n.refused(-8, "is not a valid sighash parameter", "walletprocesspsbt", p["psbt"], true, "EVERYTHING")
}

// TestDescriptorsComeAndGo: what listdescriptors shows, another wallet imports, and
// has the same coins; one that only watches has no private keys.
func TestDescriptorsComeAndGo(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	requests := func(private bool) (list []any) {
		for _, d := range ok[struct{ Descriptors []object }](n, "listdescriptors", private).Descriptors {
			list = append(list, object{"desc": d["desc"], "active": d["active"], "internal": d["internal"], "range": []any{0, 50}, "timestamp": 0})
		}
		return list
	}
	ok[any](n, "createwallet", "watch", true)
	ok[any](n, "createwallet", "keys", false, true)
	watch, keys := n.on("watch"), n.on("keys")
	for _, r := range ok[[]object](watch, "importdescriptors", requests(true)) {
		want(t, "error", r["error"].(object)["message"], "Cannot import private keys to a wallet with private keys disabled")
	}
	for _, r := range ok[[]object](keys, "importdescriptors", requests(false)) {
		want(t, "error", r["error"].(object)["message"], "Cannot import descriptor without private keys to a wallet with private keys enabled")
	}
	for _, r := range append(ok[[]object](watch, "importdescriptors", requests(false)), ok[[]object](keys, "importdescriptors", requests(true))...) {
		want(t, "result", r, "map[success:true]")
	}
	for _, w := range []*testNode{watch, keys} {
		want(t, "balances", ok[map[string]object](w, "getbalances")["mine"], text(ok[map[string]object](n, "getbalances")["mine"]))
		want(t, "coins", ok[any](w, "listunspent"), text(ok[any](n, "listunspent")))
	}
	public := ok[struct{ Descriptors []object }](n, "listdescriptors").Descriptors
	want(t, "active", public[0]["active"], "true")
	for i, d := range ok[struct{ Descriptors []object }](keys, "listdescriptors").Descriptors {
		want(t, "descriptor", d["desc"], text(public[i]["desc"]))
	}
	if a, b := ok[string](n, "getnewaddress"), ok[string](keys, "getnewaddress"); a == b {
		t.Logf("both give %s next", a)
	}
	id := ok[string](keys, "sendtoaddress", elsewhere(n), 1)
	want(t, "seen by the first", ok[object](n, "gettransaction", id)["amount"], "-1.00000000")
	p := ok[object](watch, "walletcreatefundedpsbt", []any{}, []any{object{elsewhere(n): 3}}, 0)
	want(t, "signed", ok[object](keys, "walletprocesspsbt", p["psbt"])["complete"], "true")
	want(t, "watched", ok[object](watch, "walletprocesspsbt", p["psbt"])["complete"], "false")
	want(t, "private", ok[[]object](keys, "gethdkeys", object{"private": true})[0]["has_private"], "true")
	want(t, "private", ok[[]object](watch, "gethdkeys")[0]["has_private"], "false")
	watch.refused(-4, "Private keys are disabled", "gethdkeys", object{"private": true})
}

// TestImportsThatAreRefused: each with its reason, and the others are done.
func TestImportsThatAreRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "a")
	good := text(ok[struct{ Descriptors []object }](n, "listdescriptors").Descriptors[0]["desc"])
	ok[any](n, "createwallet", "w", true)
	n = n.on("w")
	n.refused(-3, "Missing required timestamp field for key", "importdescriptors", []any{object{"desc": good}})
	n.refused(-3, "Expected number or \"now\" timestamp value for key", "importdescriptors", []any{object{"desc": good, "timestamp": "then"}})
	n.refused(-3, "Unexpected key descriptor", "importdescriptors", []any{object{"descriptor": good, "timestamp": 0}})
	for _, test := range []struct {
		code    int
		says    string
		request object
	}{
		{-8, "Descriptor not found.", object{}},
		{-5, "not a usable descriptor", object{"desc": good[:len(good)-1]}},
		{-5, "not a usable descriptor", object{"desc": strings.Split(good, "#")[0]}},
		{-8, "Range is too large", object{"desc": good, "range": 2000000}},
		{-8, "Range should be greater or equal than 0", object{"desc": good, "range": []int{-1, 5}}},
		{-8, "must not have begin after end", object{"desc": good, "range": []int{5, 1}}},
		{-8, "next_index is out of range", object{"desc": good, "range": 5, "next_index": 6}},
		{-8, "Ranged descriptors should not have a label", object{"desc": good, "label": "x"}},
	} {
		test.request["timestamp"] = "now"
		got := ok[[]object](n, "importdescriptors", []any{test.request})[0]
		failure, _ := got["error"].(object)
		if text(failure["code"]) != fmt.Sprint(test.code) || !strings.Contains(text(failure["message"]), test.says) {
			t.Errorf("%v: %v, want %d: %s", test.request, got, test.code, test.says)
		}
	}
	got := ok[[]object](n, "importdescriptors", []any{object{"timestamp": "now"}, object{"desc": good, "timestamp": "now", "active": true}})
	want(t, "success", []any{got[0]["success"], got[1]["success"]}, "[false true]")
	want(t, "warnings", got[1]["warnings"], "[Range not given, using default keypool range]")
}

// TestImportThatIsNotKept: no addresses come from a descriptor whose private keys could
// not be written down, and it can be imported again.
func TestImportThatIsNotKept(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "w")
	ok[any](n, "createwallet", "keys", false, true)
	var requests []any
	for _, d := range ok[struct{ Descriptors []object }](n.on("w"), "listdescriptors", true).Descriptors {
		requests = append(requests, object{"desc": d["desc"], "active": true, "internal": d["internal"], "timestamp": "now", "range": []any{0, 20}})
	}
	keys, secret := n.on("keys"), filepath.Join(n.dir, "wallets", "keys.age")
	content, err := os.ReadFile(secret)
	check(t, err)
	check(t, os.Remove(secret))
	check(t, os.MkdirAll(filepath.Join(secret, "x"), 0o700)) // which no file can replace
	for _, r := range ok[[]object](keys, "importdescriptors", requests) {
		want(t, "success", r["success"], "false")
	}
	keys.refused(-4, "This wallet has no available keys", "getnewaddress")
	want(t, "descriptors", len(ok[struct{ Descriptors []object }](keys, "listdescriptors").Descriptors), "0")
	check(t, os.RemoveAll(secret))
	check(t, os.WriteFile(secret, content, 0o600))
	for _, r := range ok[[]object](keys, "importdescriptors", requests) {
		want(t, "success", r["success"], "true")
	}
	ok[any](keys, "unloadwallet")
	ok[any](n, "loadwallet", "keys")
	want(t, "address", ok[any](keys, "getnewaddress"), ok[string](n.on("w"), "getnewaddress"))
}

// TestBackup: a wallet comes back from its backup under another name, and nothing is
// overwritten.
func TestBackup(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	ok[any](n, "setlabel", elsewhere(n), "landlord")
	ok[any](n, "backupwallet", "copy.tar")
	n.refused(-8, "calls write files below the data directory only", "backupwallet", "/tmp/copy.tar")
	n.refused(-8, "calls write files below the data directory only", "backupwallet", "../copy.tar")
	n.refused(-4, "Error: Wallet backup failed!", "backupwallet", "copy.tar")
	n.refused(-8, "Backup file does not exist", "restorewallet", "v", "none.tar")
	n.refused(-8, "Backup file is not a regular file", "restorewallet", "v", "blocks")
	n.refused(-36, "Database file exists in", "restorewallet", "w", "copy.tar")
	n.refused(-4, "not a backup of a wallet", "restorewallet", "v", "blocks/blk00000.dat")
	ok[any](n, "restorewallet", "v", "copy.tar")
	v := n.on("v")
	want(t, "coins", ok[any](v, "listunspent"), text(ok[any](n, "listunspent")))
	want(t, "label", ok[object](v, "getaddressesbylabel", "landlord"), fmt.Sprintf("map[%s:map[purpose:send]]", elsewhere(n)))
	if names := ok[[]string](n, "listwallets"); !slices.Equal(names, []string{"v", "w"}) {
		t.Errorf("loaded %v", names)
	}
}
