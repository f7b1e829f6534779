package walletrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"lode/internal/atomicfile"
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
		if err = atomicfile.Write(s.path, append(b, '\n')); err != nil {
			err = fmt.Errorf("writing %s: %w", s.path, err)
		}
	}
	if err == nil {
		s.wallets = wallets
	}
	return err
}
