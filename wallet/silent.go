package wallet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/silent"
)

// Silent payments (BIP352) come to keys that no one can derive in advance: each follows from
// the transaction that pays it. They are a source of keys of its own, whose keys are facts:
// what was found is kept in the journal, with what its private key needs. All else (coins,
// history, reorganizations, spending) treats them as any other key.
//
// The silent keys of a wallet are those of account 0 of its words: the scan key at
// m/352'/coin'/0'/1'/0, the spend key at m/352'/coin'/0'/0'/0. The private scan key and the
// public spend key stand in the watch file, so that looking for payments needs no passphrase.

// silentSource is the source of the keys that silent payments were found at.
const silentSource = math.MaxUint32

// silentPrefix begins the names of its keys.
const silentPrefix = "silent/"

// maxSilentLabels is how many labels there are. All of them are always looked for, so that
// neither a restore nor the order of payments matters.
const maxSilentLabels = 1_000

// silentPurpose is the first step of the paths (BIP352).
const silentPurpose = 352

// The chains below an account.
const (
	silentSpendChain = 0
	silentScanChain  = 1
)

// silentDoc is what the watch file has of silent payments.
type silentDoc struct {
	Scan   consensus.HexBytes `json:"scan_key"`  // private, 32 bytes: who has it sees every payment, and spends none
	Spend  consensus.HexBytes `json:"spend_key"` // public, 33 bytes
	Use    silentUse          `json:"use"`
	Labels uint32             `json:"labels"` // that were handed out: 1 to so many
}

// silentUse is what is known of the addresses that were handed out.
type silentUse string

const (
	silentUnused  silentUse = "none"    // none was, as the words are new
	silentUnknown silentUse = "unknown" // perhaps one was, as the words are older than the wallet
	silentGiven   silentUse = "given"
)

// check looks for what this program never writes.
func (d *silentDoc) check() error {
	if len(d.Scan) != 32 || len(d.Spend) != 33 || d.Labels > maxSilentLabels {
		return errors.New("its keys of silent payments make no sense")
	}
	if d.Use != silentUnused && d.Use != silentUnknown && d.Use != silentGiven {
		return fmt.Errorf("silent addresses are of use %.20q", d.Use)
	}
	_, err := d.receiver()
	return err
}

func (d *silentDoc) receiver() (*silent.Receiver, error) {
	return silent.NewReceiver([32]byte(d.Scan), silent.PublicKey(d.Spend))
}

// silentKeys are the private scan and spend keys.
func (s *Secret) silentKeys() (scan, spend *btcec.PrivateKey, err error) {
	master, err := s.master([4]byte{}) // no key is written, so that versions do not matter
	if err != nil {
		return nil, nil, err
	}
	defer master.Zero()
	derive := func(chain uint32) (*btcec.PrivateKey, error) {
		key := master
		for _, step := range []uint32{
			hdkeychain.HardenedKeyStart + silentPurpose, hdkeychain.HardenedKeyStart + s.CoinType, hdkeychain.HardenedKeyStart,
			hdkeychain.HardenedKeyStart + chain, 0,
		} {
			if key, err = key.Derive(step); err != nil {
				return nil, fmt.Errorf("deriving the keys of silent payments: %w", err)
			}
			defer key.Zero()
		}
		return key.ECPrivKey()
	}
	if scan, err = derive(silentScanChain); err == nil {
		spend, err = derive(silentSpendChain)
	}
	return scan, spend, err
}

// addSilent adds the keys of silent payments to a watch file, if there are words that they come
// from. known says that these are older than the wallet, so that addresses may have been given
// out.
func (d *watchDoc) addSilent(s *Secret, known bool) error {
	if s.Mnemonic == "" {
		return nil
	}
	scan, spend, err := s.silentKeys()
	if err != nil {
		return err
	}
	defer spend.Zero()
	defer scan.Zero()
	d.Silent = &silentDoc{Scan: scan.Serialize(), Spend: spend.PubKey().SerializeCompressed(), Use: silentUnused}
	if known {
		d.Silent.Use = silentUnknown
	}
	return nil
}

// silentKey is what was found out about a key of silentSource.
type silentKey struct {
	tweak [32]byte // see silent.SpendKey
	label uint32   // or noSilentLabel
}

const noSilentLabel = math.MaxUint32

// silentKeys are those that were found, in the order in which they were.
type silentKeys struct {
	spend silent.PublicKey // zero if the watch file has none
	list  []silentKey
}

// OutputKey derives a key anew.
func (k *silentKeys) OutputKey(p KeyPath) (key [32]byte, err error) {
	if p.Chain != 0 || uint64(p.Index) >= uint64(len(k.list)) || k.spend == (silent.PublicKey{}) {
		return key, fmt.Errorf("key %s: no silent payment has come to it", p)
	}
	return silent.OutputKey(k.spend, k.list[p.Index].tweak)
}

// encodeSilentKey is how the journal has a key that was found: the output key, its tweak, and
// the number of its label.
func encodeSilentKey(f *silent.Found) []byte {
	label := uint32(noSilentLabel)
	if f.Labelled {
		label = f.Label
	}
	b := append(append(make([]byte, 0, silentKeySize), f.Key[:]...), f.Tweak[:]...)
	return binary.LittleEndian.AppendUint32(b, label)
}

const silentKeySize = 32 + 32 + 4

// applySilentKey takes up a key that was found.
func (k *knowledge) applySilentKey(raw []byte) {
	k.silent.list = append(k.silent.list, silentKey{[32]byte(raw[32:64]), le.Uint32(raw[64:])})
	k.keys.append(k.keys.silent, [32]byte(raw[:32]))
}

// encoded is the inverse of applySilentKey.
func (k *silentKeys) encoded(i int, key [32]byte) []byte {
	b := append(append(make([]byte, 0, silentKeySize), key[:]...), k.list[i].tweak[:]...)
	return binary.LittleEndian.AppendUint32(b, k.list[i].label)
}

// ErrNoSilent is the kind of the error for a wallet whose watch file has no keys of silent
// payments yet: AddSilent adds them.
var ErrNoSilent = errors.New("the watch file has no keys of silent payments yet")

// HasSilent reports whether the watch file has the keys of silent payments. Those of before
// there were any do not.
func (w *Wallet) HasSilent() bool { return w.doc.Silent != nil }

// AddSilent adds the keys of silent payments to the watch file. Whether addresses of these
// words were handed out elsewhere is not known, so all blocks of the wallet are looked at.
func (w *Wallet) AddSilent(s *Secret) error {
	if w.doc.Silent != nil {
		return nil
	}
	if s.Mnemonic == "" {
		return errors.New("a wallet without words has no keys of silent payments")
	}
	if err := w.doc.addSilent(s, true); err != nil {
		return err
	}
	w.docDirty = true
	return w.beginSilent()
}

// beginSilent takes the keys out of the watch file.
func (w *Wallet) beginSilent() (err error) {
	w.receiver, w.scanner = nil, nil
	w.silent.spend = silent.PublicKey{}
	if w.doc.Silent == nil {
		return nil
	}
	w.silent.spend = silent.PublicKey(w.doc.Silent.Spend)
	w.receiver, err = w.doc.Silent.receiver()
	return err
}

// SilentUnknown reports whether labels may have been handed out that nobody has paid to yet and
// that this wallet does not know, as it was made from older words.
func (w *Wallet) SilentUnknown() bool {
	return w.doc.Silent != nil && w.doc.Silent.Use == silentUnknown
}

// SilentAddress is an address for silent payments.
type SilentAddress struct {
	Address string  `json:"address"`
	Label   string  `json:"label,omitempty"`
	Number  *uint32 `json:"label_number,omitempty"` // of the label (BIP352); absent without one
}

// SilentAddress hands out the address without a label, or that of a label: the same again if it
// was handed out before. All of a wallet's show that they belong together. The error is of kind
// ErrNoSilent before AddSilent.
func (w *Wallet) SilentAddress(label string) (a SilentAddress, err error) {
	if err := checkLabel(label); err != nil {
		return a, err
	}
	if w.receiver == nil {
		return a, ErrNoSilent
	}
	if w.selected != nil && *w.selected != 0 {
		return a, fmt.Errorf("account %d has no silent addresses: those of a wallet are of account 0", *w.selected)
	}
	doc := w.doc.Silent
	if label == "" {
		a = SilentAddress{Address: w.receiver.Address().Encode(w.spec.Defaults.SilentPrefix)}
	} else if a, err = w.labelled(label); err != nil {
		return a, err
	}
	if doc.Use == silentUnused { // nobody can have paid before
		w.do(event{kind: evSilentAt, block: blockRef{Point: w.points.tip()}})
	}
	if doc.Use != silentGiven {
		doc.Use, w.docDirty = silentGiven, true
	}
	return a, nil
}

// labelled finds the address of a label, or takes the next number for it.
func (w *Wallet) labelled(label string) (a SilentAddress, err error) {
	known, last, err := w.silentLabels()
	if err != nil {
		return a, err
	}
	doc := w.doc.Silent
	m, ok := known[label]
	if !ok {
		m = max(last, doc.Labels) + 1
	}
	if m > maxSilentLabels {
		return a, fmt.Errorf("%w: a wallet has at most %d silent addresses with labels", ErrLabel, maxSilentLabels)
	}
	labelled, err := w.receiver.Labelled(m)
	if err != nil {
		return a, err
	}
	text := labelled.Encode(w.spec.Defaults.SilentPrefix)
	if w.doc.setLabel(labelAddress, text, label) || m > doc.Labels {
		doc.Labels, w.docDirty = max(doc.Labels, m), true
	}
	return SilentAddress{text, label, &m}, nil
}

// silentLabels gives the numbers of the labels that the watch file has, and the last number that
// is known to have been handed out: it has a label, as after these were imported, or was paid.
func (w *Wallet) silentLabels() (known map[string]uint32, last uint32, err error) {
	for _, key := range w.silent.list {
		if key.label != noSilentLabel {
			last = max(last, key.label)
		}
	}
	prefix, wanted := w.spec.Defaults.SilentPrefix, make(map[string]string)
	for _, l := range w.doc.Labels {
		if l.Type == labelAddress && silent.Looks(prefix, l.Ref) {
			wanted[l.Ref] = l.Label
		}
	}
	delete(wanted, w.receiver.Address().Encode(prefix))
	known = make(map[string]uint32)
	for m := uint32(1); m <= maxSilentLabels && len(wanted) > 0; m++ {
		a, err := w.receiver.Labelled(m)
		if err != nil {
			return nil, 0, err
		}
		text := a.Encode(prefix)
		if label, ok := wanted[text]; ok {
			known[label], last = m, max(last, m)
			delete(wanted, text)
		}
	}
	return known, last, nil
}

// silentOf gives the silent address that a key of silentSource was paid through, and its label.
func (w *Wallet) silentOf(id KeyID) (address, label string) {
	if w.receiver == nil || uint64(id.Index) >= uint64(len(w.silent.list)) {
		return "", ""
	}
	a, m := w.receiver.Address(), w.silent.list[id.Index].label
	if m != noSilentLabel {
		var err error
		if a, err = w.receiver.Labelled(m); err != nil {
			return "", ""
		}
	}
	address = a.Encode(w.spec.Defaults.SilentPrefix)
	if label = w.doc.label(labelAddress, address); label == "" && m != noSilentLabel {
		label = fmt.Sprintf("silent label %d", m)
	}
	return address, label
}

// silentPrivateKey is that of a key that was found.
func (s *signer) silentPrivateKey(id KeyID) (*btcec.PrivateKey, error) {
	if uint64(id.Index) >= uint64(len(s.wallet.silent.list)) {
		return nil, fmt.Errorf("key %s: no silent payment has come to it", id)
	}
	if s.spend == nil {
		_, spend, err := s.secret.silentKeys()
		if err != nil {
			return nil, err
		}
		if silent.PublicKey(spend.PubKey().SerializeCompressed()) != s.wallet.silent.spend {
			return nil, fmt.Errorf("%s does not belong to %s: move the watch file away, and the next command builds it anew", s.wallet.files.Watch, s.wallet.files.Secret)
		}
		s.spend = spend
	}
	return silent.SpendKey(s.spend, s.wallet.silent.list[id.Index].tweak)
}

// silentDescriptor describes a key that was found, for who signs with descriptors.
func (s *signer) silentDescriptor(id KeyID) (*descriptor.Descriptor, error) {
	key, err := s.silentPrivateKey(id)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	const compressed = 1
	net := s.wallet.net
	return descriptor.Parse(fmt.Sprintf("rawtr(%s)", base58.CheckEncode(append(key.Serialize(), compressed), net.WIF)), net)
}

// IsSilent reports whether a silent payment has come to a key.
func (k KeyID) IsSilent() bool { return k.Source == silentSource }

// silentEntry completes the entry of an output that was paid silently, to the wallet or by it.
func (w *Wallet) silentEntry(r *record, e *Entry) {
	label := ""
	if id, ok := w.keys.find(r.tx.Out[*e.Vout].Script); ok && id.IsSilent() {
		e.Silent, label = w.silentOf(id)
	} else if a, ok := r.silent[*e.Vout]; ok {
		e.Silent = a.Encode(w.spec.Defaults.SilentPrefix)
		label = w.doc.label(labelAddress, e.Silent)
	}
	if e.Label == "" {
		e.Label = label
	}
}
