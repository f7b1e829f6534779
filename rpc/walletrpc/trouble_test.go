package walletrpc_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"lode/internal/clock"
	"lode/rpc"
	"lode/rpc/walletrpc"
)

// TestCallsAtOnce: callers of one wallet wait for each other, and none pays with
// what another has spent.
func TestCallsAtOnce(t *testing.T) {
	t.Parallel()
	n := funded(t, 6)
	var group sync.WaitGroup
	ids := make(chan string, 6)
	for range 6 {
		group.Go(func() {
			ids <- ok[string](n, "sendtoaddress", elsewhere(n), 30)
			ok[any](n, "getbalances")
			ok[any](n, "listtransactions")
		})
	}
	group.Wait()
	close(ids)
	n.mine(1, elsewhere(n))
	for id := range ids {
		want(t, "confirmations", ok[object](n, "gettransaction", id)["confirmations"], "1")
	}
	n.refused(-6, "Insufficient funds", "sendtoaddress", elsewhere(n), 125)
}

// TestRescanIsSeenAndEnded: a rescan shows how far it is, lets other calls in, and
// ends when somebody says so; the wallet is whole afterwards.
func TestRescanIsSeenAndEnded(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	n.mine(300, elsewhere(n))
	before := text(ok[any](n, "listunspent"))
	want(t, "nothing to end", ok[any](n, "abortrescan"), "false")
	n.refused(-8, "Invalid start_height", "rescanblockchain", 403)
	n.refused(-8, "Invalid stop_height", "rescanblockchain", 0, 1000)
	n.refused(-8, "stop_height must be greater than start_height", "rescanblockchain", 5, 4)
	want(t, "rescan", ok[any](n, "rescanblockchain", 0), "map[start_height:0 stop_height:402]")
	want(t, "coins", ok[any](n, "listunspent"), before)

	seen, aborted := false, false
	done := make(chan *rpc.Error)
	go func() {
		_, failure := n.call("rescanblockchain")
		done <- failure
	}()
	var failure *rpc.Error
	for ended := false; !ended; {
		select {
		case failure = <-done:
			ended = true
		default:
			if scan, is := ok[object](n, "getwalletinfo")["scanning"].(object); is {
				seen = true
				if p, err := scan["progress"].(json.Number).Float64(); err != nil || p < 0 || p > 1 {
					t.Errorf("progress %v", scan)
				}
				aborted = ok[bool](n, "abortrescan") || aborted
			}
		}
	}
	// On a fast machine it may be over before anybody has looked.
	if aborted && (failure == nil || failure.Code != -1 || failure.Message != "Rescan aborted.") {
		t.Errorf("the rescan ended with %v", failure)
	}
	t.Logf("seen %v, aborted %v", seen, aborted)
	want(t, "coins", ok[any](n, "listunspent"), before)
}

// TestFilesHoldWhatWasAcknowledged: a copy of the files of a loaded wallet has all that
// calls have answered, though nothing was closed.
func TestFilesHoldWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	n := funded(t, 2)
	a := ok[string](n, "getnewaddress", "kept")
	id := ok[string](n, "sendtoaddress", a, 3, "for later")
	ok[any](n, "backupwallet", "live.tar") // which copies the files as they are
	ok[any](n, "restorewallet", "v", "live.tar")
	v := n.on("v")
	want(t, "comment", ok[object](v, "gettransaction", id)["comment"], "for later")
	want(t, "label", ok[object](v, "getaddressinfo", a)["labels"], "[kept]")
	if next := ok[string](v, "getnewaddress"); next == a {
		t.Error("an address is given out again")
	}
	want(t, "coins", ok[any](v, "listunspent", 0), text(ok[any](n, "listunspent", 0)))
}

// TestWhitelistOfWalletCalls: users may call what they were allowed, and calls to
// wallets are no exception.
func TestWhitelistOfWalletCalls(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "w")
	user, err := rpc.NewCredential("shop", "secret")
	check(t, err)
	allowed, err := rpc.NewWhitelist([]string{"shop:getnewaddress,getbalance"}, nil)
	check(t, err)
	s := rpc.New(rpc.Config{Dir: n.dir, Spec: n.spec, Chain: n.chain, Pool: n.pool, Network: lonely{}, Clock: clock.New(nil), Users: []rpc.Credential{user}, Whitelist: allowed, Wallets: n.wallets})
	for method, status := range map[string]int{"getbalance": 200, "getnewaddress": 200, "sendtoaddress": 403, "listdescriptors": 403, "createwallet": 403} {
		if got := post(s, "shop", "secret", method); got != status {
			t.Errorf("%s: status %d, want %d", method, got, status)
		}
	}
}

// TestTooManyWallets: a node holds only so many at once, and makes none that it cannot
// hold.
func TestTooManyWallets(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "one", true)
	ok[any](n, "backupwallet", "one.tar")
	ok[any](n, "unloadwallet", "one")
	undo := n.wallets.Fill()
	n.refused(-4, "64 wallets are loaded, which is the most", "loadwallet", "one")
	n.refused(-4, "64 wallets are loaded, which is the most", "createwallet", "two", true)
	n.refused(-4, "64 wallets are loaded, which is the most", "restorewallet", "two", "one.tar")
	undo()
	ok[any](n, "loadwallet", "one")
	ok[any](n, "createwallet", "two", true)
}

// TestSettingsAreKept: what another program has put into the settings file stays.
func TestSettingsAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, "regtest", dir)
	writeText(t, dir+"/"+walletrpc.SettingsFile, `{"other": [1, 2]}`)
	n.close()
	n = openNode(t, "regtest", dir)
	defer n.close()
	ok[any](n, "createwallet", "a", true, false, nil, false, true, true)
	got := readText(t, dir+"/"+walletrpc.SettingsFile)
	if !strings.Contains(got, `"other"`) || !strings.Contains(got, `"a"`) {
		t.Errorf("settings %s", got)
	}
	writeText(t, dir+"/"+walletrpc.SettingsFile, `{"wallet": 5}`)
	if _, err := walletrpc.New(walletrpc.Config{Spec: n.spec, Chain: n.chain, Pool: n.pool, Dir: dir}); err == nil || !strings.Contains(err.Error(), "is not a list of names") {
		t.Errorf("damaged settings: %v", err)
	}
}
