package wallet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"lode/consensus"
	"lode/internal/plainly"
)

// watchVersion is the version of the watch file that this program writes. It
// reads version 1 too, which held the transactions as well, and version 2, which
// knew one account alone.
const watchVersion = 3

// maxWatchSize bounds what is read of a watch file, in bytes.
const maxWatchSize = 1 << 30

// watchDoc is the watch file: what no chain can tell. It names the wallet and
// holds what its owner has said and was given.
type watchDoc struct {
	Version   int                `json:"version"`
	Network   string             `json:"network"`
	Rules     consensus.HexBytes `json:"rules"`                // consensus.Rules.ID
	Gap       uint32             `json:"gap"`                  // that a restore from the words needs, DefaultGap at least
	Start     Point              `json:"start"`                // the wallet is younger than what follows this block
	Identity  consensus.HexBytes `json:"identity"`             // binds the journal to it, see identityOf
	WatchOnly bool               `json:"watch_only,omitempty"` // it is to have no private keys
	Sources   []*sourceDoc       `json:"sources"`
	Labels    []Label            `json:"labels"`
	Locked    []string           `json:"locked,omitempty"` // coins that are not to be spent, TXID:N, sorted
	Silent    *silentDoc         `json:"silent,omitempty"` // absent in files of before there were silent payments, and without words
}

// Label is a label as BIP329 writes it, one object a line in its files.
type Label struct {
	Type  string `json:"type"` // labelAddress, …
	Ref   string `json:"ref"`
	Label string `json:"label"`
}

// The types of labels (BIP329).
const (
	labelTx      = "tx"
	labelAddress = "addr"
	labelOutput  = "output"
)

func newWatchDoc(spec *consensus.Spec, gap uint32, start Point) *watchDoc {
	id := spec.Rules.ID()
	return &watchDoc{Version: watchVersion, Network: spec.Name, Rules: id[:], Gap: max(gap, 1), Start: start, Sources: []*sourceDoc{}}
}

// addAccount adds the first account of the words, which names the wallet.
func (d *watchDoc) addAccount(spec *consensus.Spec, a *Account) {
	id := identityOf(spec, a)
	d.Identity = id[:]
	d.Sources = append(d.Sources, a.sourceDoc())
}

func (d *watchDoc) encode() ([]byte, error) {
	b, err := json.MarshalIndent(d, "", " ")
	return append(b, '\n'), err
}

// loadWatch reads a watch file of this network.
func loadWatch(path string, spec *consensus.Spec) (*watchDoc, error) {
	b, err := readFile(path, maxWatchSize)
	if err != nil {
		return nil, err
	}
	var head struct {
		Version int                `json:"version"`
		Network string             `json:"network"`
		Rules   consensus.HexBytes `json:"rules"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, damagedWatch(path, err)
	}
	id := spec.Rules.ID()
	switch {
	case head.Version < 1 || head.Version > watchVersion:
		return nil, fmt.Errorf("watch file %s has version %d, this program knows 1 to %d: use the program that wrote it", path, head.Version, watchVersion)
	case head.Network != spec.Name:
		return nil, fmt.Errorf("watch file %s: %w: it was made for %q, want %q", path, ErrNetwork, head.Network, spec.Name)
	case !bytes.Equal(head.Rules, id[:]):
		return nil, fmt.Errorf("watch file %s: %w: that one is called %q too, but has other rules", path, ErrNetwork, head.Network)
	}
	doc := new(watchDoc)
	if head.Version == 1 {
		doc, err = readWatch1(b, spec)
	} else if head.Version == 2 {
		doc, err = readWatch2(b, spec)
	} else if err = json.Unmarshal(b, doc); err == nil {
		doc.sortLabels() // somebody may have edited it
		slices.Sort(doc.Locked)
		err = doc.check()
	}
	if err != nil {
		return nil, damagedWatch(path, err)
	}
	return doc, nil
}

// readWatch1 reads what a watch file of version 1 holds beside transactions:
// those are found in the blocks again.
func readWatch1(b []byte, spec *consensus.Spec) (*watchDoc, error) {
	var old struct {
		Network     string             `json:"network"`
		Rules       consensus.HexBytes `json:"rules"`
		XPub        string             `json:"xpub"`
		Fingerprint string             `json:"fingerprint"`
		Next        [2]uint32          `json:"next"`
		Labels      map[KeyPath]string `json:"labels"`
		Start       Point              `json:"start"`
	}
	if err := json.Unmarshal(b, &old); err != nil {
		return nil, err
	}
	account, err := ParseAccount(old.XPub, old.Fingerprint, spec)
	if err != nil {
		return nil, err
	}
	doc := newWatchDoc(spec, DefaultGap, old.Start)
	doc.addAccount(spec, account)
	doc.Sources[0].Next = [2]uint32{ReceiveChain: old.Next[ReceiveChain]} // change keys are known by their use
	for path, label := range old.Labels {
		key, err := account.OutputKey(path)
		if err != nil {
			return nil, err
		}
		doc.Labels = append(doc.Labels, Label{labelAddress, consensus.Address(spec.Defaults.AddressPrefix, key), label})
	}
	doc.sortLabels()
	return doc, doc.check()
}

// readWatch2 reads a watch file of version 2: it had the one account as a key.
func readWatch2(b []byte, spec *consensus.Spec) (*watchDoc, error) {
	var old struct {
		Gap     uint32 `json:"gap"`
		Start   Point  `json:"start"`
		Sources []struct {
			XPub        string    `json:"xpub"`
			Fingerprint string    `json:"fingerprint"`
			Next        [2]uint32 `json:"next"`
		} `json:"sources"`
		Labels []Label  `json:"labels"`
		Locked []string `json:"locked"`
	}
	if err := json.Unmarshal(b, &old); err != nil {
		return nil, err
	}
	if len(old.Sources) != 1 {
		return nil, fmt.Errorf("it has keys of %d accounts, want 1", len(old.Sources))
	}
	account, err := ParseAccount(old.Sources[0].XPub, old.Sources[0].Fingerprint, spec)
	if err != nil {
		return nil, err
	}
	doc := newWatchDoc(spec, old.Gap, old.Start)
	doc.addAccount(spec, account)
	doc.Sources[0].Next, doc.Labels, doc.Locked = old.Sources[0].Next, old.Labels, old.Locked
	doc.sortLabels()
	slices.Sort(doc.Locked)
	return doc, doc.check()
}

// damagedWatch says what to do about a watch file that cannot be read.
func damagedWatch(path string, why error) error {
	return fmt.Errorf("watch file %s is %w (%w): move it away, and the next command builds it anew with the passphrase; labels, and the gap if it was wider, are lost", path, ErrDamaged, plainly.Error(why))
}

// check looks for what this program never writes.
func (d *watchDoc) check() error {
	if len(d.Identity) != 32 {
		return fmt.Errorf("it has no identity")
	}
	if len(d.Sources) > maxSources {
		return fmt.Errorf("it has %d sources of keys", len(d.Sources))
	}
	if d.Gap == 0 || d.Gap > MaxGap {
		return fmt.Errorf("a gap of %d", d.Gap)
	}
	for _, s := range d.Sources {
		if s == nil {
			return fmt.Errorf("a source of keys is null")
		}
		for _, next := range append(s.Next[:], s.Least) {
			if next > maxHanded {
				return fmt.Errorf("%d keys were handed out", next)
			}
		}
	}
	if d.Silent != nil {
		if err := d.Silent.check(); err != nil {
			return err
		}
	}
	for _, o := range d.Locked {
		if _, err := ParseOutPoint(o); err != nil {
			return err
		}
	}
	for _, l := range d.Labels {
		if err := checkLabel(l.Label); err != nil {
			return err
		}
	}
	return nil
}

// maxSources bounds the descriptors of a wallet: each costs memory and a search.
const maxSources = 10_000

// maxHanded bounds the keys of one branch: each costs memory and a search.
const maxHanded = 10_000_000

// label is the one of a type and reference, or empty.
func (d *watchDoc) label(kind, ref string) string {
	if i, ok := d.labelAt(kind, ref); ok {
		return d.Labels[i].Label
	}
	return ""
}

func (d *watchDoc) labelAt(kind, ref string) (int, bool) {
	return slices.BinarySearchFunc(d.Labels, Label{Type: kind, Ref: ref}, compareLabels)
}

func compareLabels(a, b Label) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Ref, b.Ref))
}

func (d *watchDoc) sortLabels() { slices.SortFunc(d.Labels, compareLabels) }

// setLabel sets a label, or removes it if it is empty. It reports whether
// anything has changed.
func (d *watchDoc) setLabel(kind, ref, label string) bool {
	i, have := d.labelAt(kind, ref)
	switch {
	case have && label == "":
		d.Labels = slices.Delete(d.Labels, i, i+1)
	case have && d.Labels[i].Label == label, !have && label == "":
		return false
	case have:
		d.Labels[i].Label = label
	default:
		d.Labels = slices.Insert(d.Labels, i, Label{kind, ref, label})
	}
	return true
}
