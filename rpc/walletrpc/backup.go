package walletrpc

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"lode/rpc"
	"lode/wallet"
)

// backupWallet copies a wallet into one new file.
func backupWallet(c *call) (any, error) {
	name := c.a.Text(0, "")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	path, err := rpc.OutputPath(c.m.cfg.Dir, name)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, c.o.name+".backup")
	}
	for _, own := range []string{c.o.files.Secret, c.o.files.Watch, c.o.files.Journal} {
		if filepath.Clean(path) == filepath.Clean(own) {
			return nil, fail(codeWallet, "Error: Wallet backup failed!")
		}
	}
	if err := c.w.Save(); err != nil {
		return nil, err
	}
	if err := c.o.files.Backup(path); err != nil {
		return nil, fail(codeWallet, "Error: Wallet backup failed! (%v)", err)
	}
	return nil, nil
}

func (m *Manager) restoreWallet(ctx context.Context, _ rpc.WalletPath, a *rpc.Args) (any, error) {
	name, from, atStart := a.Text(0, ""), a.Text(1, ""), optionalFlag(a, 2)
	if err := a.Err(); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	path, err := m.filePath(from)
	if err != nil {
		return nil, err
	}
	o, err := m.restore(ctx, name, path)
	if err != nil {
		return nil, err
	}
	return m.scanned(ctx, o, m.atStart(name, atStart))
}

// restore makes a wallet from a backup, and loads it.
func (m *Manager) restore(ctx context.Context, name, path string) (*open, error) {
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, fail(codeParameter, "Backup file does not exist")
	case !info.Mode().IsRegular(): // reading a pipe may never end
		return nil, fail(codeParameter, "Backup file is not a regular file")
	}
	files, err := wallet.NamedFiles(m.cfg.Dir, name)
	if err != nil {
		return nil, err
	}
	if m.loaded(name) || errors.Is(files.CheckNew(), wallet.ErrExists) {
		return nil, fail(codeAlreadyExists, "Failed to restore wallet. Database file exists in '%s'.", files.Secret)
	}
	release, err := m.reserve(name)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := files.RestoreBackup(ctx, path, m.cfg.Spec); err != nil {
		return nil, fail(codeWallet, "Wallet file verification failed. %v", err)
	}
	return m.loadNow(ctx, name)
}
