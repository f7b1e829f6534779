package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"lode/internal/atomicfile"
)

// Kinds of errors of the files of a wallet.
var (
	ErrNoWallet = errors.New("no wallet")
	ErrExists   = errors.New("there already")
)

// Files are where a wallet is.
type Files struct {
	Secret  string // encrypted: the words
	Watch   string // plain: what no chain can tell, and no secret
	Journal string // what was seen of chain and mempool, and what was sent
}

// FilesOf gives the files of the wallet whose secret file has this path: the
// others stand beside it, "w.age" beside "w.watch.json" and "w.journal".
func FilesOf(secret string) Files {
	stem := strings.TrimSuffix(secret, secretSuffix)
	return Files{secret, stem + watchSuffix, stem + ".journal"}
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
	for _, path := range []string{f.Secret, f.Watch, f.Journal} {
		there, err := exists(path)
		if err != nil {
			return err
		}
		if there {
			return fmt.Errorf("%s is %w and is left as it is: give another --name, or move it away", path, ErrExists)
		}
	}
	return nil
}

// CheckRestore fails if there is a secret file already. A watch file that has
// lost its secret file is welcome: see Restore.
func (f Files) CheckRestore() error {
	if there, err := exists(f.Secret); err != nil || there {
		return errors.Join(err, fmt.Errorf("%s is %w and is left as it is: give another --name, or move it away", f.Secret, ErrExists))
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
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	// Room for all of it, as journals may be large.
	b := bytes.NewBuffer(make([]byte, 0, min(max(info.Size(), 0), limit)+bytes.MinRead))
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes: it is not a file of a wallet", path, limit)
	}
	return b.Bytes(), nil
}

// writeFile replaces a file, readable by its owner alone, so that a crash at
// any instant leaves either the old content or the new.
func writeFile(path string, content []byte) error {
	temp, err := writeTemp(path, content)
	if err != nil {
		return err
	}
	if err := atomicfile.Rename(temp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// writeTemp writes what is to become a file, under another name beside it.
func writeTemp(path string, content []byte) (temp string, err error) {
	temp, err = atomicfile.WriteTemp(filepath.Dir(path), "."+filepath.Base(path)+".*", content)
	if err != nil {
		err = fmt.Errorf("writing %s: %w", path, err)
	}
	return temp, err
}
