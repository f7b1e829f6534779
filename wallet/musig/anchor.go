package musig

import (
	"errors"
	"fmt"
	"os"
)

// identity is a file as the system that holds it knows it. No program can give
// these numbers to a copy without writing to the disk behind the system's back.
type identity struct {
	Boot    string `json:"boot"`    // of the machine, a new one at every start; empty where the system has none
	Device  uint64 `json:"device"`  // of the file system
	Inode   uint64 `json:"inode"`   // number of the file in it
	Changed string `json:"changed"` // when the inode was last changed, seconds.nanoseconds; on Windows when it was made
}

const anchorText = `The file beside this one, with the same name but ending in .nonce, holds a secret
nonce of a MuSig2 signature. It may be used once, and this file is the right to do
so. Never copy, back up or restore either: a copy is refused, and if it were not, it
could give away the private key. It is safe to delete both; then signing begins again.
`

// makeAnchor makes a file that was never there before.
func makeAnchor(path string) (id identity, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return id, err
	}
	_, err = f.WriteString(anchorText)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		id, err = identify(f)
	}
	return id, errors.Join(err, f.Close())
}

// anchorNow is the identity of an anchor that is there.
func anchorNow(path string) (identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return identity{}, err
	}
	defer f.Close()
	return identify(f)
}

// check says how a file differs from what it was.
func (id identity) check(now identity) error {
	switch {
	case id == now:
		return nil
	case id.Boot != now.Boot:
		return errors.New("the machine was started anew since, or it is another one")
	default:
		return fmt.Errorf("its anchor is another file (device %d, inode %d, changed %s; it was %d, %d, %s)",
			now.Device, now.Inode, now.Changed, id.Device, id.Inode, id.Changed)
	}
}
