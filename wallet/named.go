package wallet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lode/consensus"
	"lode/internal/filelock"
)

// NamedDir is the directory of the wallets that have names, in that of the network.
const NamedDir = "wallets"

// ErrName is the kind of the error for what is no name of a wallet.
var ErrName = errors.New("not the name of a wallet")

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// CheckName refuses what is no name, so that none is ever a path.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%w: %.80q, want 1 to 64 letters, digits, _ and -", ErrName, name)
	}
	return nil
}

// NamedFiles gives the files of the wallet of a name, in the directory of a network.
func NamedFiles(dir, name string) (Files, error) {
	if err := CheckName(name); err != nil {
		return Files{}, err
	}
	return FilesOf(filepath.Join(dir, NamedDir, name+secretSuffix)), nil
}

// The suffixes of the files of a wallet.
const (
	secretSuffix = ".age"
	watchSuffix  = ".watch.json"
)

// Listed is a wallet that was found in a directory.
type Listed struct {
	Name    string `json:"name"` // empty for the one without a name
	Default bool   `json:"default"`
	File    string `json:"file"`    // of the secret, or the watch file of one that only watches
	Kind    string `json:"kind"`    // see the constants
	Keys    int    `json:"sources"` // accounts and descriptors
	InUse   bool   `json:"in_use"`  // by another process
	Problem string `json:"problem,omitempty"`
}

// What wallets are made of.
const (
	KindWords       = "words"       // and perhaps descriptors
	KindDescriptors = "descriptors" // with private keys, and no words
	KindWatchOnly   = "watch-only"
)

// List finds the wallets in the directory of a network: the one without a name,
// whose secret file has the path first, and those with names, sorted.
func List(dir, first string, spec *consensus.Spec) (list []Listed, err error) {
	if l, ok := describe("", FilesOf(first), spec); ok {
		l.Default = true
		list = append(list, l)
	}
	entries, err := os.ReadDir(filepath.Join(dir, NamedDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		for _, suffix := range []string{secretSuffix, watchSuffix} {
			if name, ok := strings.CutSuffix(e.Name(), suffix); ok && CheckName(name) == nil && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		files, err := NamedFiles(dir, name)
		if err != nil {
			return nil, err
		}
		if l, ok := describe(name, files, spec); ok {
			list = append(list, l)
		}
	}
	return list, nil
}

// describe says what a wallet is as far as its plain files tell.
func describe(name string, f Files, spec *consensus.Spec) (l Listed, ok bool) {
	secret, watch, err := f.exist()
	if err == nil && !secret && !watch {
		return l, false
	}
	l = Listed{Name: name, File: f.Secret, Kind: KindWords}
	switch doc, err := loadWatch(f.Watch, spec); {
	case errors.Is(err, os.ErrNotExist):
		l.Problem = "the watch file is missing: the next command builds it anew"
	case err != nil:
		l.Problem = err.Error()
	default:
		l.Keys = len(doc.Sources)
		switch {
		case doc.WatchOnly:
			l.Kind, l.File = KindWatchOnly, f.Watch
		case !slices.ContainsFunc(doc.Sources, func(s *sourceDoc) bool { return s.Account != nil }):
			l.Kind = KindDescriptors
		}
		if !secret && !doc.WatchOnly {
			l.Problem = "its secret file is missing: nothing can be spent until it is restored from the words"
		}
	}
	l.InUse = f.inUse()
	return l, true
}

// inUse reports whether another process has the wallet open.
func (f Files) inUse() bool {
	file, err := os.OpenFile(f.Watch+lockSuffix, os.O_RDWR, 0o600)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(filelock.Try(file), filelock.ErrHeld)
}
