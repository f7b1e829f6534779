package wallet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"lode/consensus"
	"lode/wallet/silent"
)

// labelXPub is the type of labels of accounts (BIP329). Other types of the BIP
// (pubkey, input) name nothing that this wallet shows, and are left out.
const labelXPub = "xpub"

// labelLine is a line of a file of labels (BIP329). What it has more is ignored.
type labelLine struct {
	Label
	Spendable *bool `json:"spendable,omitempty"` // of outputs
}

// Bounds of files of labels.
const (
	maxLabels    = 1_000_000
	maxLabelLine = 16 << 10 // bytes
)

// ExportLabels writes all labels, and which coins are locked, as BIP329 has them:
// a JSON object a line.
func (w *Wallet) ExportLabels(to io.Writer) error {
	out := bufio.NewWriter(to)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	locked := slices.Clone(w.doc.Locked)
	no := false
	for _, l := range w.doc.Labels {
		line := labelLine{Label: l}
		if i, is := slices.BinarySearch(locked, l.Ref); is && l.Type == labelOutput {
			line.Spendable, locked = &no, slices.Delete(locked, i, i+1)
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	for _, o := range locked {
		if err := enc.Encode(labelLine{Label{labelOutput, o, ""}, &no}); err != nil {
			return err
		}
	}
	return out.Flush()
}

// LabelsImported says what became of a file of labels.
type LabelsImported struct {
	Labels  int `json:"labels"`  // taken up
	Locks   int `json:"locks"`   // coins that are locked or unlocked by it
	Ignored int `json:"ignored"` // of types that this wallet does not show
}

// ImportLabels takes up what ExportLabels or another wallet has written: all of it,
// or nothing if a line makes no sense. A label replaces the one of the same thing.
func (w *Wallet) ImportLabels(from io.Reader) (n LabelsImported, err error) {
	in := bufio.NewScanner(from)
	in.Buffer(nil, maxLabelLine)
	var lines []labelLine
	for number := 1; in.Scan(); number++ {
		if strings.TrimSpace(in.Text()) == "" {
			continue
		}
		line, known, err := w.readLabel(in.Bytes())
		if err == nil && len(lines) == maxLabels {
			err = fmt.Errorf("more than %d labels", maxLabels)
		}
		if err != nil {
			return n, fmt.Errorf("line %d: %w", number, err)
		}
		if known {
			lines = append(lines, line)
		} else {
			n.Ignored++
		}
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return n, fmt.Errorf("a line has more than %d bytes: this is no file of labels (BIP329)", maxLabelLine)
	} else if err != nil {
		return n, err
	}
	for _, line := range lines {
		if line.Label.Label != "" {
			n.Labels++
		}
		if line.Spendable != nil && w.setLocked(line.Ref, !*line.Spendable) {
			n.Locks++
		}
	}
	w.mergeLabels(lines)
	return n, nil
}

// readLabel reads and checks one line. known is false if it is of a type that this
// wallet does not show.
func (w *Wallet) readLabel(b []byte) (l labelLine, known bool, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return l, false, errors.New("want an object in JSON with type, ref and label (BIP329)")
	}
	if err := checkLabel(l.Label.Label); err != nil {
		return l, false, err
	}
	switch l.Type {
	case labelTx:
		_, err = consensus.ParseHash(l.Ref)
	case labelAddress:
		if prefix := w.spec.Defaults.SilentPrefix; silent.Looks(prefix, l.Ref) {
			_, err = silent.ParseAddress(prefix, l.Ref)
		} else {
			_, err = consensus.ParseAddress(w.spec.Defaults.AddressPrefix, l.Ref)
		}
		l.Ref = strings.ToLower(l.Ref)
	case labelOutput:
		_, err = ParseOutPoint(l.Ref)
	case labelXPub:
		if key, parsed := hdkeychain.NewKeyFromString(l.Ref); parsed != nil || key.IsPrivate() {
			err = errors.New("the ref is no extended public key")
		}
	case "":
		err = errors.New("it has no type")
	default:
		return l, false, nil
	}
	if l.Type != labelOutput {
		l.Spendable = nil
	}
	return l, true, err
}

// mergeLabels puts many labels in at once, the last one of a thing counts.
func (w *Wallet) mergeLabels(lines []labelLine) {
	list := slices.Clone(w.doc.Labels)
	for _, line := range lines {
		list = append(list, line.Label)
	}
	slices.SortStableFunc(list, compareLabels)
	kept := list[:0]
	for i, l := range list {
		if i+1 < len(list) && compareLabels(l, list[i+1]) == 0 {
			continue
		}
		if l.Label != "" {
			kept = append(kept, l)
		}
	}
	w.doc.Labels, w.docDirty = kept, true
}

// setLocked locks or unlocks a coin, whether it is known yet or not. It reports
// whether that has changed anything.
func (w *Wallet) setLocked(o string, lock bool) bool {
	i, locked := slices.BinarySearch(w.doc.Locked, o)
	switch {
	case locked == lock:
		return false
	case lock:
		w.doc.Locked = slices.Insert(w.doc.Locked, i, o)
	default:
		w.doc.Locked = slices.Delete(w.doc.Locked, i, i+1)
	}
	w.docDirty = true
	return true
}
