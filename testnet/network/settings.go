package network

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"lode/p2p/link"
)

// settingsDoc is a file that says how a network is to be:
//
//	nodes: 4
//	block_time: 5            # seconds
//	link: latency=50ms,loss=1%
//	hashrate: 100000         # of each node
//	hashrates: [0, 400000]   # of node 1, 2, …; 0 for one that does not mine
//	spec: my.json            # a chainspec, beside this file
//
// All may be left out.
type settingsDoc struct {
	Nodes     int      `yaml:"nodes"`
	BlockTime int      `yaml:"block_time"`
	Link      string   `yaml:"link"`
	Rate      uint64   `yaml:"hashrate"`
	Rates     []uint64 `yaml:"hashrates"`
	Spec      string   `yaml:"spec"`
}

const maxSettings = 64 << 10 // bytes

// ReadSettings reads such a file.
func ReadSettings(path string) (s Settings, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	var doc settingsDoc
	dec := yaml.NewDecoder(io.LimitReader(f, maxSettings))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		text := strings.NewReplacer(" in type network.settingsDoc", "", " into network.settingsDoc", "", "yaml: construct errors: ", "").Replace(err.Error())
		return s, fmt.Errorf("%s: %s: want nodes, block_time, link, hashrate, hashrates and spec", path, text)
	}
	s = Settings{Nodes: doc.Nodes, BlockTime: doc.BlockTime, Rate: doc.Rate, Rates: doc.Rates}
	if doc.Link != "" {
		if s.Link, err = link.Parse(doc.Link); err != nil {
			return s, fmt.Errorf("%s: link: %w", path, err)
		}
	}
	if doc.Spec != "" {
		if s.Spec = doc.Spec; !filepath.IsAbs(s.Spec) {
			s.Spec = filepath.Join(filepath.Dir(path), s.Spec)
		}
	}
	if len(s.Rates) > MaxNodes || s.Nodes != 0 && len(s.Rates) > s.Nodes {
		return s, fmt.Errorf("%s: hashrates has %d rates for %d nodes", path, len(s.Rates), s.Nodes)
	}
	return s, s.check()
}
