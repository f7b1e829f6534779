package walletrpc_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"lode/chain"
	"lode/mempool"
	"lode/wallet"
)

// secrets are bytes that are looked for, by what they are.
type secrets map[string][]byte

// reachable walks all that can be reached from a value, private fields too, and gives what is
// found of the secrets, with the way there. What closures hold is out of its reach.
type reachable struct {
	secrets secrets
	seen    map[reachedAt]bool
	found   []string
}

type reachedAt struct {
	at unsafe.Pointer
	of reflect.Type
	n  int
}

func (s secrets) reachableFrom(root any) []string {
	r := reachable{secrets: s, seen: make(map[reachedAt]bool)}
	r.walk(reflect.ValueOf(root), "")
	return r.found
}

func (r *reachable) look(b []byte, way string) {
	for what, secret := range r.secrets {
		if bytes.Contains(b, secret) {
			r.found = append(r.found, what+" at "+way)
		}
	}
}

// notOfWallets are parts of the node that no wallet is in.
var notOfWallets = []reflect.Type{reflect.TypeFor[chain.Chain](), reflect.TypeFor[mempool.Pool]()}

func (r *reachable) walk(v reflect.Value, way string) {
	switch v.Kind() {
	case reflect.Pointer:
		for _, other := range notOfWallets {
			if v.Type().Elem() == other {
				return
			}
		}
		if at := (reachedAt{v.UnsafePointer(), v.Type(), 0}); !v.IsNil() && !r.seen[at] {
			r.seen[at] = true
			r.walk(v.Elem(), way)
		}
	case reflect.Interface:
		if !v.IsNil() {
			r.walk(v.Elem(), way)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[btcec.ModNScalar]() && v.CanAddr() { // limbs, not bytes
			b := (*btcec.ModNScalar)(unsafe.Pointer(v.UnsafeAddr())).Bytes()
			r.look(b[:], way)
		}
		for i := range v.NumField() {
			r.walk(v.Field(i), way+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			r.walk(it.Key(), way+"[key]")
			r.walk(it.Value(), way+"[]")
		}
	case reflect.String:
		r.look([]byte(v.String()), way)
	case reflect.Slice, reflect.Array:
		r.walkList(v, way)
	}
}

func (r *reachable) walkList(v reflect.Value, way string) {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			return
		}
		v = v.Slice(0, v.Cap()) // what was cut off is there all the same
		at := reachedAt{v.UnsafePointer(), v.Type(), v.Len()}
		if r.seen[at] {
			return
		}
		r.seen[at] = true
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := make([]byte, v.Len())
		for i := range b {
			b[i] = byte(v.Index(i).Uint())
		}
		r.look(b, way)
		return
	}
	for i := range v.Len() {
		r.walk(v.Index(i), fmt.Sprint(way, "[", i, "]"))
	}
}

// addKey adds an extended private key that stands in a text, and what is in it.
func (s secrets) addKey(t *testing.T, what, text string) {
	t.Helper()
	from := strings.Index(text, "tprv")
	if from < 0 {
		t.Fatalf("no private key in %s", text)
	}
	text = text[from:]
	text = text[:len(text)-len(strings.TrimLeft(text, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"))]
	key, err := hdkeychain.NewKeyFromString(text)
	check(t, err)
	private, err := key.ECPrivKey()
	check(t, err)
	s[what], s[what+", bytes"] = []byte(text), private.Serialize()
}

// TestNothingSecretIsReachableOnceLocked: after walletlock, and after the time of a
// walletpassphrase is over, neither words, passphrase nor private keys can be reached from what
// the node holds of its wallets, whatever was done with them meanwhile.
func TestNothingSecretIsReachableOnceLocked(t *testing.T) {
	t.Parallel()
	const passphrase = "open sesame, and be quick"
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "w", false, false, passphrase)
	n = n.on("w")
	ok[any](n, "walletpassphrase", passphrase, 1000)
	found := secrets{"the passphrase": []byte(passphrase)}
	found.addKey(t, "the master key", ok[[]struct{ Xprv string }](n, "gethdkeys", map[string]any{"private": true})[0].Xprv)
	files, err := wallet.NamedFiles(n.dir, "w")
	check(t, err)
	opened, err := files.OpenSecret(n.spec, passphrase)
	check(t, err)
	found["the words"] = []byte(opened.Mnemonic)
	// The search finds what is there: else it would show nothing.
	if got := fmt.Sprint(found.reachableFrom(n.wallets)); !strings.Contains(got, "the words at ") || !strings.Contains(got, "the passphrase at ") {
		t.Fatalf("while it is unlocked, this alone is found: %s", got)
	}
	key, err := hdkeychain.NewKeyFromString(string(found["the master key"]))
	check(t, err)
	private, err := key.ECPrivKey()
	check(t, err)
	for _, form := range []any{key, private, &struct{ text string }{key.String()}} {
		if got := found.reachableFrom(form); len(got) == 0 {
			t.Fatalf("a key is not found in a %T", form)
		}
	}
	a := n.address()
	n.mine(101, a)
	ok[string](n, "signmessage", a, "hello")
	ok[string](n, "sendtoaddress", elsewhere(n), 1)
	funded := ok[struct{ PSBT string }](n, "walletcreatefundedpsbt", []any{}, []any{map[string]any{elsewhere(n): 2}})
	ok[any](n, "walletprocesspsbt", funded.PSBT)
	imported := ok[struct{ Descriptors []struct{ Desc string } }](n, "listdescriptors", true).Descriptors[0].Desc
	desc, _, _ := strings.Cut(strings.Replace(imported, "/0/*", "/7/*", 1), "#")
	desc += "#" + ok[struct{ Checksum string }](n, "getdescriptorinfo", desc).Checksum
	if r := ok[[]struct{ Success bool }](n, "importdescriptors", []any{map[string]any{"desc": desc, "timestamp": "now", "range": 2}}); !r[0].Success {
		t.Fatal("not imported")
	}
	ok[any](n, "rescanblockchain")
	n.refused(-14, "The wallet passphrase entered was incorrect", "walletpassphrase", "wrong", 10)
	ok[any](n, "walletlock")
	for _, way := range found.reachableFrom(n.wallets) {
		t.Error("after walletlock: ", way)
	}
	ok[any](n, "walletpassphrase", passphrase, 0)
	eventually(t, "it is locked", func() bool { return text(ok[object](n, "getwalletinfo")["unlocked_until"]) == "0" })
	for _, way := range found.reachableFrom(n.wallets) {
		t.Error("after its time: ", way)
	}
}
