package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"lode/consensus"
)

// GapLimit is how many keys behind the last used one are watched on each chain
// (BIP44).
const GapLimit = 20

// Wallet is an open wallet: it holds the lock of its files until Close. It is
// for one goroutine.
type Wallet struct {
	spec    *consensus.Spec
	files   Files
	locked  *os.File
	account *Account
	doc     *watchDoc
	dirty   bool // doc differs from the file

	keys    map[[32]byte]KeyPath // the output keys that are watched
	watched [2]uint32            // by chain: how many

	// Derived from doc.Records.
	made   map[consensus.OutPoint]madeBy // every coin the wallet ever had in a block
	spent  map[consensus.OutPoint]bool   // those of them that are spent in a block
	used   map[KeyPath]bool              // keys seen in blocks or pending
	behind [2]uint32                     // by chain: the first index behind those
}

// madeBy names an output of a record.
type madeBy struct {
	record *Record
	*Make
}

// Kinds of errors of a wallet.
var (
	ErrNoWatch = errors.New("the watch file is missing")
	ErrLabel   = errors.New("not a usable label")
)

// CreateOptions say what wallet to make.
type CreateOptions struct {
	Mnemonic   string // checked by ParseMnemonic
	Passphrase string
	WorkFactor int
	Start      Point // a block that is older than the wallet; zero for the first one
}

// Create makes a wallet. It never overwrites one, and makes no file unless it
// can make both.
func Create(ctx context.Context, files Files, spec *consensus.Spec, o CreateOptions) (*Wallet, error) {
	if err := files.CheckNew(); err != nil {
		return nil, err
	}
	secret := newSecret(spec, o.Mnemonic)
	sealed, err := secret.seal(o.Passphrase, o.WorkFactor)
	if err != nil {
		return nil, err
	}
	doc, err := secret.watchDoc(spec, o.Start)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(files.Secret), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the wallet: %w", err)
	}
	locked, err := files.lock(ctx, lockPatience)
	if err != nil {
		return nil, err
	}
	if err = files.CheckNew(); err == nil { // another process may have been faster
		err = writeFile(files.Secret, sealed)
	}
	if err != nil {
		locked.Close()
		return nil, err
	}
	return save(newWallet(files, spec, doc, locked))
}

// Rebuild makes the watch file anew from the secret file.
func Rebuild(ctx context.Context, files Files, spec *consensus.Spec, passphrase string) (*Wallet, error) {
	secret, err := files.OpenSecret(spec, passphrase)
	if err != nil {
		return nil, err
	}
	doc, err := secret.watchDoc(spec, Point{})
	if err != nil {
		return nil, err
	}
	locked, err := files.lock(ctx, lockPatience)
	if err != nil {
		return nil, err
	}
	if _, watch, err := files.exist(); err != nil || watch {
		locked.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is %w", files.Watch, ErrExists))
	}
	return save(newWallet(files, spec, doc, locked))
}

// save is the last step of making a wallet.
func save(w *Wallet, err error) (*Wallet, error) {
	if err != nil {
		return nil, err
	}
	w.dirty = true
	if err := w.Save(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (s *Secret) watchDoc(spec *consensus.Spec, start Point) (*watchDoc, error) {
	keys, err := newSigner(s.Mnemonic, s.CoinType)
	if err != nil {
		return nil, err
	}
	if start == (Point{}) {
		start = Point{0, spec.Rules.GenesisHash()}
	}
	return newWatchDoc(spec, keys.public, start), nil
}

// Open opens a wallet of this network by its watch file.
func Open(ctx context.Context, files Files, spec *consensus.Spec) (*Wallet, error) {
	secret, watch, err := files.exist()
	switch {
	case err != nil:
		return nil, err
	case !watch && secret:
		return nil, fmt.Errorf("wallet %s: %w at %s", files.Secret, ErrNoWatch, files.Watch)
	case !watch:
		return nil, files.missing(os.ErrNotExist)
	}
	locked, err := files.lock(ctx, lockPatience)
	if err != nil {
		return nil, err
	}
	doc, err := loadWatch(files.Watch, spec)
	if err != nil {
		locked.Close()
		return nil, err
	}
	return newWallet(files, spec, doc, locked)
}

// newWallet takes over the lock.
func newWallet(files Files, spec *consensus.Spec, doc *watchDoc, locked *os.File) (*Wallet, error) {
	account, err := ParseAccount(doc.XPub, doc.Fingerprint, spec.Defaults.CoinType)
	w := &Wallet{spec: spec, files: files, locked: locked, account: account, doc: doc, keys: make(map[[32]byte]KeyPath)}
	if err == nil {
		w.reindex()
		_, err = w.widen()
	}
	if err != nil {
		locked.Close()
		return nil, damagedWatch(files.Watch, err)
	}
	return w, nil
}

// Close lets go of the wallet. It does not save.
func (w *Wallet) Close() error { return w.locked.Close() }

// Save writes the watch file if anything has changed.
func (w *Wallet) Save() error {
	if !w.dirty {
		return nil
	}
	b, err := json.MarshalIndent(w.doc, "", " ")
	if err != nil {
		return err
	}
	if err := writeFile(w.files.Watch, append(b, '\n')); err != nil {
		return err
	}
	w.dirty = false
	return nil
}

// Account is the public side of the keys.
func (w *Wallet) Account() *Account { return w.account }

// Scanned gives the range of blocks that the wallet knows.
func (w *Wallet) Scanned() (first, tip Point) { return w.doc.Start, w.doc.tip() }

// reindex derives the coins and the used keys from the records.
func (w *Wallet) reindex() {
	w.made = make(map[consensus.OutPoint]madeBy)
	w.spent = make(map[consensus.OutPoint]bool)
	w.used = make(map[KeyPath]bool)
	w.behind = [2]uint32{}
	for _, r := range w.doc.Records {
		w.index(r)
	}
	w.markUsed(w.doc.Pending)
}

// index adds one record from a block.
func (w *Wallet) index(r *Record) {
	for i := range r.Makes {
		w.made[consensus.OutPoint{TxID: r.TxID, Index: r.Makes[i].Index}] = madeBy{r, &r.Makes[i]}
	}
	for _, s := range r.Spends {
		w.spent[s.outPoint()] = true
	}
	w.markUsed([]*Record{r})
}

func (w *Wallet) markUsed(records []*Record) {
	for _, r := range records {
		for _, m := range r.Makes {
			w.used[m.Path] = true
			w.behind[m.Path.Chain] = max(w.behind[m.Path.Chain], m.Path.Index+1)
		}
	}
}

// next is the first index of a chain behind every key that was handed out or
// used.
func (w *Wallet) next(chain uint32) uint32 { return max(w.doc.Next[chain], w.behind[chain]) }

// widen derives keys until GapLimit unused ones are watched on both chains. It
// reports whether there were any to derive.
func (w *Wallet) widen() (widened bool, err error) {
	for chain := range uint32(len(w.watched)) {
		for want := w.next(chain) + GapLimit; w.watched[chain] < want; w.watched[chain]++ {
			path := KeyPath{chain, w.watched[chain]}
			key, err := w.account.OutputKey(path)
			if err != nil {
				return widened, err
			}
			w.keys[key] = path
			widened = true
		}
	}
	return widened, nil
}

// Address is an address of the wallet.
type Address struct {
	Address string  `json:"address"`
	Path    KeyPath `json:"-"`
	Label   string  `json:"label"`
	Used    bool    `json:"used"`
	Gap     uint32  `json:"-"` // unused addresses before it, counted from the last used one
}

// Address describes a key.
func (w *Wallet) Address(p KeyPath) (Address, error) {
	key, err := w.account.OutputKey(p)
	if err != nil {
		return Address{}, err
	}
	a := Address{Address: consensus.Address(w.spec.Defaults.AddressPrefix, key), Path: p, Label: w.doc.Labels[p], Used: w.used[p]}
	for i := p.Index; i > 0 && !w.used[KeyPath{p.Chain, i - 1}]; i-- {
		a.Gap++
	}
	return a, nil
}

// Receive gives the first receive address that nobody has paid to, as far as
// the wallet has seen, and labels it if a label is given. One that carries
// another label was given to somebody and is passed over.
func (w *Wallet) Receive(label string) (Address, error) {
	for i := uint32(0); ; i++ {
		p := KeyPath{ReceiveChain, i}
		if have := w.doc.Labels[p]; !w.used[p] && (label == "" || have == "" || have == label) {
			return w.handOut(p, label)
		}
	}
}

// ReceiveNew gives a receive address that was never handed out.
func (w *Wallet) ReceiveNew(label string) (Address, error) {
	return w.handOut(KeyPath{ReceiveChain, w.next(ReceiveChain)}, label)
}

func (w *Wallet) handOut(p KeyPath, label string) (Address, error) {
	if err := checkLabel(label); err != nil {
		return Address{}, err
	}
	if label != "" && w.doc.Labels[p] != label {
		w.doc.Labels[p] = label
		w.dirty = true
	}
	if next := &w.doc.Next[p.Chain]; *next <= p.Index {
		*next = p.Index + 1
		w.dirty = true
	}
	return w.Address(p)
}

// maxLabel is in bytes.
const maxLabel = 200

func checkLabel(s string) error {
	if len(s) > maxLabel || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: want at most %d bytes of text in one line", ErrLabel, maxLabel)
	}
	return nil
}

// Addresses gives the receive addresses that were handed out or used.
func (w *Wallet) Addresses() ([]Address, error) {
	list := make([]Address, w.next(ReceiveChain))
	for i := range list {
		var err error
		if list[i], err = w.Address(KeyPath{ReceiveChain, uint32(i)}); err != nil {
			return nil, err
		}
	}
	return list, nil
}
