package wallet

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lode/consensus"
	"lode/internal/syncdir"
)

// The names of the files of a wallet in a backup, which is a tar archive.
const (
	backupSecret  = "wallet.age"
	backupWatch   = "wallet.watch.json"
	backupJournal = "wallet.journal"
)

// Backup copies the files of a wallet into a new one, a tar archive of mode 0600:
// what is encrypted stays so. The caller holds the lock of the wallet, and has saved
// it. Nothing is overwritten.
func (f Files) Backup(path string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	w := tar.NewWriter(out)
	for _, part := range f.parts() {
		b, err := readFile(part.path, part.limit)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			if err = w.WriteHeader(&tar.Header{Name: part.name, Mode: 0o600, Size: int64(len(b)), Format: tar.FormatPAX}); err == nil {
				_, err = w.Write(b)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return syncdir.Sync(filepath.Dir(path))
}

// backupPart is one file of a wallet.
type backupPart struct {
	name, path string
	limit      int64 // bytes
}

func (f Files) parts() []backupPart {
	return []backupPart{{backupSecret, f.Secret, maxSecretSize}, {backupWatch, f.Watch, maxWatchSize}, {backupJournal, f.Journal, maxJournalSize}}
}

// ErrBackup is the kind of the error for a file that is no backup of a wallet.
var ErrBackup = errors.New("not a backup of a wallet")

// RestoreBackup makes the files of a wallet from a backup. Nothing is overwritten,
// and nothing is left of a backup that is not of this network.
func (f Files) RestoreBackup(ctx context.Context, path string, spec *consensus.Spec) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.Secret), 0o700); err != nil {
		return err
	}
	locked, err := f.lock(ctx, lockPatience)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locked.Close()) }()
	if err := f.CheckNew(); err != nil {
		return err
	}
	made, err := f.unpack(tar.NewReader(in), info.Size())
	if err == nil {
		err = f.checkRestored(spec)
	}
	if err != nil {
		for _, path := range made {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	return syncdir.Sync(filepath.Dir(f.Secret))
}

// unpack writes the files that are in an archive of so many bytes, each once. It
// gives those that it has made, also after an error. They get their names when all
// are on the disk, the watch file last: without it a wallet does not open, so one
// without the payments of its journal is never taken for whole.
func (f Files) unpack(r *tar.Reader, size int64) (made []string, err error) {
	temps, err := f.unpackTemps(r, size)
	for _, path := range []string{f.Journal, f.Secret, f.Watch} {
		temp, ok := temps[path]
		switch {
		case !ok:
		case err == nil:
			if err = os.Rename(temp, path); err == nil {
				made = append(made, path)
				continue
			}
			fallthrough
		default:
			err = errors.Join(err, os.Remove(temp))
		}
	}
	return made, err
}

// unpackTemps writes the files under other names, which it gives by those that they
// are to have, also after an error.
func (f Files) unpackTemps(r *tar.Reader, size int64) (temps map[string]string, err error) {
	temps = make(map[string]string)
	parts := f.parts()
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return temps, fmt.Errorf("%w: %w", ErrBackup, err)
		}
		i := 0
		for i < len(parts) && parts[i].name != h.Name {
			i++
		}
		if i == len(parts) || h.Typeflag != tar.TypeReg || h.Size > min(parts[i].limit, size) { // sparse ones claim more
			return temps, fmt.Errorf("%w: %.80q does not belong into one, or is too large", ErrBackup, h.Name)
		}
		b, err := io.ReadAll(io.LimitReader(r, parts[i].limit))
		if err != nil {
			return temps, fmt.Errorf("%w: %w", ErrBackup, err)
		}
		temp, err := writeTemp(parts[i].path, b)
		if err != nil {
			return temps, err
		}
		temps[parts[i].path] = temp
		parts = append(parts[:i:i], parts[i+1:]...)
	}
	return temps, nil
}

// checkRestored refuses a wallet of another network, and one without a passphrase
// where coins have a value.
func (f Files) checkRestored(spec *consensus.Spec) error {
	if _, err := loadWatch(f.Watch, spec); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: it has no %s", ErrBackup, backupWatch)
	} else if err != nil {
		return err
	}
	plain, err := f.IsPlain()
	if err == nil && plain && !spec.Defaults.Playground {
		err = fmt.Errorf("the backup is of %w without a passphrase", ErrNetwork)
	}
	return err
}
