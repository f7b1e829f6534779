package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"lode/internal/syncdir"
)

// snapshotName is what a snapshot may be called: it is a directory.
var snapshotName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// notCopied is what no copy of a node's directory holds: what belongs to a running
// process, logs, and the secret nonces of MuSig2, of which a second use would give
// away a key (docs/decisions/0013-musig-nonces.md).
var notCopied = []string{"node.log", ".cookie", ".rpc-address", "musig-nonces"}

// SnapshotInfo is one copy of the network.
type SnapshotInfo struct {
	Name  string    `json:"name"`
	Made  time.Time `json:"made"`
	Nodes int       `json:"nodes"`
}

func (n *Network) snapshotDir(name string) (string, error) {
	if !snapshotName.MatchString(name) {
		return "", fmt.Errorf("%w: a snapshot called %q: want letters, digits, dots and dashes, 64 at most", ErrUsage, name)
	}
	return n.path(snapshotsDir, name), nil
}

// Snapshot copies the whole network: every chain, mempool and wallet. Nodes that run
// are stopped for it, so that what is copied is of one moment, and started again.
func (n *Network) Snapshot(ctx context.Context, name string) (err error) {
	to, err := n.snapshotDir(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("%w: there is a snapshot called %s already, of %s", ErrUsage, name, to)
	}
	ran := n.Running()
	for _, node := range ran {
		err = errors.Join(err, n.halt(node))
	}
	if err == nil {
		err = n.copyOut(to)
	}
	err = errors.Join(err, n.save())
	if started := n.startAll(ctx, ran); err == nil {
		err = started
	}
	return err
}

// copyOut makes a snapshot under another name first, so that there is never half of
// one.
func (n *Network) copyOut(to string) (err error) {
	draft := to + ".new"
	if err := errors.Join(os.RemoveAll(draft), os.MkdirAll(draft, 0o700)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }()
	for _, node := range n.Nodes {
		if err := copyTree(n.DataDir(node), filepath.Join(draft, node.Name())); err != nil {
			return err
		}
	}
	for _, name := range n.specFiles() {
		if err := copyFile(n.path(name), filepath.Join(draft, name)); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(draft, stateFile), &n.State); err != nil {
		return err
	}
	if err := os.Rename(draft, to); err != nil {
		return err
	}
	return syncdir.Sync(filepath.Dir(to))
}

// Snapshots are those that there are, by name.
func (n *Network) Snapshots() (list []SnapshotInfo, err error) {
	entries, err := os.ReadDir(n.path(snapshotsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := n.path(snapshotsDir, e.Name(), stateFile)
		s, err := loadState(path)
		if err != nil {
			continue // an unfinished one
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		list = append(list, SnapshotInfo{e.Name(), info.ModTime().UTC(), len(s.Nodes)})
	}
	return list, nil
}

// Restore puts the network back to what it was at a snapshot. Nothing of it may run.
// A restore that was cut short is done again by another.
func (n *Network) Restore(name string) (err error) {
	from, err := n.snapshotDir(name)
	if err != nil {
		return err
	}
	s, err := loadState(filepath.Join(from, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no snapshot called %s; `lode testnet list` shows those that there are", ErrUsage, name)
	}
	if err != nil {
		return err
	}
	if running := n.Running(); len(running) > 0 || n.Forge != nil {
		return fmt.Errorf("%w: `lode testnet down` stops it, and then it can be restored", ErrRunning)
	}
	draft := n.path("restoring")
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }()
	if err := errors.Join(os.RemoveAll(draft), copyTree(from, draft)); err != nil {
		return err
	}
	for _, node := range n.Nodes { // also those that were added later
		if err := os.RemoveAll(n.DataDir(node)); err != nil {
			return err
		}
	}
	for _, node := range s.Nodes {
		node.Process = nil
		if err := os.Rename(filepath.Join(draft, node.Name()), n.path(node.Name())); err != nil {
			return err
		}
	}
	s.Name = n.Name
	n.State = *s
	for _, name := range n.specFiles() {
		if err := os.Rename(filepath.Join(draft, name), n.path(name)); err != nil {
			return err
		}
	}
	return n.save()
}

// specFiles are the chainspecs of the network, in its directory.
func (n *Network) specFiles() []string {
	names := []string{specFile}
	for _, node := range n.Nodes {
		if node.Spec != "" {
			names = append(names, node.Spec)
		}
	}
	return names
}

// copyTree copies a directory, but for notCopied, and waits until it is on the disk.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(notCopied, e.Name()) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o700)
		case e.Type().IsRegular():
			return copyFile(path, target)
		}
		return fmt.Errorf("%s is neither a file nor a directory: it cannot be copied", path)
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
