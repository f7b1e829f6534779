package walletrpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"lode/rpc"
	"lode/wallet"
)

// fileCalls are the calls about wallets as a whole.
func (m *Manager) fileCalls() calls {
	return calls{
		"createwallet":  m.createWallet,
		"loadwallet":    m.loadWallet,
		"unloadwallet":  m.unloadWallet,
		"listwallets":   m.listWallets,
		"listwalletdir": m.listWalletDir,
		"backupwallet":  m.on(backupWallet),
		"restorewallet": m.restoreWallet,
	}
}

// nameJSON is the answer to calls that load a wallet.
type nameJSON struct {
	Name     string   `json:"name"`
	Warnings []string `json:"warnings,omitempty"`
}

// optionalFlag reads a bool that may be missing.
func optionalFlag(a *rpc.Args, i int) *bool {
	if a.Absent(i) {
		return nil
	}
	b := a.Flag(i, false)
	return &b
}

func (m *Manager) createWallet(ctx context.Context, _ rpc.WalletPath, a *rpc.Args) (any, error) {
	name, watch, blank := a.Text(0, ""), a.Flag(1, false), a.Flag(2, false)
	passphrase, reuse, descriptors := a.Text(3, ""), a.Flag(4, false), a.Flag(5, true)
	atStart, external := optionalFlag(a, 6), a.Flag(7, false)
	if err := a.Err(); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	var warnings []string
	switch {
	case !descriptors:
		return nil, fail(codeWallet, `descriptors argument must be set to "true"; it is no longer possible to create a legacy wallet.`)
	case external:
		return nil, fail(codeWallet, "Compiled without external signing support (required for external signing)")
	case reuse:
		return nil, fail(codeWallet, "avoid_reuse is not supported: addresses are fresh by default")
	case watch && passphrase != "":
		return nil, fail(codeWallet, "Passphrase provided but private keys are disabled. A passphrase is only used to encrypt private keys, so cannot be used for wallets with private keys disabled.")
	case passphrase == "" && !watch && !m.playground():
		return nil, fail(codeWallet, "A passphrase is needed: on %s coins have a value, and a wallet without one would be anybody's who reads its file", m.cfg.Spec.Name)
	case !a.Absent(3) && passphrase == "":
		warnings = append(warnings, "Empty string given as passphrase, wallet will not be encrypted.")
	}
	o, err := m.create(ctx, name, watch, blank, passphrase)
	if err != nil {
		return nil, walletError(err)
	}
	warnings = append(warnings, m.atStart(name, atStart)...)
	return nameJSON{o.name, warnings}, nil
}

// create makes a wallet, and loads it.
func (m *Manager) create(ctx context.Context, name string, watch, blank bool, passphrase string) (*open, error) {
	files, err := wallet.NamedFiles(m.cfg.Dir, name)
	if err != nil {
		return nil, err
	}
	if err := files.CheckNew(); errors.Is(err, wallet.ErrExists) {
		return nil, fail(codeWallet, "Wallet file verification failed. Failed to create database path '%s'. Database already exists.", files.Secret)
	} else if err != nil {
		return nil, err
	}
	release, err := m.reserve(name)
	if err != nil {
		return nil, err
	}
	defer release()
	tip, err := m.node.Tip(ctx)
	if err != nil {
		return nil, err
	}
	m.making.Lock()
	defer m.making.Unlock()
	w, err := m.make(ctx, files, watch, blank, passphrase, tip)
	if err != nil {
		return nil, err
	}
	return m.add(name, files, w)
}

func (m *Manager) make(ctx context.Context, files wallet.Files, watch, blank bool, passphrase string, tip wallet.Point) (w *wallet.Wallet, err error) {
	o := wallet.CreateOptions{WatchOnly: watch, Passphrase: passphrase, Plain: passphrase == "", WorkFactor: m.cfg.WorkFactor, Start: tip}
	if !watch && !blank {
		if o.Mnemonic, err = wallet.NewMnemonic(24); err != nil {
			return nil, err
		}
	}
	return wallet.Create(ctx, files, m.cfg.Spec, o)
}

func (m *Manager) loadWallet(ctx context.Context, _ rpc.WalletPath, a *rpc.Args) (any, error) {
	name, atStart := a.Text(0, ""), optionalFlag(a, 1)
	if err := a.Err(); err != nil {
		return nil, err
	}
	o, err := m.load(ctx, name)
	if err != nil {
		return nil, err
	}
	warnings := m.atStart(name, atStart)
	return m.scanned(ctx, o, warnings)
}

// scanned answers a call that has loaded a wallet, when it is up to date.
func (m *Manager) scanned(ctx context.Context, o *open, warnings []string) (any, error) {
	if err := o.lock(ctx); err != nil {
		return nil, err
	}
	defer o.unlock()
	if err := o.fresh(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		warnings = append(warnings, fmt.Sprintf("The wallet is loaded, but not up to date: %v", err))
	}
	return nameJSON{o.name, append(warnings, o.w.Notices()...)}, nil
}

func (m *Manager) unloadWallet(ctx context.Context, at rpc.WalletPath, a *rpc.Args) (any, error) {
	name, atStart := a.Text(0, ""), optionalFlag(a, 1)
	if err := a.Err(); err != nil {
		return nil, err
	}
	switch {
	case at.Named && !a.Absent(0) && name != at.Name:
		return nil, fail(codeParameter, "The RPC endpoint wallet and the wallet name parameter specify different wallets")
	case at.Named:
		name = at.Name
	case a.Absent(0):
		return nil, fail(codeParameter, "Either the RPC endpoint wallet or the wallet name parameter must be provided")
	}
	if err := m.unload(ctx, name); err != nil {
		return nil, err
	}
	type answer struct {
		Warnings []string `json:"warnings,omitempty"`
	}
	return answer{m.atStart(name, atStart)}, nil
}

func (m *Manager) listWallets(context.Context, rpc.WalletPath, *rpc.Args) (any, error) {
	names := []string{}
	for _, o := range m.all() {
		names = append(names, o.name)
	}
	return names, nil
}

func (m *Manager) listWalletDir(context.Context, rpc.WalletPath, *rpc.Args) (any, error) {
	names, err := m.list()
	if err != nil {
		return nil, fail(codeWallet, "%v", err)
	}
	type entry struct {
		Name     string   `json:"name"`
		Warnings []string `json:"warnings"`
	}
	list := []entry{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		list = append(list, entry{name, []string{}})
	}
	return map[string]any{"wallets": list}, nil
}

// filePath is the file that a call names. A relative path begins in the directory
// of the network.
func (m *Manager) filePath(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", fail(codeParameter, "%.80q is no name of a file", path)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(m.cfg.Dir, path)
	}
	return path, nil
}

// integer32 reads a number that is an int in Bitcoin Core.
func integer32(a *rpc.Args, i int, otherwise int64) int64 {
	return a.Integer(i, otherwise, math.MinInt32, math.MaxInt32)
}
