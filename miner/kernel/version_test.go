package kernel_test

import (
	"strings"
	"testing"

	"lode/consensus"
	"lode/miner/kernel"
)

// TestRollableBits leaves out the bit by which an upgrade is signalled. One whose
// height is fixed has no bit.
func TestRollableBits(t *testing.T) {
	const (
		signalled = `{"name": "a", "height": 0, "signal": {"bit": 14, "start": 10, "timeout": 100, "window": 10, "threshold": 8}, "max_block_weight": 40000}`
		fixed     = `{"name": "b", "height": 5, "signal": {"bit": 0, "start": 0, "timeout": 0, "window": 0, "threshold": 0}, "max_block_weight": 40000}`
	)
	regtest, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		upgrades string
		want     uint32
	}{
		{"", kernel.VersionBits},
		{fixed, kernel.VersionBits},
		{signalled, kernel.VersionBits &^ (1 << 14)},
	} {
		doc := strings.Replace(string(regtest.JSON()), `"regtest"`, `"private"`, 1)
		spec, err := consensus.ParseSpec([]byte(strings.Replace(doc, `"upgrades": []`, `"upgrades": [`+c.upgrades+`]`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []consensus.State{{}, {Height: 1000}} {
			if got := kernel.RollableBits(&spec.Rules, &s); got != c.want {
				t.Errorf("upgrades [%s] at height %d: %08x, want %08x", c.upgrades, s.Height, got, c.want)
			}
		}
	}
}
