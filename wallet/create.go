package wallet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"lode/consensus"
	"lode/internal/syncdir"
	"lode/wallet/descriptor"
)

// CreateOptions say what wallet to make.
type CreateOptions struct {
	Mnemonic   string // checked by ParseMnemonic; empty for a wallet of descriptors
	Extra      string // the passphrase of BIP39, without which the words lead elsewhere
	WatchOnly  bool   // it is to have no private keys, and so neither words nor a passphrase
	Passphrase string
	Plain      bool // without a passphrase, where the network is a playground
	WorkFactor int
	Start      Point  // a block that is older than the wallet; zero for the first one
	Gap        uint32 // 0 means DefaultGap

	known bool // the words are older than the wallet
}

// Prepared is a wallet that is on disk with all that it needs, under another
// name: so that its words are shown only if it can be kept, and it is kept only
// if they could be shown.
type Prepared struct {
	files   Files
	spec    *consensus.Spec
	locked  *os.File
	wallet  *Wallet
	watched bool        // there was a watch file of these keys before
	renames [][2]string // from the names that the files have to those that Keep gives them
}

// Prepare makes a wallet and never overwrites one. It is kept by Keep.
func Prepare(ctx context.Context, files Files, spec *consensus.Spec, o CreateOptions) (*Prepared, error) {
	if err := files.CheckNew(); err != nil {
		return nil, err
	}
	return prepare(ctx, files, spec, o)
}

// PrepareRestore is Prepare from words that were there before. A watch file
// without its secret file is taken up with its labels and its history, if it
// belongs to these words.
func PrepareRestore(ctx context.Context, files Files, spec *consensus.Spec, o CreateOptions) (*Prepared, error) {
	if err := files.CheckRestore(); err != nil {
		return nil, err
	}
	o.known = true
	return prepare(ctx, files, spec, o)
}

// Create is Prepare and Keep.
func Create(ctx context.Context, files Files, spec *consensus.Spec, o CreateOptions) (*Wallet, error) {
	p, err := Prepare(ctx, files, spec, o)
	if err != nil {
		return nil, err
	}
	return p.Keep()
}

func prepare(ctx context.Context, files Files, spec *consensus.Spec, o CreateOptions) (p *Prepared, err error) {
	secret := newSecret(spec, o.Mnemonic, o.Extra)
	var sealed []byte
	switch {
	case o.WatchOnly:
	case o.Plain && o.Passphrase == "" && spec.Defaults.Playground:
		sealed, err = secret.sealPlain()
	default:
		sealed, err = secret.seal(o.Passphrase, o.WorkFactor)
	}
	if err != nil {
		return nil, err
	}
	doc, err := secret.watchDoc(spec, o)
	if err != nil {
		return nil, err
	}
	if err := doc.addSilent(secret, o.known); err != nil {
		return nil, err
	}
	dir := filepath.Dir(files.Secret)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the wallet: %w", err)
	}
	p = &Prepared{files: files, spec: spec}
	if p.locked, err = files.lock(ctx, lockPatience); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Drop()
			p = nil
		}
	}()
	if err = files.CheckRestore(); err != nil { // another process may have been faster
		return p, err
	}
	if !o.WatchOnly {
		if err = p.write(files.Secret, sealed); err != nil {
			return p, err
		}
	}
	if _, p.watched, err = files.exist(); err != nil {
		return p, err
	}
	if p.watched {
		return p, p.adopt(ctx, doc, o.Gap)
	}
	p.wallet = newWallet(files, spec, doc, p.locked)
	if err = p.wallet.begin(ctx, true); err != nil {
		return p, err
	}
	watch, err := doc.encode()
	if err == nil {
		err = p.write(files.Watch, watch)
	}
	if err == nil {
		err = p.write(files.Journal, p.wallet.file.whole(p.wallet.snapshot()))
	}
	p.wallet.unsaved = nil
	return p, err
}

func (p *Prepared) write(path string, content []byte) error {
	temp, err := writeTemp(path, content)
	if err == nil {
		p.renames = append(p.renames, [2]string{temp, path})
	}
	return err
}

// adopt opens the watch file that is there.
func (p *Prepared) adopt(ctx context.Context, doc *watchDoc, gap uint32) error {
	have, err := loadWatch(p.files.Watch, p.spec)
	if err != nil {
		return err
	}
	if !slices.Equal(have.Identity, doc.Identity) {
		return fmt.Errorf("%s is %w, of another wallet than these words: give another --name, or move it away", p.files.Watch, ErrExists)
	}
	p.wallet = newWallet(p.files, p.spec, have, p.locked)
	if gap > have.Gap {
		have.Gap, p.wallet.docDirty = gap, true
	}
	if have.Silent == nil && doc.Silent != nil {
		have.Silent, p.wallet.docDirty = doc.Silent, true
	}
	return p.wallet.begin(ctx, false)
}

// Watched reports whether there was a watch file of these keys before.
func (p *Prepared) Watched() bool { return p.watched }

// Keep gives the files their names, the secret one first, if there is one: without
// the others it is a wallet, which they are not without it. The wallet holds the
// lock.
func (p *Prepared) Keep() (*Wallet, error) {
	for len(p.renames) > 0 {
		if err := os.Rename(p.renames[0][0], p.renames[0][1]); err != nil {
			return nil, errors.Join(fmt.Errorf("the wallet could not be kept: %w", err), p.Drop())
		}
		p.renames = p.renames[1:]
	}
	err := syncdir.Sync(filepath.Dir(p.files.Secret))
	if err == nil {
		err = p.wallet.Save()
	}
	if err != nil {
		return nil, errors.Join(err, p.wallet.Close())
	}
	return p.wallet, nil
}

// Drop leaves nothing behind of a wallet that was not kept.
func (p *Prepared) Drop() error {
	var errs []error
	for _, r := range p.renames {
		errs = append(errs, os.Remove(r[0]))
	}
	return errors.Join(append(errs, p.locked.Close())...)
}

// Rebuild makes the watch file anew from the secret file.
func Rebuild(ctx context.Context, files Files, spec *consensus.Spec, passphrase string) (*Wallet, error) {
	secret, err := files.OpenSecret(spec, passphrase)
	if err != nil {
		return nil, err
	}
	doc, err := secret.watchDoc(spec, CreateOptions{})
	if err != nil {
		return nil, err
	}
	if err := doc.addSilent(secret, true); err != nil {
		return nil, err
	}
	locked, err := files.lock(ctx, lockPatience)
	if err != nil {
		return nil, err
	}
	w := newWallet(files, spec, doc, locked)
	if _, watch, err := files.exist(); err != nil || watch {
		return nil, errors.Join(err, fmt.Errorf("%s is %w", files.Watch, ErrExists), w.Close())
	}
	w.docDirty = true
	if err = w.begin(ctx, false); err == nil {
		err = w.Save()
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.notice("%s was missing and is built anew; labels, and the gap if it was wider than %d, are lost", files.Watch, DefaultGap)
	return w, nil
}

// watchDoc is the watch file of a new wallet.
func (s *Secret) watchDoc(spec *consensus.Spec, o CreateOptions) (*watchDoc, error) {
	if o.Start == (Point{}) {
		o.Start = Point{0, spec.Rules.GenesisHash()}
	}
	if o.Gap == 0 {
		o.Gap = DefaultGap
	}
	if o.Gap > MaxGap {
		return nil, fmt.Errorf("a gap of %d: want at most %d", o.Gap, MaxGap)
	}
	doc := newWatchDoc(spec, o.Gap, o.Start)
	if doc.WatchOnly = o.WatchOnly; o.WatchOnly && s.Mnemonic != "" {
		return nil, errors.New("a wallet that only watches has no words")
	}
	if s.Mnemonic == "" { // of descriptors, which may be any
		doc.Identity = s.Identity
		return doc, s.addSources(spec, doc)
	}
	account, err := s.account(spec, 0)
	if err != nil {
		return nil, err
	}
	doc.addAccount(spec, account)
	return doc, s.addSources(spec, doc)
}

// addSources adds the descriptors that were imported with private keys: a watch
// file that is built anew has them, watched and not active.
func (s *Secret) addSources(spec *consensus.Spec, doc *watchDoc) error {
	net := descriptor.NetworkOf(spec)
	for _, text := range s.Descriptors {
		d, err := descriptor.Parse(text, net)
		if err == nil {
			d, err = d.Normalized()
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		doc.Sources = append(doc.Sources, &sourceDoc{Descriptor: d.String()})
	}
	return nil
}

// Account is the public side of account 0 of the words; nil if there are none.
func (p *Prepared) Account() *Account { return p.wallet.account }
