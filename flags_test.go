package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc/client"
)

// TestTooLargeClusterIsExplained: the reason alone tells nobody what to do.
func TestTooLargeClusterIsExplained(t *testing.T) {
	n := &network{}
	refused := &client.Error{Code: -26, Message: "too-large-cluster"}
	err := n.explain(nil, fmt.Errorf("sending: %w", refused))
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), "wait until a block has confirmed some of them") {
		t.Errorf("%v", err)
	}
}

func TestLoadSpec(t *testing.T) {
	for _, name := range consensus.SpecNames {
		if s, err := loadSpec(name); err != nil || s.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := loadSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string) string {
		s.Name = name
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got, err := loadSpec(write("mine")); err != nil || got.Name != "mine" {
		t.Errorf("own network: %v", err)
	}
	if _, err := loadSpec(write("testnet")); err == nil || !strings.Contains(err.Error(), "embedded network") {
		t.Errorf("the name of an embedded network: %v", err)
	}
	if _, err := loadSpec(write("../x")); err == nil {
		t.Error("a name that leaves the data directory passed")
	}
}
