package wallet

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/consensus"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSecretFile(t *testing.T) {
	w := newTestWallet(t, testWords)
	f := w.files
	for _, path := range []string{f.Secret, f.Watch, f.Journal} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", path, info.Mode(), err)
		}
		if bytes.Contains(read(t, path), []byte("abandon")) {
			t.Errorf("%s holds the words in the clear", path)
		}
	}
	if info, err := os.Stat(filepath.Dir(f.Secret)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v; want 0700", info.Mode(), err)
	}
	if s := w.testSecret(t); s.Mnemonic != testWords || s.Network != "regtest" || s.CoinType != 1 {
		t.Errorf("secret %+v", s)
	}

	before := read(t, f.Secret)
	for _, wrong := range []string{"Correct horse", testPassphrase + " ", "x"} {
		if _, err := f.OpenSecret(w.spec, wrong); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := f.OpenSecret(w.spec, ""); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty passphrase: %v", err)
	}
	if err := f.ChangePassphrase(w.testSecret(t), "", testWorkFactor); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty new passphrase: %v", err)
	}
	if !bytes.Equal(before, read(t, f.Secret)) {
		t.Error("a refused passphrase changed the file")
	}

	if err := f.ChangePassphrase(w.testSecret(t), "battery staple", testWorkFactor); err != nil {
		t.Fatal(err)
	}
	if _, err := f.OpenSecret(w.spec, testPassphrase); !errors.Is(err, ErrPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	if s, err := f.OpenSecret(w.spec, "battery staple"); err != nil || s.Mnemonic != testWords {
		t.Errorf("the new passphrase: %v", err)
	}
	if names := list(t, filepath.Dir(f.Secret)); len(names) != 4 { // with the lock
		t.Errorf("files are left behind: %v", names)
	}
}

func TestDamagedSecret(t *testing.T) {
	w := newTestWallet(t, testWords)
	good := read(t, w.files.Secret)
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "cut short": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
		"flipped": append(append(bytes.Clone(good[:len(good)-5]), good[len(good)-5]^1), good[len(good)-4:]...),
	} {
		if err := os.WriteFile(w.files.Secret, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.files.OpenSecret(w.spec, testPassphrase); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A file must not make the program work for an hour.
	heavy := bytes.Replace(good, []byte(" 2\n"), []byte(" 30\n"), 1)
	if err := os.WriteFile(w.files.Secret, heavy, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.files.OpenSecret(w.spec, testPassphrase); err == nil || bytes.Equal(heavy, good) {
		t.Errorf("work factor 30: %v", err)
	}
}

func TestNeverOverwrites(t *testing.T) {
	w := newTestWallet(t, testWords)
	w.Close()
	create := func() error {
		w, err := Create(t.Context(), w.files, w.spec, CreateOptions{Mnemonic: testWords, Passphrase: "other", WorkFactor: testWorkFactor})
		if err == nil {
			w.Close()
		}
		return err
	}
	secret, watch := read(t, w.files.Secret), read(t, w.files.Watch)
	if err := create(); !errors.Is(err, ErrExists) {
		t.Errorf("over both files: %v", err)
	}
	if !bytes.Equal(secret, read(t, w.files.Secret)) || !bytes.Equal(watch, read(t, w.files.Watch)) {
		t.Error("a file has changed")
	}
	if err := os.Remove(w.files.Secret); err != nil {
		t.Fatal(err)
	}
	if err := create(); !errors.Is(err, ErrExists) {
		t.Errorf("over the watch file: %v", err)
	}
	if !bytes.Equal(watch, read(t, w.files.Watch)) {
		t.Error("the watch file has changed")
	}
}

// TestRefusedCreation leaves nothing on disk.
func TestRefusedCreation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	_, err := Create(t.Context(), FilesOf(filepath.Join(dir, "w.age")), spec(t, "main"), CreateOptions{Mnemonic: testWords, WorkFactor: testWorkFactor})
	if !errors.Is(err, ErrEmpty) {
		t.Errorf("no passphrase: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestRebuild(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, testWords)
	n.mineMany(3, w.testKey(t, KeyPath{0, 4}))
	w.testSync(t, n)
	want := w.Balance()
	w.Close()
	if err := os.Remove(w.files.Watch); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), w.files, w.spec); !errors.Is(err, ErrNoWatch) {
		t.Fatalf("without the watch file: %v", err)
	}
	if _, err := Rebuild(t.Context(), w.files, w.spec, "wrong"); !errors.Is(err, ErrPassphrase) {
		t.Fatalf("wrong passphrase: %v", err)
	}
	again, err := Rebuild(t.Context(), w.files, w.spec, testPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.testSync(t, n)
	wantBalance(t, again, want)
	if err := os.Remove(w.files.Secret); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.files.Watch); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), w.files, w.spec); !errors.Is(err, ErrNoWallet) {
		t.Errorf("without both files: %v", err)
	}
}

func testPrivateDescriptor(t *testing.T) string {
	t.Helper()
	d, err := descriptorOfWords(testWords, 1)
	if err != nil {
		t.Fatal(err)
	}
	return d.Private()
}

func TestDamagedWatch(t *testing.T) {
	w := newTestWallet(t, testWords)
	w.Close()
	good := string(read(t, w.files.Watch))
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":        {"", ErrDamaged},
		"cut short":    {good[:len(good)/2], ErrDamaged},
		"no keys":      {replaceLine(good, `"sources"`, `"sources": [],"ignored":[`), ErrDamaged},
		"label":        {strings.Replace(good, `"labels": null`, `"labels": [{"type":"addr","ref":"x","label":"two\nlines"}]`, 1), ErrDamaged},
		"null":         {replaceLine(good, `"sources"`, `"sources": [null,`), ErrDamaged},
		"no gap":       {strings.Replace(good, `"gap": 20`, `"gap": 0`, 1), ErrDamaged},
		"network":      {strings.Replace(good, `"regtest"`, `"main"`, 1), ErrNetwork},
		"rules":        {replaceLine(good, `"rules"`, `"rules": "00",`), ErrNetwork},
		"descriptor":   {replaceLine(good, `"descriptor"`, `"descriptor": "tr(tpubx)",`), ErrDamaged},
		"checksum":     {strings.Replace(good, `#`, `#q`, 1), ErrDamaged},
		"newer":        {strings.Replace(good, `"version": 3`, `"version": 4`, 1), nil},
		"identity":     {replaceLine(good, `"identity"`, `"identity": "",`), ErrDamaged},
		"private key":  {replaceLine(good, `"descriptor"`, `"descriptor": "`+testPrivateDescriptor(t)+`",`), ErrDamaged},
		"no such keys": {strings.Replace(good, `"active"`, `"internal": true, "active"`, 1), ErrDamaged},
	} {
		if c.text == good {
			t.Errorf("%s: nothing was changed", name)
		}
		if err := os.WriteFile(w.files.Watch, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), w.files, w.spec)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// replaceLine replaces the line that begins with a field.
func replaceLine(doc, field, line string) string {
	lines := strings.Split(doc, "\n")
	for i := range lines {
		if strings.HasPrefix(strings.TrimSpace(lines[i]), field) {
			lines[i] = line
		}
	}
	return strings.Join(lines, "\n")
}

func TestOtherNetwork(t *testing.T) {
	w := newTestWallet(t, testWords)
	w.Close()
	main := spec(t, "main")
	if _, err := Open(t.Context(), w.files, main); !errors.Is(err, ErrNetwork) {
		t.Errorf("opened on main: %v", err)
	}
	if _, err := w.files.OpenSecret(main, testPassphrase); !errors.Is(err, ErrNetwork) {
		t.Errorf("decrypted on main: %v", err)
	}
}

// TestForeignWatch: a watch file that was put beside another wallet's words.
func TestForeignWatch(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, testWords)
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	w.testSync(t, n)
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sign(d, newTestWallet(t, words(t)).testSecret(t)); err == nil {
		t.Error("signed with the words of another wallet")
	}
}

func TestLock(t *testing.T) {
	w := newTestWallet(t, testWords)
	if _, err := w.files.lock(t.Context(), 100*time.Millisecond); !errors.Is(err, ErrBusy) {
		t.Errorf("a second lock: %v", err)
	}
	closed := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { w.Close(); close(closed) })
	again, err := Open(t.Context(), w.files, w.spec) // waits
	<-closed
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// TestKeptWallet: nobody waits for a wallet that a node has loaded, and the mark of a
// node that was killed keeps nobody from it.
func TestKeptWallet(t *testing.T) {
	w := newTestWallet(t, testWords)
	if err := w.Keep(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.files.lock(t.Context(), time.Hour); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "unloadwallet") {
		t.Errorf("a wallet that is kept: %v", err)
	}
	w.kept = false // as a kill leaves the file
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.files.lock(t.Context(), 100*time.Millisecond); !errors.Is(err, ErrBusy) || strings.Contains(err.Error(), "unloadwallet") {
		t.Errorf("a wallet that is in use for a moment: %v", err)
	}
	if err := again.Keep(); err != nil {
		t.Fatal(err)
	}
	again.Close()
	if mark, err := os.ReadFile(w.files.Watch + lockSuffix); err != nil || len(mark) > 0 {
		t.Errorf("after the end %q, %v", mark, err)
	}
}

func TestAddresses(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, testWords)
	get := func(a Address, err error) Address {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	receive := func(label string) (Address, error) { return w.Receive(AddressOptions{Label: label}) }
	receiveNew := func(label string) (Address, error) { return w.Receive(AddressOptions{Label: label, New: true}) }
	first := get(receive(""))
	if first.Key != (KeyID{}) || get(receive("")) != first {
		t.Errorf("first address %+v", first)
	}
	if key, err := consensus.ParseAddress("bcrt", first.Address); err != nil || key != w.testKey(t, first.Key.KeyPath) {
		t.Errorf("%s: %v", first.Address, err)
	}
	if second := get(receiveNew("a")); second.Key.Index != 1 || second.Label != "a" {
		t.Errorf("new address %+v", second)
	}
	if a := get(receive("b")); a.Key.Index != 0 || a.Label != "b" {
		t.Errorf("labelled %+v", a)
	}
	if a := get(receive("c")); a.Key.Index != 2 || a.Label != "c" {
		t.Errorf("an address with a label was labelled anew: %+v", a)
	}
	n.mine(w.testKey(t, KeyPath{0, 0}))
	w.testSync(t, n)
	if a := get(receive("")); a.Key.Index != 3 {
		t.Errorf("after the first was used, and two given to somebody: %+v", a)
	}
	for _, bad := range []string{"two\nlines", strings.Repeat("x", maxLabel+1), "\xff"} {
		if _, err := receiveNew(bad); !errors.Is(err, ErrLabel) {
			t.Errorf("label %q: %v", bad, err)
		}
	}
	for i := w.branch(ReceiveChain).window.next(); i < 1+DefaultGap; i++ { // key 0 is used
		get(receiveNew(""))
	}
	if a, err := receiveNew(""); !errors.Is(err, ErrGap) {
		t.Errorf("an address that a restore would not look for was handed out: %+v, %v", a, err)
	}
	a := get(w.Receive(AddressOptions{New: true, BeyondGap: true}))
	if a.Key.Index != 1+DefaultGap || w.Gap() != DefaultGap+1 {
		t.Errorf("beyond the gap: %+v, and the gap is %d", a, w.Gap())
	}
}
