package wallet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"lode/internal/filelock"
	"lode/internal/pause"
)

// ErrBusy is the kind of the error for a wallet that another process uses.
var ErrBusy = errors.New("in use by another process")

const lockSuffix = ".lock"

// keptMark is what the lock file of a wallet holds while a process has it for as
// long as it runs: others need not wait. One that was killed leaves it behind, and
// whoever has the lock next removes it.
const keptMark = "kept"

// How long a second command waits for the first, and how often it looks.
const (
	lockPatience = 10 * time.Second
	lockPoll     = 50 * time.Millisecond
)

// lock takes the lock of the wallet, so that two commands cannot undo each
// other's changes.
func (f Files) lock(ctx context.Context, patience time.Duration) (*os.File, error) {
	path := f.Watch + lockSuffix
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the wallet: %w", err)
	}
	deadline := time.Now().Add(patience)
	for kept := false; ; {
		err = filelock.Try(file)
		switch {
		case err == nil:
			if err = file.Truncate(0); err == nil {
				return file, nil
			}
			err = fmt.Errorf("locking %s: %w", path, err)
		case !errors.Is(err, filelock.ErrHeld):
			err = fmt.Errorf("locking %s: %w", path, err)
		case kept && isKept(file): // seen twice: the first may be of a process that was killed
			err = fmt.Errorf("wallet %s is %w: a node with --wallet-rpc has it loaded, and gives it free by unloadwallet", f.Secret, ErrBusy)
		case time.Now().After(deadline):
			err = fmt.Errorf("wallet %s is %w: wait until it is done", f.Secret, ErrBusy)
		default:
			kept = isKept(file)
			if err = pause.For(ctx, lockPoll); err == nil {
				continue
			}
		}
		file.Close()
		return nil, err
	}
}

// isKept reports whether the mark is in a lock file. Where a system lets nobody read
// what is locked (Windows), it seems not to be, and others wait.
func isKept(file *os.File) bool {
	mark := make([]byte, len(keptMark))
	_, err := file.ReadAt(mark, 0)
	return err == nil && string(mark) == keptMark
}

// Keep tells other processes that this one has the wallet until it closes it, which
// may be long: they do not wait for it.
func (w *Wallet) Keep() error {
	w.kept = true
	if _, err := w.locked.WriteAt([]byte(keptMark), 0); err != nil {
		return fmt.Errorf("marking %s: %w", w.locked.Name(), err)
	}
	return nil
}
