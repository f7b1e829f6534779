package wallet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// sourceDoc is where keys come from, as the watch file has it: an account of the
// words, or a descriptor that was imported. Sources are numbered in the order of
// the file, and never removed.
type sourceDoc struct {
	Descriptor string    `json:"descriptor"`         // public, normalized, with its checksum
	Account    *uint32   `json:"account,omitempty"`  // of BIP86, if the words lead to it
	Internal   bool      `json:"internal,omitempty"` // its only chain gives change
	Watched    bool      `json:"watched,omitempty"`  // the wallet has no private key of it
	Active     [2]bool   `json:"active"`             // by chain: new addresses come from it
	Next       [2]uint32 `json:"next"`               // by chain: the first index that was never handed out
	Least      uint32    `json:"least,omitempty"`    // so many keys count in any case
	Created    int64     `json:"created,omitempty"`  // Unix seconds: nobody has paid it before
}

// source is a sourceDoc that was read.
type source struct {
	*sourceDoc
	whole  *descriptor.Descriptor
	chains [2]*descriptor.Descriptor // of receive and change keys; nil for one that there is not
}

// OutputKey derives a key.
func (s *source) OutputKey(p KeyPath) ([32]byte, error) {
	if p.Chain > ChangeChain || s.chains[p.Chain] == nil {
		return [32]byte{}, fmt.Errorf("key %s: there is no such chain", p)
	}
	key, err := s.chains[p.Chain].OutputKey(p.Index)
	if err != nil {
		return key, fmt.Errorf("deriving key %s: %w", p, err)
	}
	return key, nil
}

// ErrImport is the kind of the error for a descriptor that a wallet cannot take.
var ErrImport = errors.New("the descriptor cannot be imported")

// readSource reads a source of a network.
func readSource(doc *sourceDoc, net descriptor.Network) (*source, error) {
	d, err := descriptor.ParseChecked(doc.Descriptor, net)
	if err != nil {
		return nil, err
	}
	if err := d.Usable(); err != nil {
		return nil, err
	}
	s := &source{sourceDoc: doc, whole: d}
	switch list := d.Expand(); {
	case d.IsPrivate():
		return nil, errors.New("a private key stands where none belongs")
	case len(list) == 2 && !doc.Internal:
		s.chains = [2]*descriptor.Descriptor(list)
	case len(list) == 1:
		s.chains[s.onlyChain()] = d
	default:
		return nil, fmt.Errorf("%w: it stands for %d descriptors, and a wallet has receive and change addresses", ErrImport, len(list))
	}
	for chain, one := range s.chains {
		if one == nil {
			if doc.Active[chain] || doc.Next[chain] > 0 {
				return nil, errors.New("a source gives keys that it has not")
			}
		} else if _, err := one.OutputKey(0); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *source) onlyChain() uint32 {
	if s.Internal {
		return ChangeChain
	}
	return ReceiveChain
}

// windowOf says which keys of a chain count.
func (s *source) windowOf(chain uint32, gap uint32) window {
	w := window{gap: gap, handed: s.Next[chain], least: s.Least}
	if !s.chains[chain].IsRange() {
		w.most = 1
	}
	return w
}

// addSource derives the keys of one more source.
func (w *Wallet) addSource(doc *sourceDoc) (*source, error) {
	s, err := readSource(doc, w.net)
	if err != nil {
		return nil, err
	}
	number := uint32(len(w.sourced))
	w.sourced = append(w.sourced, s)
	for chain, one := range s.chains {
		if one != nil {
			w.keys.add(branchID{number, uint32(chain)}, s, s.windowOf(uint32(chain), w.doc.Gap))
		}
	}
	return s, nil
}

// role is the branch that new addresses of a kind come from: that of the account
// that was selected, or the active one. The error says what to do if there is none.
func (w *Wallet) role(chain uint32) (*branch, error) {
	for i, s := range w.sourced {
		chosen := s.Active[chain] && s.Account == nil || s.Active[chain] && *s.Account == 0
		if w.selected != nil {
			chosen = s.Account != nil && *s.Account == *w.selected
		}
		if chosen {
			return w.keys.of(KeyID{uint32(i), KeyPath{Chain: chain}}), nil
		}
	}
	return nil, fmt.Errorf("%w: import one with `lode wallet descriptor import --active`", ErrNoActive)
}

// ErrNoActive is the kind of the error of a wallet that has no descriptor to take
// new addresses from.
var ErrNoActive = errors.New("the wallet has no descriptor that gives new addresses")

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
// older ones by Rescan.
func (w *Wallet) Import(o ImportOptions) error {
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
	if err := w.widen(); err != nil || !o.Fresh {
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

// DescriptorView is a descriptor of a wallet, or one of the two that one stands
// for.
type DescriptorView struct {
	Descriptor string    `json:"descriptor"` // public, with its checksum
	Active     bool      `json:"active"`     // new addresses come from it
	Internal   bool      `json:"internal"`   // of change
	Range      bool      `json:"range"`      // it has an index
	Watched    bool      `json:"watched"`    // the wallet has no private key of it
	Account    *uint32   `json:"account,omitempty"`
	End        uint32    `json:"end"`  // the first index whose key does not count
	Next       uint32    `json:"next"` // the first index that was neither handed out nor seen
	Created    time.Time `json:"created,omitzero"`
	Source     uint32    `json:"-"`
}

// Descriptors lists the descriptors of the wallet's keys.
func (w *Wallet) Descriptors() (list []DescriptorView) {
	w.refresh()
	for _, b := range w.keys.branches {
		s := w.sourced[b.id.source]
		one := s.chains[b.id.chain]
		v := DescriptorView{
			Descriptor: one.String(), Active: s.Active[b.id.chain], Internal: b.id.chain == ChangeChain, Range: one.IsRange(),
			Watched: s.Watched, Account: s.Account, End: b.end, Next: b.window.next(), Source: b.id.source,
		}
		if s.Created > 0 {
			v.Created = time.Unix(s.Created, 0).UTC()
		}
		list = append(list, v)
	}
	return list
}

// DescriptorOf gives the descriptor of a key, which it derives at its index, and
// false if the wallet has no such source.
func (w *Wallet) DescriptorOf(id KeyID) (*descriptor.Descriptor, bool) {
	if uint64(id.Source) >= uint64(len(w.sourced)) || id.Chain > ChangeChain || w.sourced[id.Source].chains[id.Chain] == nil {
		return nil, false
	}
	return w.sourced[id.Source].chains[id.Chain], true
}

// PrivateDescriptor is the descriptor of a source with its private keys.
func (w *Wallet) PrivateDescriptor(number uint32, s *Secret) (*descriptor.Descriptor, error) {
	if uint64(number) >= uint64(len(w.sourced)) {
		return nil, fmt.Errorf("the wallet has no descriptor %d", number)
	}
	return s.privateOf(w.sourced[number], w.net)
}

// WholeDescriptors lists what Descriptors does, receive and change keys in one where
// they were so.
func (w *Wallet) WholeDescriptors() (list []string) {
	for _, s := range w.sourced {
		list = append(list, s.Descriptor)
	}
	return list
}

// PrivateDescriptors is WholeDescriptors with private keys, of those that have some.
func (w *Wallet) PrivateDescriptors(s *Secret) (list []string, err error) {
	for i, source := range w.sourced {
		if source.Watched {
			continue
		}
		d, err := w.PrivateDescriptor(uint32(i), s)
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", i, err)
		}
		list = append(list, d.Private())
	}
	return list, nil
}

// Path is where a key comes from: m/86'/1'/0'/0/5, or what its descriptor says.
func (w *Wallet) Path(id KeyID) string {
	if id.IsSilent() {
		return fmt.Sprintf("m/%d'/%d'/0'/%d'/0 and a tweak", silentPurpose, w.spec.Defaults.CoinType, silentSpendChain)
	}
	if uint64(id.Source) < uint64(len(w.sourced)) {
		if n := w.sourced[id.Source].Account; n != nil {
			return fmt.Sprintf("m/%d'/%d'/%d'/%s", purpose, w.spec.Defaults.CoinType, *n, id.KeyPath)
		}
	}
	d, ok := w.DescriptorOf(id)
	if !ok {
		return id.String()
	}
	if d.Kind() != "tr" && d.Kind() != "rawtr" {
		return d.Kind()
	}
	origins, err := d.Origins(id.Index)
	if err != nil || len(origins) != 1 {
		return fmt.Sprintf("%s/%d", d.Kind(), id.Index)
	}
	return origins[0].String()
}

// WatchOnly reports whether the wallet is to have no private keys.
func (w *Wallet) WatchOnly() bool { return w.doc.WatchOnly }

// ErrWatchOnly is the kind of the error for what wants a private key of a wallet
// that has none.
var ErrWatchOnly = errors.New("this wallet only watches: whoever has its private keys can sign what `lode wallet psbt create` makes")

// ErrNoAccount is the kind of the error for an account that the wallet does not
// know yet: AddAccount adds it.
var ErrNoAccount = errors.New("the wallet does not know this account yet")

// maxAccount bounds the numbers of accounts: a restore tries them one by one.
const maxAccount = 999

// SelectAccount has the wallet show one account of the words alone: its addresses,
// coins, balance and history, and spend its coins alone. Without it the wallet is
// account 0 and all descriptors that were imported.
func (w *Wallet) SelectAccount(n uint32) error {
	if !slices.ContainsFunc(w.sourced, func(s *source) bool { return s.Account != nil && *s.Account == n }) {
		return fmt.Errorf("account %d: %w", n, ErrNoAccount)
	}
	w.selected = &n
	return nil
}

// AddAccount adds an account of the words (BIP86). What pays it is looked for by
// the next Sync.
func (w *Wallet) AddAccount(n uint32, s *Secret) error {
	if n > maxAccount {
		return fmt.Errorf("account %d: want at most %d", n, maxAccount)
	}
	if slices.ContainsFunc(w.sourced, func(s *source) bool { return s.Account != nil && *s.Account == n }) {
		return nil
	}
	if w.doc.WatchOnly {
		return ErrWatchOnly
	}
	account, err := s.account(w.spec, n)
	if err != nil {
		return err
	}
	doc := account.sourceDoc()
	if _, err := w.addSource(doc); err != nil {
		return err
	}
	w.doc.Sources = append(w.doc.Sources, doc)
	w.docDirty, w.stale = true, true
	w.refresh()
	return w.widen()
}

// DropAccount forgets the account that was added last, if nobody has paid it: one
// that a restore has looked for in vain.
func (w *Wallet) DropAccount(n uint32) error {
	last := len(w.sourced) - 1
	if last < 1 || w.sourced[last].Account == nil || *w.sourced[last].Account != n || w.AccountUsed(n) {
		return fmt.Errorf("account %d cannot be forgotten", n)
	}
	w.sourced, w.doc.Sources = w.sourced[:last], w.doc.Sources[:last]
	w.keys.drop(uint32(last))
	w.docDirty, w.stale, w.rewrite = true, true, true
	w.refresh()
	return w.Save()
}

// AccountUsed reports whether anybody was seen to pay an account.
func (w *Wallet) AccountUsed(n uint32) bool {
	w.refresh()
	for _, b := range w.keys.branches {
		if a := w.sourced[b.id.source].Account; a == nil || *a != n {
			continue
		}
		if slices.ContainsFunc(b.window.use[:min(int(b.end), len(b.window.use))], func(u keyUse) bool { return u&useSeen != 0 }) {
			return true
		}
	}
	return false
}

// Accounts lists the accounts of the words that the wallet knows.
func (w *Wallet) Accounts() (list []uint32) {
	for _, s := range w.sourced {
		if s.Account != nil {
			list = append(list, *s.Account)
		}
	}
	slices.Sort(list)
	return list
}

// shown reports whether the keys of a source are part of what is shown, see
// SelectAccount.
func (w *Wallet) shown(number uint32) bool {
	if number == silentSource {
		return w.selected == nil || *w.selected == 0
	}
	n := w.sourced[number].Account
	if w.selected != nil {
		return n != nil && *n == *w.selected
	}
	return n == nil || *n == 0
}

// mine gives the key that a script pays, if it counts and is shown.
func (w *Wallet) mine(script []byte) (KeyID, bool) {
	id, ok := w.keys.counts(script)
	return id, ok && w.shown(id.Source)
}

// watchedAlone reports whether the coins of a source are for others to spend.
func (w *Wallet) watchedAlone(number uint32) bool {
	return number != silentSource && w.sourced[number].Watched && !w.doc.WatchOnly
}

// identityOf binds a journal to its wallet: the network and the first account. The
// account is written as Bitcoin does, whatever the network's own versions are.
func identityOf(spec *consensus.Spec, a *Account) consensus.Hash {
	id := spec.Rules.ID()
	return consensus.TaggedHash("lode/wallet", id[:], []byte(a.bitcoinXPub()))
}

// privateOf is the descriptor of a source with its private keys.
func (s *Secret) privateOf(of *source, net descriptor.Network) (*descriptor.Descriptor, error) {
	if of.Account != nil {
		text, err := s.accountDescriptor(net, *of.Account)
		if err != nil {
			return nil, err
		}
		d, err := descriptor.Parse(text, net)
		if err != nil {
			return nil, err
		}
		if d.String() != of.Descriptor {
			return nil, errOtherWords
		}
		return d, nil
	}
	for _, text := range s.Descriptors {
		d, err := descriptor.Parse(text, net)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if normal, err := d.Normalized(); err == nil && normal.String() == of.Descriptor {
			return d, nil
		}
	}
	return nil, descriptor.ErrNoPrivate
}

var errOtherWords = errors.New("the account is of other words")

// addDescriptor takes up private keys.
func (s *Secret) addDescriptor(d *descriptor.Descriptor) error {
	text := d.Private()
	if slices.Contains(s.Descriptors, text) {
		return nil
	}
	total := len(text)
	for _, have := range s.Descriptors {
		total += len(have)
	}
	if total > maxSecretSize/2 {
		return fmt.Errorf("%w: there is no room for more private keys", ErrImport)
	}
	s.Descriptors = append(s.Descriptors, text)
	return nil
}

// signer is the private side of the sources.
type signer struct {
	wallet  *Wallet
	secret  *Secret
	sources map[uint32][2]*descriptor.Descriptor // by number: those that were asked for
	spend   *btcec.PrivateKey                    // of silent payments, if it was asked for
}

func (w *Wallet) newSigner(s *Secret) *signer {
	return &signer{wallet: w, secret: s, sources: make(map[uint32][2]*descriptor.Descriptor)}
}

// descriptor is the private one of a chain.
func (s *signer) descriptor(id KeyID) (*descriptor.Descriptor, error) {
	if id.IsSilent() {
		return s.silentDescriptor(id)
	}
	chains, ok := s.sources[id.Source]
	if !ok {
		d, err := s.wallet.PrivateDescriptor(id.Source, s.secret)
		switch {
		case errors.Is(err, errOtherWords):
			return nil, fmt.Errorf("%s does not belong to %s: move the watch file away, and the next command builds it anew", s.wallet.files.Watch, s.wallet.files.Secret)
		case err != nil:
			return nil, err
		}
		if list := d.Expand(); len(list) == 2 {
			chains = [2]*descriptor.Descriptor(list)
		} else {
			chains[s.wallet.sourced[id.Source].onlyChain()] = d
		}
		s.sources[id.Source] = chains
	}
	if id.Chain > ChangeChain || chains[id.Chain] == nil {
		return nil, fmt.Errorf("key %s: the wallet has no such keys", id)
	}
	return chains[id.Chain], nil
}
