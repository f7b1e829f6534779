package wallet

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// otherKey is the master key of words that no wallet of these tests has.
const otherKey = "tprv8ZgxMBicQKsPd7Uf69XL1XwhmjHopUGep8GuEiJDZmbQz6o58LninorQAfcKZWARbtRtfnLcJ5MQ2AtHcQJCCRUcMRvmDUjyEmNUWwx8UbK"

func parse(t *testing.T, w *Wallet, text string) *descriptor.Descriptor {
	t.Helper()
	d, err := descriptor.Parse(text, w.net)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func importInto(t *testing.T, w *Wallet, o ImportOptions) {
	t.Helper()
	if err := w.Import(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func outputOf(t *testing.T, d *descriptor.Descriptor, index uint32) [32]byte {
	t.Helper()
	key, err := d.OutputKey(index)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// seal is what a command does after an import with private keys.
func (w *Wallet) seal(t *testing.T, s *Secret) {
	t.Helper()
	if err := w.files.ChangePassphrase(s, testPassphrase, 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
}

// TestImportedKeysArePaidAndSpent: a descriptor with private keys, paid before it
// was imported and after, and a wallet that is built anew from its secret.
func TestImportedKeysArePaidAndSpent(t *testing.T) {
	n, w := funded(t, 1)
	d := parse(t, w, "tr("+otherKey+"/1h/<0;1>/*)")
	receive := d.Expand()[0]
	n.mine(outputOf(t, receive, 0))
	n.mineMany(101, stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})

	secret := w.testSecret(t)
	importInto(t, w, ImportOptions{Descriptor: d, Secret: secret, Active: true, Created: time.Unix(1_700_000_000, 0)})
	w.seal(t, secret)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 100 * coin, Spendable: 100 * coin})
	a, err := w.Receive(AddressOptions{New: true})
	if err != nil || a.Address != w.addressOf(outputOf(t, receive, 1)) || w.Path(a.Key) != "m/1'/0/1" {
		t.Errorf("address %+v, %v, path %s", a, err, w.Path(a.Key))
	}
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 80 * coin}}})
	n.mine(stranger, tx)
	w.testSync(t, n)
	if b := w.Balance(); b.Confirmed > 20*coin || b.Confirmed < 20*coin-coin/100 {
		t.Errorf("after a payment from both: %+v", b)
	}
	change := w.addressOf(outputOf(t, d.Expand()[1], 0))
	if !strings.Contains(strings.Join(outputsOf(w, tx), " "), change) {
		t.Errorf("the change went to another descriptor than the active one")
	}
	views := w.Descriptors()
	if len(views) != 4 || views[0].Active || !views[2].Active || views[2].Internal || !views[3].Internal || views[2].Created.Unix() != 1_700_000_000 {
		t.Errorf("descriptors %+v", views)
	}
	want := w.Balance()

	// The wallet that has only its secret finds the same coins.
	w.Close()
	if err := errors.Join(os.Remove(w.files.Watch), os.Remove(w.files.Journal)); err != nil {
		t.Fatal(err)
	}
	again, err := Rebuild(t.Context(), w.files, w.spec, testPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.testSync(t, n)
	wantBalance(t, again, want)
}

func outputsOf(w *Wallet, tx *consensus.Tx) (list []string) {
	for i := range tx.Out {
		if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
			list = append(list, w.addressOf(key))
		}
	}
	return list
}

// TestWatchOnlyWallet: it has no keys until some are imported, never private ones,
// and its payments are for others to sign.
func TestWatchOnlyWallet(t *testing.T) {
	n := newSimNode(t)
	w, err := Create(t.Context(), FilesOf(t.TempDir()+"/w.age"), n.spec, CreateOptions{WatchOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Receive(AddressOptions{}); !errors.Is(err, ErrNoActive) {
		t.Errorf("an address of no keys: %v", err)
	}
	d := parse(t, w, "tr("+otherKey+"/1h/<0;1>/*)")
	if err := w.Import(t.Context(), ImportOptions{Descriptor: d, Secret: new(Secret), Active: true}); !errors.Is(err, ErrImport) || !strings.Contains(err.Error(), "private key") {
		t.Errorf("private keys were imported: %v", err)
	}
	public, err := d.Normalized()
	if err != nil {
		t.Fatal(err)
	}
	single := parse(t, w, "addr("+w.addressOf(stranger)+")")
	importInto(t, w, ImportOptions{Descriptor: public, Active: true})
	importInto(t, w, ImportOptions{Descriptor: single, Label: "theirs"})
	for name, o := range map[string]ImportOptions{
		"one key as active":     {Descriptor: single, Active: true},
		"a label for a range":   {Descriptor: parse(t, w, "tr("+public.RootKey().String()+"/7/*)"), Label: "x"},
		"its first key again":   {Descriptor: parse(t, w, "rawtr("+hexKey(outputOf(t, public.Expand()[0], 0))+")")},
		"receive and change":    {Descriptor: public, Internal: true},
		"without a private key": {Descriptor: parse(t, w, "wpkh("+hexCompressed+")")},
	} {
		if err := w.Import(t.Context(), o); err == nil {
			t.Errorf("%s: was imported", name)
		}
	}
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	w.Close()

	n.mine(outputOf(t, public.Expand()[0], 3))
	n.mineMany(3, stranger)
	n.mineMany(101, [32]byte{5})
	if w, err = Open(t.Context(), w.files, w.spec); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if len(w.Notices()) > 0 || !w.WatchOnly() {
		t.Error("a wallet that only watches misses its words")
	}
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 200 * coin, Spendable: 200 * coin})
	list, err := w.Addresses()
	if err != nil || len(list) != 5 || list[4].Label != "theirs" || !list[3].Used {
		t.Errorf("addresses %+v, %v", list, err)
	}
	draft, err := w.Draft(Payment{Payees: []Payee{{stranger, 10 * coin}}, Rate: DefaultFeeRate})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sign(draft, new(Secret)); !errors.Is(err, ErrWatchOnly) {
		t.Errorf("signed without a key: %v", err)
	}
}

const hexCompressed = "03a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"

func hexKey(key [32]byte) string { return hex.EncodeToString(key[:]) }

// TestWatchedCoinsAreNotChosen: a wallet with words spends no coin that it cannot
// sign for.
func TestWatchedCoinsAreNotChosen(t *testing.T) {
	n, w := funded(t, 1)
	importInto(t, w, ImportOptions{Descriptor: parse(t, w, "addr("+w.addressOf(stranger)+")")})
	w.testSync(t, n)
	b := w.Balance()
	if b.Spendable != 50*coin || b.Watched != 5000*coin || b.Immature != 5000*coin {
		t.Errorf("balance %+v", b)
	}
	if _, err := w.Draft(Payment{Payees: []Payee{{[32]byte{7}, 51 * coin}}, Rate: DefaultFeeRate}); !errors.Is(err, ErrFunds) {
		t.Errorf("more was spent than can be: %v", err)
	}
}

// TestAccountsAreApart: what one account has, another neither shows nor spends.
func TestAccountsAreApart(t *testing.T) {
	n, w := funded(t, 1)
	if err := w.SelectAccount(1); !errors.Is(err, ErrNoAccount) {
		t.Errorf("an account that is not there: %v", err)
	}
	secret := w.testSecret(t)
	if err := w.AddAccount(1, secret); err != nil {
		t.Fatal(err)
	}
	if err := w.AddAccount(maxAccount+1, secret); err == nil {
		t.Error("account 1000 was added")
	}
	if err := w.SelectAccount(1); err != nil {
		t.Fatal(err)
	}
	a, err := w.Receive(AddressOptions{})
	if err != nil || w.Path(a.Key) != "m/86'/1'/1'/0/0" {
		t.Fatalf("%+v, %v", a, err)
	}
	key, err := consensus.ParseAddress("bcrt", a.Address)
	if err != nil {
		t.Fatal(err)
	}
	n.mine(key)
	n.mineMany(101, stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	if h := w.History(); len(h) != 1 || h[0].Address != a.Address {
		t.Errorf("history of account 1: %+v", h)
	}
	draft, _ := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 10 * coin}}})
	if draft.changeKey.Source != 1 || draft.Spends[0].Key.Source != 1 {
		t.Errorf("account 1 pays with %+v", draft)
	}
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if w, err = Open(t.Context(), w.files, w.spec); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	if h := w.History(); len(h) != 1 {
		t.Errorf("history of account 0: %+v", h)
	}
	if got := w.Accounts(); len(got) != 2 {
		t.Errorf("accounts %v", got)
	}
}

// TestForgottenAccountLeavesNothing: an account that a restore has looked for in
// vain, and one that was paid.
func TestForgottenAccountLeavesNothing(t *testing.T) {
	n, w := funded(t, 1)
	secret := w.testSecret(t)
	if !w.AccountUsed(0) || w.DropAccount(0) == nil {
		t.Error("account 0 was forgotten")
	}
	if err := w.AddAccount(1, secret); err != nil {
		t.Fatal(err)
	}
	w.testSync(t, n)
	if w.AccountUsed(1) {
		t.Error("account 1 was paid by nobody")
	}
	if err := w.DropAccount(1); err != nil {
		t.Fatal(err)
	}
	w.Close()
	w, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got := w.Accounts(); len(got) != 1 {
		t.Errorf("accounts %v", got)
	}
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	if err := w.AddAccount(1, secret); err != nil {
		t.Fatal(err)
	}
	key, err := w.sourced[1].OutputKey(KeyPath{0, 0})
	if err != nil {
		t.Fatal(err)
	}
	n.mine(key)
	w.testSync(t, n)
	if err := w.DropAccount(1); err == nil || !w.AccountUsed(1) {
		t.Error("an account with coins was forgotten")
	}
}

// TestNamesAreNoPaths: what is a name, and what a directory of wallets has.
func TestNamesAreNoPaths(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", `a\b`, "a.age", "ä", "a b", strings.Repeat("a", 65), "a\x00"} {
		if _, err := NamedFiles("d", bad); !errors.Is(err, ErrName) {
			t.Errorf("%q is a name: %v", bad, err)
		}
	}
	regtest, dir := spec(t, "regtest"), t.TempDir()
	for _, name := range []string{"b", "A_-9"} {
		files, err := NamedFiles(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := Create(t.Context(), files, regtest, CreateOptions{WatchOnly: name == "b", Mnemonic: map[bool]string{false: testWords}[name == "b"],
			Passphrase: testPassphrase, WorkFactor: testWorkFactor})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if name == "b" {
			w.Close()
		}
	}
	list, err := List(dir, dir+"/wallet.age", regtest)
	if err != nil || len(list) != 2 || list[0].Name != "A_-9" || list[0].Kind != KindWords || !list[0].InUse || list[1].Kind != KindWatchOnly || list[1].InUse {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestSecretOfWordsAloneIsReadByAll: the file has version 1 unless it needs 2, and
// what is in it comes back.
func TestSecretOfWordsAloneIsReadByAll(t *testing.T) {
	regtest := spec(t, "regtest")
	for want, s := range map[int]*Secret{
		1: newSecret(regtest, testWords, ""),
		2: newSecret(regtest, testWords, "extra"),
	} {
		sealed, err := s.seal(testPassphrase, testWorkFactor)
		if err != nil {
			t.Fatal(err)
		}
		again, err := openSecret(sealed, testPassphrase)
		if err != nil || again.Version != want || again.Extra != s.Extra {
			t.Errorf("%+v, %v", again, err)
		}
	}
	blank := newSecret(regtest, "", "")
	sealed, err := blank.seal(testPassphrase, testWorkFactor)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := openSecret(sealed, testPassphrase); err != nil || again.Version != 2 || len(again.Identity) != 32 {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestInterruptedImportLeavesAWallet: the watch file is written before the journal
// that needs it, so that a wallet which is killed between the two opens, and finds
// the coins.
func TestInterruptedImportLeavesAWallet(t *testing.T) {
	n, w := funded(t, 1)
	d := parse(t, w, "addr("+w.addressOf([32]byte{9})+")")
	n.mine([32]byte{9})
	n.mineMany(101, stranger)
	importInto(t, w, ImportOptions{Descriptor: d})
	w.file.write = func(*os.File, []byte) (int, error) { return 0, errors.New("killed") }
	if err := w.Save(); err == nil {
		t.Fatal("the journal was written")
	}
	w.Close()
	w, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if len(w.Descriptors()) != 3 {
		t.Errorf("descriptors %+v", w.Descriptors())
	}
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 100 * coin, Watched: 50 * coin, Spendable: 50 * coin})
}

// TestPlainSecretStaysPlain: what is imported into a wallet without a passphrase, on
// a playground, is kept, and is read without one.
func TestPlainSecretStaysPlain(t *testing.T) {
	w, err := Create(t.Context(), FilesOf(t.TempDir()+"/w.age"), spec(t, "regtest"), CreateOptions{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	secret, err := w.files.OpenSecret(w.spec, "")
	if err != nil {
		t.Fatal(err)
	}
	importInto(t, w, ImportOptions{Descriptor: parse(t, w, "tr("+otherKey+"/<0;1>/*)"), Secret: secret, Active: true})
	if err := w.files.WriteSecret(secret, "", testWorkFactor); err != nil {
		t.Fatal(err)
	}
	if again, err := w.files.OpenSecret(w.spec, ""); err != nil || len(again.Descriptors) != 1 {
		t.Errorf("%v, %v", again, err)
	}
	if _, err := Create(t.Context(), FilesOf(t.TempDir()+"/w.age"), spec(t, "main"), CreateOptions{Plain: true}); !errors.Is(err, ErrEmpty) {
		t.Errorf("a wallet without a passphrase where coins have a value: %v", err)
	}
}

// TestDerivingManyKeysEndsWithItsCaller: to import many keys of several owners, or to look at
// as many more, takes long; it ends when nobody waits any more, and goes on at the next time.
func TestDerivingManyKeysEndsWithItsCaller(t *testing.T) {
	_, w := funded(t, 0)
	shared := parse(t, w, "tr(musig("+otherKey+"/1,"+otherKey+"/2)/<0;1>/*)").Public()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := len(w.Descriptors())
	if err := w.Import(ctx, ImportOptions{Descriptor: shared, Least: 200_000}); !errors.Is(err, context.Canceled) {
		t.Fatalf("importing for nobody: %v", err)
	}
	if err := w.Revert(); err != nil {
		t.Fatal(err)
	}
	if n := len(w.Descriptors()); n != before {
		t.Errorf("%d descriptors after an import that was given up, want %d", n, before)
	}
	importInto(t, w, ImportOptions{Descriptor: shared, Least: 3})
	if err := w.WidenGap(ctx, MaxGap); !errors.Is(err, context.Canceled) {
		t.Fatalf("widening the gap for nobody: %v", err)
	}
	if w.Gap() != DefaultGap {
		t.Errorf("the gap is %d", w.Gap())
	}
	for _, d := range w.Descriptors() {
		if d.End > DefaultGap+3 {
			t.Errorf("%d keys of %s count", d.End, d.Descriptor)
		}
	}
	if err := w.WidenGap(t.Context(), DefaultGap+2); err != nil || w.Gap() != DefaultGap+2 {
		t.Errorf("gap %d, %v", w.Gap(), err)
	}
}
