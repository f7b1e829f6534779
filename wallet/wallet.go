package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/silent"
)

// Kinds of errors of a wallet.
var (
	ErrNoWatch = errors.New("the watch file is missing")
	ErrLabel   = errors.New("not a usable label")
	ErrGap     = errors.New("a restore from the words would not find it")
)

// Wallet is an open wallet. It holds the lock of its files until Release or
// Close, and then knows what was known until then. It is for one goroutine.
type Wallet struct {
	spec    *consensus.Spec
	files   Files
	locked  *os.File // nil while the lock is released
	kept    bool     // see Keep
	net     descriptor.Network
	account *Account // 0 of the words; nil if there are none
	sourced []*source
	// selected is the account that is shown alone, see SelectAccount.
	selected *uint32
	now      func() time.Time

	doc      *watchDoc
	docDirty bool // doc differs from the file
	docSaved int  // so many sources are in the file
	rewrite  bool // the journal has entries that must not be there any more

	*knowledge
	file    *journalFile
	unsaved []event // what has changed since the journal file was written
	stale   bool    // something has changed since verdicts and windows were worked out

	receiver     *silent.Receiver // of silent payments; nil if the watch file has no keys for them
	scanner      *silent.Scanner  // made when it is wanted
	silentMissed bool             // they were not looked for at the last sync, as the node does not tell what finds them

	verdicts map[*record]verdict // of the transactions in no block
	loaded   bool                // the node's mempool was complete when it was last asked
	notices  []string
	held     map[consensus.OutPoint]bool // coins that are not to be spent, until the wallet is closed
	touched  []consensus.Hash            // see Touched
}

// newWallet takes over the lock. begin reads the journal.
func newWallet(files Files, spec *consensus.Spec, doc *watchDoc, locked *os.File) *Wallet {
	return &Wallet{spec: spec, files: files, locked: locked, doc: doc, net: descriptor.NetworkOf(spec), now: time.Now, file: newJournalFile(files.Journal)}
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
	w := newWallet(files, spec, nil, locked)
	if w.doc, err = loadWatch(files.Watch, spec); err == nil {
		err = w.begin(ctx, false)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if !secret && !w.doc.WatchOnly {
		w.notice("%s is missing: nothing can be spent until `lode wallet restore` has made it anew from the words", files.Secret)
	}
	return w, nil
}

// begin derives the keys and reads the journal, or begins one. fresh says that
// there is none yet, which else is worth a word.
func (w *Wallet) begin(ctx context.Context, fresh bool) error {
	w.knowledge, w.unsaved, w.stale, w.sourced, w.account = newKnowledge(newKeyring()), nil, true, nil, nil
	for _, doc := range w.doc.Sources {
		s, err := w.addSource(doc)
		if err != nil {
			return damagedWatch(w.files.Watch, err)
		}
		if s.Account != nil && *s.Account == 0 {
			if w.account, err = accountOf(s, w.spec); err != nil {
				return damagedWatch(w.files.Watch, err)
			}
		}
	}
	if err := w.beginSilent(); err != nil {
		return damagedWatch(w.files.Watch, err)
	}
	if !fresh {
		w.docSaved = len(w.doc.Sources)
	}
	damage, err := w.file.load(w.expect, w.apply)
	switch {
	case err == nil && w.identity != w.identify():
		return fmt.Errorf("%s belongs to another wallet than %s: move it away, and the blocks are scanned anew", w.files.Journal, w.files.Watch)
	case err == nil && damage != nil:
		err = w.salvage(damage)
	case errors.Is(err, os.ErrNotExist):
		if !fresh {
			w.notice("%s is not there: the blocks are scanned anew from height %d; payments that are in no block yet are known only if the node has them", w.files.Journal, w.doc.Start.Height)
		}
		err = w.beginJournal()
	case err != nil:
		return fmt.Errorf("%s is %w (%w): move it away, and the blocks are scanned anew; payments that are in no block yet are then known only if the node has them", w.files.Journal, ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	w.refresh()
	return w.widen(ctx)
}

// beginJournal makes the first entries of a journal that is not there.
func (w *Wallet) beginJournal() error {
	id := w.identify()
	w.do(event{kind: evIdentity, raw: id[:]})
	w.do(event{kind: evStart, block: blockRef{Point: w.doc.Start}})
	return nil
}

// salvage keeps a copy of a journal of which only the beginning is whole. That
// is what was known at some time; the blocks since are scanned again.
func (w *Wallet) salvage(damage error) error {
	b, err := readFile(w.files.Journal, maxJournalSize)
	if err != nil {
		return err
	}
	spoiled := w.files.Journal + ".damaged"
	if err := writeFile(spoiled, b); err != nil {
		return err
	}
	w.notice("%s is damaged (%v) and was cut there; a copy is %s. Blocks since height %d are scanned again; a payment that was made since and is in no block is known only if the node has it",
		w.files.Journal, damage, spoiled, w.points.tip().Height)
	return w.file.replace(w.snapshot())
}

// identify is what binds a journal to its wallet: the network and the first key.
func (w *Wallet) identify() consensus.Hash { return consensus.Hash(w.doc.Identity) }

// do makes an event true and notes it for the journal. Events are made from what
// was checked: one that cannot be is a mistake of this program.
func (w *Wallet) do(e event) {
	if err := w.apply(&e); err != nil {
		panic("wallet: " + err.Error())
	}
	w.touch(&e)
	e.raw = bytes.Clone(e.raw)
	w.unsaved = append(w.unsaved, e)
	w.stale = true
}

// notice keeps a line for whoever uses the wallet.
func (w *Wallet) notice(format string, args ...any) {
	w.notices = append(w.notices, fmt.Sprintf(format, args...))
}

// refresh works out the states of all transactions and the windows of all keys.
func (w *Wallet) refresh() {
	if !w.stale {
		return
	}
	w.verdicts = w.journal.judge()
	w.keys.recount(w.journal)
	w.stale = false
}

// Close saves nothing and lets go of the wallet.
func (w *Wallet) Close() error {
	if w.locked == nil {
		return nil
	}
	locked := w.locked
	w.locked = nil
	if w.kept {
		w.kept = false
		return errors.Join(locked.Truncate(0), locked.Close())
	}
	return locked.Close()
}

// Release saves the wallet and lets others use it, while its owner is asked
// something. What is known of it stays, until Acquire.
func (w *Wallet) Release() error { return errors.Join(w.Save(), w.Close()) }

// Acquire takes the lock again, and up what others have changed meanwhile.
func (w *Wallet) Acquire(ctx context.Context) error {
	locked, err := w.files.lock(ctx, lockPatience)
	if err != nil {
		return err
	}
	w.locked = locked
	return w.reload(ctx)
}

func (w *Wallet) reload(ctx context.Context) (err error) {
	if w.doc, err = loadWatch(w.files.Watch, w.spec); err == nil {
		w.docDirty = false
		err = w.begin(ctx, false)
	}
	return err
}

// Revert forgets what has changed since the wallet was saved.
func (w *Wallet) Revert() error {
	if !w.docDirty && len(w.unsaved) == 0 {
		return nil
	}
	return w.reload(context.Background())
}

// Save writes what has changed: first what was seen, then what the owner said.
// Neither needs the other to make sense, but for keys, whose source must be there.
func (w *Wallet) Save() error {
	if w.locked == nil && (len(w.unsaved) > 0 || w.docDirty) {
		return errors.New("the wallet was released: what has changed since is not saved")
	}
	if w.docDirty && len(w.doc.Sources) > w.docSaved {
		if err := w.saveDoc(); err != nil {
			return err
		}
	}
	if len(w.unsaved) > 0 || w.rewrite {
		var err error
		if w.rewrite || w.file.size == 0 || w.file.grown() {
			err = w.file.replace(w.snapshot())
		} else {
			err = w.file.append(w.unsaved)
		}
		if err != nil {
			return err
		}
		w.unsaved, w.rewrite = nil, false
	}
	if !w.docDirty {
		return nil
	}
	return w.saveDoc()
}

func (w *Wallet) saveDoc() error {
	b, err := w.doc.encode()
	if err == nil {
		err = writeFile(w.files.Watch, b)
	}
	if w.docDirty = err != nil; err == nil {
		w.docSaved = len(w.doc.Sources)
	}
	return err
}

// Account is the public side of account 0 of the words; nil if the wallet has none.
func (w *Wallet) Account() *Account { return w.account }

// Gap is how many keys in a row may be unused: a restore needs as much.
func (w *Wallet) Gap() uint32 { return w.doc.Gap }

// Scanned gives the range of blocks that the wallet knows.
func (w *Wallet) Scanned() (first, tip Point) { return w.start, w.points.tip() }

// branch is role, for a wallet that is known to have one.
func (w *Wallet) branch(chain uint32) *branch {
	b, err := w.role(chain)
	if err != nil {
		panic("wallet: " + err.Error())
	}
	return b
}

// derive derives the keys that the windows want. They are yet to be looked for in
// what was scanned: in earlier blocks, and in the one that is being scanned. Many keys
// take long, above all those of several owners: if ctx ends, the next time goes on.
func (w *Wallet) derive(ctx context.Context) error {
	for _, b := range w.keys.branches {
		b.count()
		want := b.want()
		if want == uint32(len(b.keys)) {
			continue
		}
		w.do(event{kind: evLookBack, block: blockRef{Point: w.start}})
		for i := uint32(len(b.keys)); i < want; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			key, err := b.source.OutputKey(KeyPath{b.id.chain, i})
			if err != nil {
				return err
			}
			w.do(event{kind: evKey, branch: b.id, raw: key[:]})
		}
	}
	return nil
}

// widen is derive while no block is being scanned: if none was at all, there is
// nothing to look at again.
func (w *Wallet) widen(ctx context.Context) error {
	if err := w.derive(ctx); err != nil || w.points.tip() != w.start {
		return err
	}
	for _, b := range w.keys.all() {
		if int(b.looked) < len(b.keys) {
			w.do(event{kind: evLooked, branch: b.id, n: uint64(len(b.keys))})
		}
	}
	return nil
}

// setGap widens what counts, for a restore too.
func (w *Wallet) setGap(gap uint32) {
	w.doc.Gap, w.docDirty, w.stale = gap, true, true
	for _, b := range w.keys.branches {
		b.window.gap = gap
	}
}

// maxLabel is in bytes.
const maxLabel = 200

func checkLabel(s string) error {
	if len(s) > maxLabel || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: want at most %d bytes of text in one line", ErrLabel, maxLabel)
	}
	return nil
}
