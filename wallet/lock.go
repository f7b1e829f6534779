package wallet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"lode/internal/filelock"
)

// ErrBusy is the kind of the error for a wallet that another process uses.
var ErrBusy = errors.New("in use by another process")

const lockSuffix = ".lock"

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
	for deadline := time.Now().Add(patience); ; {
		err = filelock.Try(file)
		switch {
		case err == nil:
			return file, nil
		case !errors.Is(err, filelock.ErrHeld):
			err = fmt.Errorf("locking %s: %w", path, err)
		case time.Now().After(deadline):
			err = fmt.Errorf("wallet %s is %w: wait until it is done; a node with --wallet-rpc gives it free by unloadwallet", f.Secret, ErrBusy)
		default:
			select {
			case <-time.After(lockPoll):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		file.Close()
		return nil, err
	}
}
