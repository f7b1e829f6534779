package wallet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestLabelsRoundTrip: what is exported is a label a line, and another wallet of
// the same words takes it up, with locks of coins that it has yet to find.
func TestLabelsRoundTrip(t *testing.T) {
	n, w := funded(t, 2)
	o := w.Coins()[0].OutPoint.String()
	if err := w.Lock(w.Coins()[1].OutPoint); err != nil {
		t.Fatal(err)
	}
	lines := []string{
		`{"type":"addr","ref":"bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg","label":"Müller & <Co>"}`,
		`{"type":"output","ref":"` + o + `","label":"rent","spendable":false}`,
		`{"type":"tx","ref":"` + w.Coins()[1].TxID.String() + `","label":"first"}`,
		`{"type":"xpub","ref":"` + w.Account().XPub() + `","label":"savings"}`,
		`{"type":"output","ref":"` + w.Coins()[1].OutPoint.String() + `","label":"","spendable":false}`,
	}
	got, err := w.ImportLabels(strings.NewReader(strings.Join(lines, "\n") + "\n\n" + `{"type":"pubkey","ref":"02aa","label":"x","origin":"y"}`))
	if err != nil || got != (LabelsImported{Labels: 4, Locks: 1, Ignored: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	var b bytes.Buffer
	if err := w.ExportLabels(&b); err != nil || b.String() != strings.Join(lines, "\n")+"\n" {
		t.Errorf("%v\n got %s\nwant %s", err, b.String(), strings.Join(lines, "\n"))
	}
	if c := w.Coins(); !c[0].Locked || !c[1].Locked {
		t.Error("the coins are not locked")
	}
	// A wallet that has not synced yet.
	again := newTestWallet(t, w.testSecret(t).Mnemonic)
	if _, err := again.ImportLabels(&b); err != nil {
		t.Fatal(err)
	}
	again.testSync(t, n)
	if c := again.Coins(); len(c) != 2 || !c[0].Locked || !c[1].Locked {
		t.Errorf("coins %+v", c)
	}
	if !slices.ContainsFunc(again.History(), func(e Entry) bool { return e.Label == "rent" }) {
		t.Error("the label of an output is not in the history")
	}
	// Labels are replaced and removed, coins unlocked.
	if _, err := again.ImportLabels(strings.NewReader(`{"type":"output","ref":"` + o + `","label":"","spendable":true}` + "\n" + strings.Replace(lines[2], "first", "second", 1))); err != nil {
		t.Fatal(err)
	}
	if again.Coins()[0].Locked || again.doc.label(labelOutput, o) != "" || again.doc.label(labelTx, w.Coins()[1].TxID.String()) != "second" {
		t.Errorf("labels %v, locked %v", again.doc.Labels, again.doc.Locked)
	}
	if err := again.doc.check(); err != nil || !slices.IsSortedFunc(again.doc.Labels, compareLabels) {
		t.Errorf("labels are not as the file has them: %v", err)
	}
}

// TestLabelsRefused: a file with a line that makes no sense changes nothing, and it
// is said which line.
func TestLabelsRefused(t *testing.T) {
	_, w := funded(t, 1)
	good := `{"type":"tx","ref":"` + strings.Repeat("ab", 32) + `","label":"good"}`
	for _, bad := range []string{
		"not JSON", `{"type":"tx","ref":"12","label":"x"}`, `{"type":"addr","ref":"lode1qq","label":"x"}`, `{"type":"output","ref":"12:0","label":"x"}`,
		`{"ref":"12"}`, `{"type":"xpub","ref":"xprv","label":"x"}`, `{"type":"tx","ref":"` + strings.Repeat("ab", 32) + `","label":"` + strings.Repeat("x", maxLabel+1) + `"}`,
		`{"type":"tx","ref":"` + strings.Repeat("ab", 32) + `","label":"a\nb"}`, strings.Repeat(" ", 2*maxLabelLine),
	} {
		_, err := w.ImportLabels(strings.NewReader(good + "\n" + bad))
		if err == nil || !strings.Contains(err.Error(), "line") {
			t.Errorf("%.80s: %v", bad, err)
		}
	}
	if len(w.doc.Labels) != 0 || w.docDirty {
		t.Errorf("labels %v", w.doc.Labels)
	}
}

// FuzzImportLabels: what is taken up can be exported and taken up again.
func FuzzImportLabels(f *testing.F) {
	f.Add(`{"type":"tx","ref":"` + strings.Repeat("ab", 32) + `","label":"good"}`)
	f.Add(`{"type":"output","ref":"` + strings.Repeat("ab", 32) + `:1","label":"","spendable":false}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := spec(&testing.T{}, "regtest")
		w := &Wallet{spec: s, doc: newWatchDoc(s, DefaultGap, Point{})}
		if _, err := w.ImportLabels(strings.NewReader(text)); err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := w.ExportLabels(&first); err != nil {
			t.Fatal(err)
		}
		again := &Wallet{spec: s, doc: newWatchDoc(s, DefaultGap, Point{})}
		if _, err := again.ImportLabels(bytes.NewReader(first.Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := again.ExportLabels(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error(fmt.Sprintf("%s\nand then\n%s", first.String(), second.String()), err)
		}
	})
}
