package wallet

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lode/consensus"
)

// busyWallet has something of everything in its journal.
func busyWallet(t *testing.T) (*simNode, *Wallet) {
	t.Helper()
	n, w := funded(t, 3)
	_, a := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	n.mine(stranger, a)
	w.testSync(t, n)
	n.cut(1)
	n.mineMany(2, stranger)
	w.testSync(t, n)
	w.testPay(t, n, Payment{Payees: []Payee{{w.testKey(t, KeyPath{0, 7}), coin}}})
	w.testSync(t, n)
	return n, w
}

// TestJournalRoundTrip: what is written is what was known, event by event and
// written anew.
func TestJournalRoundTrip(t *testing.T) {
	_, w := busyWallet(t)
	events := w.snapshot()
	w.Close()
	for _, anew := range []bool{false, true} {
		again, err := Open(t.Context(), w.files, w.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.snapshot(); !reflect.DeepEqual(got, events) {
			t.Errorf("anew %v: %d events, want %d", anew, len(got), len(events))
		}
		if !reflect.DeepEqual(again.History(), w.History()) || again.Balance() != w.Balance() {
			t.Errorf("anew %v: history %+v, want %+v", anew, again.History(), w.History())
		}
		if err := again.file.replace(again.snapshot()); err != nil {
			t.Fatal(err)
		}
		again.Close()
	}
}

// TestJournalCutAnywhere: a journal that ends in the middle of a frame is what it
// was before that frame, and one sync later all is there, without a word.
func TestJournalCutAnywhere(t *testing.T) {
	n, w := busyWallet(t)
	w.Close()
	whole := read(t, w.files.Journal)
	sizes := []int64{}
	f := newJournalFile(w.files.Journal)
	if _, err := f.load(func(int) {}, func(*event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for size := int64(len(whole)) - 1; size > f.base; size -= 97 {
		sizes = append(sizes, size)
	}
	for _, size := range sizes {
		if err := os.WriteFile(w.files.Journal, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := Open(t.Context(), w.files, w.spec)
		if err != nil {
			t.Fatalf("cut at %d: %v", size, err)
		}
		if notes := again.Notices(); len(notes) > 0 {
			t.Errorf("cut at %d: %q", size, notes)
		}
		again.testSync(t, n)
		wantBalance(t, again, w.Balance())
		again.Close()
	}
}

// TestDamagedJournal: a byte that has changed is found, what came before counts,
// a copy is kept, and it is said.
func TestDamagedJournal(t *testing.T) {
	n, w := busyWallet(t)
	w.Close()
	whole := read(t, w.files.Journal)
	f := newJournalFile(w.files.Journal)
	if _, err := f.load(func(int) {}, func(*event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for at := f.base; at < int64(len(whole)); at += 211 {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x10
		if err := os.WriteFile(w.files.Journal, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := Open(t.Context(), w.files, w.spec)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if notes := again.Notices(); len(notes) != 1 || !strings.Contains(notes[0], "is damaged (wrong") {
			t.Errorf("byte %d: %q", at, notes)
		}
		if !bytes.Equal(read(t, w.files.Journal+".damaged"), bad) {
			t.Error("no copy was kept")
		}
		again.testSync(t, n)
		wantBalance(t, again, w.Balance())
		again.Close()
	}
	// Without its beginning it is of no use, and says what to do.
	if err := os.WriteFile(w.files.Journal, whole[:40], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), w.files, w.spec); err == nil || !strings.Contains(err.Error(), "move it away, and the blocks are scanned anew") {
		t.Errorf("a journal of 40 bytes: %v", err)
	}
	if err := os.Remove(w.files.Journal); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if notes := again.Notices(); len(notes) != 1 || !strings.Contains(notes[0], "is not there: the blocks are scanned anew from height 0") {
		t.Errorf("without a journal: %q", notes)
	}
	again.testSync(t, n)
	wantBalance(t, again, w.Balance())
}

// TestForeignJournal: a journal of another wallet is not taken.
func TestForeignJournal(t *testing.T) {
	w, other := newTestWallet(t, testWords), newTestWallet(t, propertyWords)
	w.Close()
	if err := os.WriteFile(w.files.Journal, read(t, other.files.Journal), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), w.files, w.spec); err == nil || !strings.Contains(err.Error(), "belongs to another wallet") {
		t.Errorf("a journal of another wallet: %v", err)
	}
}

// TestChangedKeyInJournal: an address is never taken from the file alone.
func TestChangedKeyInJournal(t *testing.T) {
	w := newTestWallet(t, testWords)
	w.branch(ReceiveChain).keys[0] = stranger
	if a, err := w.Receive(AddressOptions{}); err == nil {
		t.Errorf("%s was handed out", a.Address)
	}
}

// TestJournalIsWrittenAnew once it is mostly of no use.
func TestJournalIsWrittenAnew(t *testing.T) {
	_, w := busyWallet(t)
	w.file.base = -spareSize // as if it had grown
	before := w.Balance()
	w.do(event{kind: evLookBack, block: blockRef{Point: w.start}})
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	if w.file.size != w.file.base {
		t.Errorf("%d bytes, %d when it was written anew", w.file.size, w.file.base)
	}
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantBalance(t, again, before)
}

// TestFullDisk: a frame that could not be written to its end is not taken for
// one, and the next one replaces it.
func TestFullDisk(t *testing.T) {
	n, w := funded(t, 1)
	full := true
	w.file.write = func(f *os.File, b []byte) (int, error) {
		if full {
			n, _ := f.Write(b[:len(b)/2])
			return n, os.ErrInvalid
		}
		return f.Write(b)
	}
	n.mine(w.testKey(t, KeyPath{0, 1}))
	if err := w.Sync(t.Context(), n, nil); err == nil {
		t.Fatal("a full disk was not noticed")
	}
	full = false
	n.mine(w.testKey(t, KeyPath{0, 2}))
	w.testSync(t, n)
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantBalance(t, again, Balance{Confirmed: 50 * coin, Immature: 100 * coin, Spendable: 50 * coin})
}

// TestUnwrittenPaymentIsNotSent: a payment that could not be written down is said to
// have failed, so it is not sent when the disk has room again.
func TestUnwrittenPaymentIsNotSent(t *testing.T) {
	n, w := funded(t, 1)
	before := w.Balance()
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: DefaultFeeRate})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := w.Sign(d, w.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	w.file.write = func(f *os.File, b []byte) (int, error) { return 0, os.ErrInvalid }
	if err := w.Commit(d, tx); err == nil {
		t.Fatal("a full disk was not noticed")
	}
	w.file.write = (*os.File).Write
	w.testSync(t, n)
	wantBalance(t, w, before)
	if len(n.pool) > 0 {
		t.Error("it was sent")
	}
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.testSync(t, n)
	wantBalance(t, again, before)
	if len(n.pool) > 0 {
		t.Error("it was sent after it was opened anew")
	}
}

// TestWatchFile1 reads a watch file of the version before: labels and what was
// handed out stay, transactions are found again.
func TestWatchFile1(t *testing.T) {
	n, w := funded(t, 1)
	w.Close()
	account := w.Account()
	id := w.spec.Rules.ID()
	old := `{"version": 1, "network": "regtest", "rules": "` + hex.EncodeToString(id[:]) + `", "xpub": "` + account.XPub() + `",
		"fingerprint": "73c5da0a", "next": [4, 9], "labels": {"0/3": "rent"}, "start": {"height": 0, "hash": "` + w.spec.Rules.GenesisHash().String() + `"},
		"points": [{"height": 0, "hash": "` + w.spec.Rules.GenesisHash().String() + `"}], "transactions": [], "pending": []}`
	if err := os.WriteFile(w.files.Watch, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.files.Journal); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.testSync(t, n)
	wantBalance(t, again, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	if list, err := again.Addresses(); err != nil || len(list) != 4 || list[3].Label != "rent" {
		t.Errorf("addresses %+v, %v", list, err)
	}
}

// TestWatchFile2 reads a watch file that knew one account alone, with the journal
// that belongs to it.
func TestWatchFile2(t *testing.T) {
	_, w := funded(t, 1)
	label := w.addressOf(w.testKey(t, KeyPath{0, 3}))
	w.Close()
	id, genesis := w.spec.Rules.ID(), w.spec.Rules.GenesisHash().String()
	old := `{"version": 2, "network": "regtest", "rules": "` + hex.EncodeToString(id[:]) + `", "gap": 25, "start": {"height": 0, "hash": "` + genesis + `"},
		"sources": [{"xpub": "` + w.Account().XPub() + `", "fingerprint": "73c5da0a", "next": [4, 0]}],
		"labels": [{"type": "addr", "ref": "` + label + `", "label": "rent"}], "locked": []}`
	if err := os.WriteFile(w.files.Watch, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantBalance(t, again, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	if list, err := again.Addresses(); err != nil || len(list) != 4 || list[3].Label != "rent" || again.Gap() != 25 {
		t.Errorf("addresses %+v, %v, gap %d", list, err, again.Gap())
	}
	if err := again.WidenGap(t.Context(), 26); err != nil {
		t.Fatal(err)
	}
	if err := again.Save(); err != nil {
		t.Fatal(err)
	}
	if doc, err := loadWatch(w.files.Watch, w.spec); err != nil || doc.Version != watchVersion || doc.Gap != 26 {
		t.Errorf("written as %+v, %v", doc, err)
	}
}

// FuzzJournal: no file makes the wallet panic or take more memory than it has,
// and what is taken is written back as it was.
func FuzzJournal(f *testing.F) {
	id := make([]byte, 32)
	tx := (&consensus.Tx{Version: 2, In: make([]consensus.TxIn, 1), Out: []consensus.TxOut{{Value: 5, Script: consensus.TaprootScript(stranger)}}})
	f.Add(append([]byte(journalMagic), frame([]event{
		{kind: evIdentity, raw: id}, {kind: evStart}, {kind: evKey, raw: id}, {kind: evLooked, n: 1}, {kind: evTx, n: 7, flags: flagOwn, raw: tx.Bytes()},
		{kind: evPoint, block: blockRef{Point: Point{Height: 9}}}, {kind: evBlock, ref: tx.TxID(), block: blockRef{Point: Point{Height: 9}}},
		{kind: evSent, ref: tx.TxID(), n: 3}, {kind: evRefusal, ref: tx.TxID(), raw: []byte("no")}, {kind: evRollBack, block: blockRef{Point: Point{Height: 3}}},
		{kind: evFlags, ref: tx.TxID(), flags: flagAcked}, {kind: evRemove, ref: tx.TxID()},
	})...))
	f.Add([]byte(journalMagic))
	path := filepath.Join(f.TempDir(), "j")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		keys := func() *keyring {
			k := newKeyring()
			k.add(branchID{0, 0}, nil, window{gap: DefaultGap})
			k.add(branchID{0, 1}, nil, window{gap: DefaultGap})
			return k
		}
		k := newKnowledge(keys())
		if _, err := newJournalFile(path).load(k.expect, k.apply); err != nil {
			return
		}
		k.journal.judge()
		again := newKnowledge(keys())
		events := k.snapshot()
		for _, e := range events {
			if err := again.apply(&e); err != nil && len(k.points) > 0 {
				t.Fatalf("what was read cannot be written: %v", err)
			}
		}
	})
}
