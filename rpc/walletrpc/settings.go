package walletrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"lode/internal/syncdir"
)

// SettingsFile is the name of the file with what calls have set, in the directory
// of the network, as Bitcoin Core has it: {"wallet": ["NAME"]} are the wallets to
// load when the node starts.
const SettingsFile = "settings.json"

// settings are what the settings file holds. Members that this program does not
// know are kept.
type settings struct {
	path    string
	wallets []string
	others  map[string]json.RawMessage
}

// loadSettings reads the file; one that is not there is empty.
func loadSettings(path string) (*settings, error) {
	s := &settings{path: path, others: make(map[string]json.RawMessage)}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, settingsMaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > settingsMaxSize {
		return nil, fmt.Errorf("%s has more than %d bytes: move it away", path, settingsMaxSize)
	}
	if err := json.Unmarshal(b, &s.others); err != nil {
		return nil, fmt.Errorf("%s is damaged: mend it or move it away, and load the wallets again", path)
	}
	if raw := s.others["wallet"]; raw != nil {
		if err := json.Unmarshal(raw, &s.wallets); err != nil {
			return nil, fmt.Errorf(`%s: "wallet" is not a list of names: mend it or move it away`, path)
		}
	}
	return s, nil
}

// set has a wallet loaded at the start of the node, or not. nil changes nothing.
func (s *settings) set(name string, load *bool) error {
	if load == nil || slices.Contains(s.wallets, name) == *load {
		return nil
	}
	wallets := slices.DeleteFunc(slices.Clone(s.wallets), func(x string) bool { return x == name })
	if *load {
		wallets = append(wallets, name)
	}
	raw, err := json.Marshal(wallets)
	if err != nil {
		return err
	}
	s.others["wallet"] = raw
	b, err := json.MarshalIndent(s.others, "", "    ")
	if err == nil {
		err = replaceFile(s.path, append(b, '\n'))
	}
	if err == nil {
		s.wallets = wallets
	}
	return err
}

// replaceFile replaces a file so that a crash leaves the old content or the new.
func replaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return syncdir.Sync(filepath.Dir(path))
}
