package wallet

import (
	"strings"
	"testing"

	"lode/consensus"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

// abandon is the twelve words of the vectors of BIP84 and BIP86.
var abandon = strings.Repeat("abandon ", 11) + "about"

func TestCosignerFindsItsKeysOnly(t *testing.T) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	c, err := newSecret(spec, abandon, "").Cosigner(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	key, err := c.Key(0)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key, "[73c5da0a/87h/1h/0h]tpub") {
		t.Errorf("got %s", key)
	}
	path := []uint32{psbt.Hardened | 87, psbt.Hardened | 1, psbt.Hardened}
	own, err := c.derive(path)
	if err != nil {
		t.Fatal(err)
	}
	point, err := own.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	p := musig.PubKey(point.SerializeCompressed())
	for _, o := range []struct {
		name   string
		origin psbt.KeyOrigin
		ok     bool
	}{
		{"right", psbt.KeyOrigin{Fingerprint: c.fingerprint, Path: path}, true},
		{"another path", psbt.KeyOrigin{Fingerprint: c.fingerprint, Path: append(path, 0)}, false},
		{"another wallet", psbt.KeyOrigin{Path: path}, false},
		{"a path without an end", psbt.KeyOrigin{Fingerprint: c.fingerprint, Path: make([]uint32, maxOriginSteps+1)}, false},
	} {
		private, ok, err := c.Private(p, []psbt.KeyOrigin{o.origin})
		if err != nil || ok != o.ok {
			t.Errorf("%s: %v, %v", o.name, ok, err)
		}
		if ok && musig.PubKey(private.PubKey().SerializeCompressed()) != p {
			t.Errorf("%s: another key", o.name)
		}
	}
	if _, ok, err := c.Private(p, nil); ok || err != nil {
		t.Error("without an origin", ok, err)
	}
	if _, err := c.Key(maxAccount + 1); err == nil {
		t.Error("an account beyond the bound")
	}
}
