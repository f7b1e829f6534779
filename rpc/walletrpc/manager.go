package walletrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/pause"
	"lode/internal/poke"
	"lode/mempool"
	"lode/rpc"
	"lode/wallet"
)

// Config is what a Manager works with.
type Config struct {
	Spec       *consensus.Spec
	Chain      *chain.Chain
	Pool       *mempool.Pool
	Broadcast  func(txids ...consensus.Hash) // has the peers told of them, before they are submitted
	Dir        string                        // of the network: the settings file and the directory of wallets are in it
	WorkFactor int                           // of new secret files
	Now        func() time.Time              // the node's time
	Notify     string                        // a command to run for each transaction of a wallet; empty for none
	Log        *slog.Logger
}

// Manager holds the wallets of a node that are loaded.
type Manager struct {
	cfg    Config
	node   *localNode
	poked  chan struct{} // the ledger or the mempool has changed
	notify *notifier
	cancel func() // ends the subscription to the ledger

	// making is held while a new wallet is encrypted, which takes much memory.
	making sync.Mutex
	// opening counts the calls that reserve knows of.
	opening sync.WaitGroup
	// slots are taken by wallets that are read up to the tip; see follow.
	slots chan struct{}

	// saving guards settings. Their file is written under it, so that the last change is
	// what stays; nobody waits for it who does not change them.
	saving   sync.Mutex
	settings *settings

	mu      sync.Mutex // guards what follows
	wallets map[string]*open
	coming  map[string]bool // names of those that a call is about to add
	closed  bool
}

var _ rpc.Wallets = (*Manager)(nil)

// New prepares a Manager, with no wallet loaded. Close ends it.
func New(cfg Config) (*Manager, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s, err := loadSettings(filepath.Join(cfg.Dir, SettingsFile))
	if err != nil {
		return nil, err
	}
	m := &Manager{
		cfg: cfg, node: &localNode{cfg.Chain, cfg.Pool, cfg.Broadcast}, poked: poke.New(),
		wallets: make(map[string]*open), coming: make(map[string]bool), slots: make(chan struct{}, maxFollowed), settings: s, notify: newNotifier(cfg.Notify, cfg.Log),
	}
	m.cancel = cfg.Chain.Subscribe(m.poke)
	cfg.Pool.OnAccept(func(*consensus.Tx, consensus.Hash, consensus.Hash, int64) { m.poke() })
	return m, nil
}

func (m *Manager) poke() { poke.Send(m.poked) }

// LoadAll opens the wallets that are to be loaded at the start. One that cannot be
// is said in the log, and the others are loaded.
func (m *Manager) LoadAll(ctx context.Context) {
	m.saving.Lock()
	names := slices.Clone(m.settings.wallets)
	m.saving.Unlock()
	for _, name := range names {
		if _, err := m.load(ctx, name); err != nil {
			m.cfg.Log.Warn("wallet not loaded", "wallet", name, "error", err)
		}
	}
}

// Run keeps the loaded wallets up to date until ctx ends: each on its own, so that none
// waits for another that has much to read.
func (m *Manager) Run(ctx context.Context) error {
	var followers sync.WaitGroup
	defer followers.Wait()
	m.poke() // what has happened before it runs
	tip := consensus.Hash{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.poked:
		}
		if now := m.cfg.Chain.Tip().Hash; now == tip { // it is about the mempool: not for each of a thousand
			if pause.For(ctx, poolPause) != nil {
				return nil
			}
		} else {
			tip = now
		}
		for _, o := range m.all() {
			if !o.following.claim() {
				continue
			}
			followers.Go(func() {
				for again := true; again && ctx.Err() == nil; again = o.following.again() {
					if err := o.follow(ctx); err != nil && ctx.Err() == nil {
						m.cfg.Log.Warn("wallet not up to date", "wallet", o.name, "error", err)
					}
				}
			})
		}
	}
}

// Close unloads all wallets, and wipes their secrets. They are loaded again at the
// next start if they were to be.
func (m *Manager) Close() error {
	m.cancel()
	m.mu.Lock()
	m.closed = true
	list := m.wallets
	m.wallets = make(map[string]*open)
	m.mu.Unlock()
	m.opening.Wait()
	var errs []error
	for _, o := range list {
		errs = append(errs, o.close())
	}
	m.notify.close()
	return errors.Join(errs...)
}

// all lists the loaded wallets by name.
func (m *Manager) all() []*open {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*open
	for _, o := range m.wallets {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b *open) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// find gives the wallet that a call is for.
func (m *Manager) find(at rpc.WalletPath) (*open, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.Named {
		if o := m.wallets[at.Name]; o != nil {
			return o, nil
		}
		return nil, errNotLoaded
	}
	switch len(m.wallets) {
	case 0:
		return nil, fail(codeNoWallet, "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet. (Note: A default wallet is no longer automatically created)")
	case 1:
		for _, o := range m.wallets {
			return o, nil
		}
	}
	return nil, fail(codeNotSpecified, "Multiple wallets are loaded. Please select which wallet to use by requesting the RPC through the /wallet/<walletname> URI path.")
}

func (m *Manager) loaded(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wallets[name] != nil
}

func checkName(name string) error {
	if err := wallet.CheckName(name); err != nil {
		return fail(codeParameter, "The name of a wallet must have 1 to 64 letters, digits, '_' and '-': %.80q is none", name)
	}
	return nil
}

// list gives the names of the wallets in the directory.
func (m *Manager) list() (names []string, err error) {
	found, err := wallet.List(m.cfg.Dir, "", m.cfg.Spec)
	for _, l := range found {
		names = append(names, l.Name)
	}
	return names, err
}

// load opens a wallet. It is not scanned yet.
func (m *Manager) load(ctx context.Context, name string) (*open, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if m.loaded(name) {
		return nil, fail(codeAlreadyLoaded, "Wallet \"%s\" is already loaded.", name)
	}
	release, err := m.reserve(name)
	if err != nil {
		return nil, err
	}
	defer release()
	return m.loadNow(ctx, name)
}

// loadNow is load for who has reserved the name. It waits if another process has the wallet.
func (m *Manager) loadNow(ctx context.Context, name string) (*open, error) {
	files, err := wallet.NamedFiles(m.cfg.Dir, name)
	if err != nil {
		return nil, err
	}
	w, err := wallet.Open(ctx, files, m.cfg.Spec)
	switch {
	case errors.Is(err, wallet.ErrNoWallet):
		return nil, fail(codeNoWallet, "Wallet file verification failed. Failed to load database path '%s'. Path does not exist.", files.Secret)
	case errors.Is(err, wallet.ErrBusy):
		return nil, fail(codeWallet, "Wallet file verification failed. Wallet \"%s\" is in use by another process: wait until it is done.", name)
	case errors.Is(err, wallet.ErrNoWatch):
		return nil, fail(codeWallet, "Wallet file verification failed. %v: a command of `lode wallet` with the passphrase builds it anew.", err)
	case err != nil:
		return nil, fail(codeWallet, "Wallet file verification failed. %v", err)
	}
	return m.add(name, files, w)
}

// reserve keeps a place for one more wallet, before anything is read or written for it, and
// its name for this caller, until release. Nobody waits meanwhile.
func (m *Manager) reserve(name string) (release func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, errStopping
	case m.coming[name]:
		return nil, fail(codeWallet, "Wallet already loading.")
	case m.wallets[name] != nil: // since the caller has looked
		return nil, fail(codeAlreadyLoaded, "Wallet \"%s\" is already loaded.", name)
	case len(m.wallets)+len(m.coming) >= maxWallets:
		return nil, fail(codeWallet, "%d wallets are loaded, which is the most: unload one with unloadwallet first", maxWallets)
	}
	m.coming[name] = true
	m.opening.Add(1)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.coming, name)
		m.opening.Done()
	}, nil
}

var errStopping = fail(codeMisc, "the node is stopping")

// add takes over an open wallet. The caller has reserved its name.
func (m *Manager) add(name string, files wallet.Files, w *wallet.Wallet) (*open, error) {
	o, err := newOpen(m, name, files, w)
	if err == nil {
		err = w.Keep()
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.Join(errStopping, o.close())
	}
	m.wallets[name] = o
	return o, nil
}

// unload lets go of a wallet.
func (m *Manager) unload(ctx context.Context, name string) error {
	m.mu.Lock()
	o := m.wallets[name]
	m.mu.Unlock()
	if o == nil {
		return errNotLoaded
	}
	if o.scanning() != nil {
		return fail(codeWallet, "Wallet is currently rescanning. Abort existing rescan or wait.")
	}
	if err := o.lock(ctx); err != nil {
		return err
	}
	o.unlock()
	m.mu.Lock()
	if m.wallets[name] == o { // else another call has unloaded it meanwhile
		delete(m.wallets, name)
	}
	m.mu.Unlock()
	return o.close()
}

// atStart notes whether a wallet is to be loaded when the node starts.
func (m *Manager) atStart(name string, load *bool) (warnings []string) {
	m.saving.Lock()
	defer m.saving.Unlock()
	if err := m.settings.set(name, load); err != nil {
		m.cfg.Log.Warn("settings not saved", "error", err)
		return []string{fmt.Sprintf("Wallet load on startup setting could not be updated, so wallet may not be loaded next node startup: %v", err)}
	}
	return nil
}
