package walletrpc_test

import (
	"strings"
	"testing"
)

// TestOwnersSignThroughWalletCalls: two wallets and one that watches their account,
// with the calls that one makes to Bitcoin Core.
func TestOwnersSignThroughWalletCalls(t *testing.T) {
	n := newNode(t, "regtest")
	var keys []string
	for _, name := range []string{"alice", "bob"} {
		ok[any](n, "createwallet", name)
		list := ok[struct {
			Descriptors []struct {
				Desc string
			}
		}](n.on(name), "listdescriptors")
		key, _, found := strings.Cut(strings.TrimPrefix(list.Descriptors[0].Desc, "tr("), "/0/*)")
		if !found {
			t.Fatal(list)
		}
		keys = append(keys, key)
	}
	ok[any](n, "createwallet", "shared", true)
	shared, alice, bob := n.on("shared"), n.on("alice"), n.on("bob")
	desc := "tr(musig(" + strings.Join(keys, ",") + ")/<0;1>/*)"
	desc += "#" + ok[struct{ Checksum string }](n, "getdescriptorinfo", desc).Checksum
	large := ok[[]struct{ Error struct{ Message string } }](shared, "importdescriptors", []any{map[string]any{"desc": desc, "range": 999_999, "timestamp": "now"}})
	if !strings.Contains(large[0].Error.Message, "Range is too large") {
		t.Errorf("a million keys of several owners: %v", large)
	}
	imported := ok[[]struct{ Success bool }](shared, "importdescriptors", []any{map[string]any{"desc": desc, "active": true, "timestamp": "now"}})
	if !imported[0].Success {
		t.Fatal("not imported")
	}
	n.mine(102, ok[string](shared, "getnewaddress"))
	to := alice.address()
	funded := ok[struct{ PSBT string }](shared, "walletcreatefundedpsbt", []any{}, []any{map[string]any{to: 60}}, 0, map[string]any{"fee_rate": 2})
	type processed struct {
		PSBT, Hex string
		Complete  bool
	}
	first := ok[processed](alice, "walletprocesspsbt", funded.PSBT)
	second := ok[processed](bob, "walletprocesspsbt", first.PSBT)
	if first.Complete || second.Complete {
		t.Fatal("complete before all have signed")
	}
	third := ok[processed](alice, "walletprocesspsbt", second.PSBT)
	if !third.Complete {
		t.Fatal("not complete", third.PSBT)
	}
	alice.refused(-25, "the secret nonce is not there", "walletprocesspsbt", second.PSBT) // it was used
	txid := ok[string](n, "sendrawtransaction", third.Hex)
	n.mine(1, to)
	if got := ok[struct{ Confirmations int }](shared, "gettransaction", txid).Confirmations; got != 1 {
		t.Errorf("%d confirmations", got)
	}
}
