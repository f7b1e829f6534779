package wallet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"lode/internal/syncdir"
)

// Kinds of errors of the files of a wallet.
var (
	ErrNoWallet = errors.New("no wallet")
	ErrExists   = errors.New("there already")
)

// Files are where a wallet is.
type Files struct {
	Secret string // encrypted: the words
	Watch  string // plain: all that needs no secret
}

// FilesOf gives the files of the wallet whose secret file has this path: the
// watch file stands beside it, "w.age" beside "w.watch.json".
func FilesOf(secret string) Files {
	return Files{secret, strings.TrimSuffix(secret, ".age") + ".watch.json"}
}

// exist reports which of the files are there.
func (f Files) exist() (secret, watch bool, err error) {
	if secret, err = exists(f.Secret); err == nil {
		watch, err = exists(f.Watch)
	}
	return secret, watch, err
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// CheckNew fails if a file of the wallet is there already: making a wallet
// never overwrites one.
func (f Files) CheckNew() error {
	secret, watch, err := f.exist()
	if err != nil {
		return err
	}
	if secret || watch {
		path := f.Secret
		if !secret {
			path = f.Watch
		}
		return fmt.Errorf("%s is %w and is left as it is: name another file with --wallet, or move it away", path, ErrExists)
	}
	return nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes: it is not a file of a wallet", path, limit)
	}
	return b, nil
}

// writeFile replaces a file, readable by its owner alone, so that a crash at
// any instant leaves either the old content or the new.
func writeFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncdir.Sync(dir) // so that the rename lasts through a power cut
}
