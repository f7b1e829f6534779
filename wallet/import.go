package wallet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lode/wallet/descriptor"
)

// ErrImport is the kind of the error for a descriptor that a wallet cannot take.
var ErrImport = errors.New("the descriptor cannot be imported")

// ImportOptions say how a descriptor is to be imported.
type ImportOptions struct {
	// Descriptor may have private keys: Secret is then what was decrypted, to which
	// they are added, and which the caller is to seal before the wallet is saved.
	Descriptor *descriptor.Descriptor
	Secret     *Secret

	Active   bool   // new addresses come from it, and no more from what they came from
	Internal bool   // these are change addresses; a descriptor of two has both
	Next     uint32 // the first index that was never handed out
	Least    uint32 // so many keys count, even if none was handed out or paid
	Label    string // of the address; only for one without a range
	Created  time.Time
	// Fresh says that nothing in the blocks that were scanned pays it, so that they
	// are not looked at again.
	Fresh bool
}

// Import adds a descriptor to the wallet, or changes what is said of one that it
// has. What pays it in blocks that were scanned is found by the next Sync, and in
// older ones by Rescan. After an error, as when ctx ends, the caller is to Revert.
func (w *Wallet) Import(ctx context.Context, o ImportOptions) error {
	d := o.Descriptor
	if err := d.Usable(); err != nil {
		return err
	}
	if err := w.checkImport(&o); err != nil {
		return err
	}
	normal, err := d.Normalized()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrImport, err)
	}
	private := d.IsPrivate()
	if private {
		if err := o.Secret.addDescriptor(d); err != nil {
			return err
		}
	}
	ids, err := w.importInto(normal, &o)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s := w.sourced[id.source]
		s.Watched = s.Watched && (!private || shared(d))
		s.Least = max(s.Least, min(o.Least, maxHanded))
		w.activate(s, id.chain, o.Active)
		s.Next[id.chain] = max(s.Next[id.chain], min(o.Next, maxHanded))
		b, _ := w.keys.branch(id)
		b.window = s.windowOf(id.chain, w.doc.Gap)
		b.window.use = make([]keyUse, len(b.keys))
	}
	w.docDirty, w.stale = true, true
	if o.Label != "" {
		address, err := normal.Address(0)
		if err != nil {
			return err
		}
		w.doc.setLabel(labelAddress, address, o.Label)
	}
	w.refresh()
	if err := w.widen(ctx); err != nil || !o.Fresh {
		return err
	}
	for _, id := range ids {
		if b, _ := w.keys.branch(id); int(b.looked) < len(b.keys) {
			w.do(event{kind: evLooked, branch: b.id, n: uint64(len(b.keys))})
		}
	}
	return nil
}

// importInto gives the branches that a descriptor is about: those that the wallet
// has, or those of a new source.
func (w *Wallet) importInto(normal *descriptor.Descriptor, o *ImportOptions) (ids []branchID, err error) {
	list := normal.Expand()
	for _, one := range list {
		for _, b := range w.keys.branches {
			if w.sourced[b.id.source].chains[b.id.chain].String() != one.String() {
				continue
			}
			if len(list) == 1 && o.Internal != (b.id.chain == ChangeChain) {
				return nil, fmt.Errorf("%w: the wallet has it already, for the other kind of addresses", ErrImport)
			}
			ids = append(ids, b.id)
		}
	}
	if len(ids) > 0 && len(ids) < len(list) {
		return nil, fmt.Errorf("%w: the wallet has one of its two already: import the other alone", ErrImport)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	if len(w.sourced) >= maxSources {
		return nil, fmt.Errorf("%w: a wallet has at most %d", ErrImport, maxSources)
	}
	number, err := w.importNew(normal, o)
	if err != nil {
		return nil, err
	}
	for chain, one := range w.sourced[number].chains {
		if one != nil {
			ids = append(ids, branchID{number, uint32(chain)})
		}
	}
	return ids, nil
}

func (w *Wallet) checkImport(o *ImportOptions) error {
	d := o.Descriptor
	private := d.IsPrivate()
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrImport, fmt.Sprintf(format, args...))
	}
	switch {
	case private && w.doc.WatchOnly:
		return refuse("it has a private key, and this wallet is to have none")
	case private && o.Secret == nil:
		return refuse("it has a private key, which is only kept encrypted")
	case o.Active && !d.IsRange():
		return refuse("it has no range, and new addresses cannot come from one key")
	case o.Active && !d.IsSolvable():
		return refuse("addresses that nobody can sign for are not given out")
	case o.Label != "" && d.IsRange():
		return refuse("a label names one address, and it has a range of them")
	case o.Internal && d.Multipath() > 1:
		return refuse("it has both receive and change addresses")
	case o.Internal && o.Label != "":
		return refuse("change addresses have no labels")
	}
	return checkLabel(o.Label)
}

// shared reports whether a descriptor is of several owners (MuSig2): nobody spends
// its coins alone.
func shared(d *descriptor.Descriptor) bool {
	_, ok, _ := d.Expand()[0].MuSig(0)
	return ok
}

// importNew adds a source.
func (w *Wallet) importNew(normal *descriptor.Descriptor, o *ImportOptions) (number uint32, err error) {
	doc := &sourceDoc{
		Descriptor: normal.String(), Internal: o.Internal && normal.Multipath() == 1,
		Watched: !o.Descriptor.IsPrivate() || shared(o.Descriptor),
	}
	if !o.Created.IsZero() {
		doc.Created = o.Created.Unix()
	}
	for i, s := range w.sourced {
		if s.paysWith(normal) {
			return 0, fmt.Errorf("%w: the wallet has its first key already, from descriptor %d", ErrImport, i)
		}
	}
	if _, err := w.addSource(doc); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrImport, err)
	}
	w.doc.Sources = append(w.doc.Sources, doc)
	return uint32(len(w.sourced) - 1), nil
}

// paysWith reports whether a source has the first key of a descriptor: a key must
// have one name.
func (s *source) paysWith(d *descriptor.Descriptor) bool {
	for _, one := range d.Expand() {
		key, err := one.OutputKey(0)
		for _, chain := range s.chains {
			if chain != nil && err == nil {
				if have, err := chain.OutputKey(0); err == nil && have == key {
					return true
				}
			}
		}
	}
	return false
}

// activate has new addresses of a chain come from a source, or not.
func (w *Wallet) activate(s *source, chain uint32, active bool) {
	if active {
		for _, other := range w.sourced {
			if other.Account == nil || *other.Account == 0 {
				other.Active[chain] = false
			}
		}
	}
	s.Active[chain] = active
}
