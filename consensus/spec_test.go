package consensus

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// privateSpec is a good document of one's own network: regtest by another name.
func privateSpec(t testing.TB) string {
	t.Helper()
	doc, err := os.ReadFile("specs/regtest.json")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(doc), `"name": "regtest"`, `"name": "private"`, 1)
}

// A field that came later may be missing, as in the chainspecs of before.
func TestSpecWithoutOptionalField(t *testing.T) {
	doc := privateSpec(t)
	for field, value := range map[string]func(*Spec) bool{
		"private_peers": func(s *Spec) bool { return s.Defaults.PrivatePeers },
		"playground":    func(s *Spec) bool { return s.Defaults.Playground },
	} {
		without := strings.Replace(doc, "\n    \""+field+"\": true,", "", 1)
		for text, want := range map[string]bool{doc: true, without: false} {
			if spec, err := ParseSpec([]byte(text)); err != nil || value(spec) != want {
				t.Errorf("%s: %v, want %v", field, err, want)
			}
		}
		if len(without) == len(doc) {
			t.Errorf("%s was not left out", field)
		}
	}
}

// The identities of the embedded networks. They name the networks in the
// handshake, and never change.
func TestEmbeddedSpecs(t *testing.T) {
	for name, id := range map[string]string{"main": "8cf4c28e", "testnet": "f1dd0d1a", "regtest": "f0d723ba"} {
		spec, err := EmbeddedSpec(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h := spec.Rules.ID(); hex.EncodeToString(h[:4]) != id {
			t.Errorf("%s: ID %x, want %s…", name, h[:4], id)
		}
		doc, err := os.ReadFile("specs/" + name + ".json")
		if err != nil || cmp.Diff(string(doc), string(spec.JSON())) != "" {
			t.Errorf("%s is printed in another way (%v):\n%s", name, err, cmp.Diff(string(doc), string(spec.JSON())))
		}
		if spec.Rules.Genesis().Header.Hash() != spec.Rules.GenesisHash() {
			t.Errorf("%s: genesis has another hash", name)
		}
		if limit := spec.Rules.Limit(); BitsFromTarget(limit) != uint32(spec.Rules.PowLimit) {
			t.Errorf("%s: limit %s", name, limit.Hex())
		}
	}
	if _, err := EmbeddedSpec("signet"); err == nil || !strings.Contains(err.Error(), "main, testnet, regtest") {
		t.Errorf("got %v", err)
	}
}

func TestCanonicalForm(t *testing.T) {
	spec, err := ParseSpec([]byte(privateSpec(t)))
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := canonicalJSON(&spec.Rules)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"difficulty":{"algorithm":"fixed","half_life":0},"genesis":"` + hex.EncodeToString(spec.Rules.Genesis().Bytes()) +
		`","halving_interval":150,"maturity":100,"max_block_sigops_cost":80000,"max_block_weight":4000000,"max_money":2100000000000000,` +
		`"pow_limit":"207fffff","subsidy":5000000000,"target_spacing":600}`
	if string(canonical) != want {
		t.Errorf("canonical form %s\nwant %s", canonical, want)
	}
	// The order of the fields, white space and the defaults make no difference.
	regtest := regtestRules(t)
	other := strings.Replace(privateSpec(t), `"maturity": 100,`, "", 1)
	other = strings.Replace(other, `"rules": {`, `"rules": {"maturity"   :100,`, 1)
	other = strings.Replace(other, `"rpc": 18443`, `"rpc": 28443`, 1)
	moved, err := ParseSpec([]byte(other))
	if err != nil || moved.Rules.ID() != regtest.ID() {
		t.Errorf("the same rules have another ID (%v)", err)
	}
	if _, err := canonicalJSON(func() {}); err == nil {
		t.Error("a function has a canonical form")
	}
}

const oneHash = "0000000000000000000000000000000000000000000000000000000000000001"

func TestSnapshotHash(t *testing.T) {
	doc := strings.Replace(privateSpec(t), `"snapshots": []`, `"snapshots": [{"height": 1, "base": "`+oneHash+`", "utxo_hash": "`+strings.Repeat("2", 64)+`"}]`, 1)
	spec, err := ParseSpec([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if hash, ok := spec.SnapshotHash(Hash{1}); !ok || hash.String() != strings.Repeat("2", 64) {
		t.Errorf("got %s, %v", hash, ok)
	}
	if _, ok := spec.SnapshotHash(Hash{2}); ok {
		t.Error("a snapshot of another block")
	}
	if again, err := ParseSpec(spec.JSON()); err != nil || again.Rules.ID() != regtestRules(t).ID() {
		t.Errorf("a snapshot changes what names the network (%v)", err)
	}
}

// badSpecs are changes to a good document, and what the error says.
var badSpecs = []struct{ old, new, says string }{
	// The document.
	{`{`, ``, `field "" is not an object`},
	{`"maturity": 100,`, `"maturity": 100`, `"rules"`},
	{`"upgrades": []`, `"upgrades": [`, `field "defaults.upgrades" is cut short`},
	{`"name": "private",`, `"name": "private", "motto": "more",`, `field "motto" is unknown`},
	{`"maturity": 100,`, ``, `field "rules.maturity" is missing`},
	{`"rpc": 18443,`, ``, `field "defaults.ports.rpc" is missing`},
	{`"upgrades": []`, `"more": []`, `field "defaults.more" is unknown`},
	{",\n    \"upgrades\": []", ``, `field "defaults.upgrades" is missing`},
	{`"maturity": 100,`, `"maturity": null,`, `field "rules.maturity" is missing`},
	{`"maturity": 100,`, `"Maturity": 100,`, `field "rules.Maturity" is unknown`},
	{`"maturity": 100,`, `"maturity": 100, "MATURITY": 1,`, `field "rules.MATURITY" is unknown`},
	{`"maturity": 100,`, `"maturity": 100, "maturity": 100,`, `field "rules.maturity" stands there twice`},
	{`"rpc": 18443,`, `"rpc": 18443, "rpc": 18443,`, `field "defaults.ports.rpc" stands there twice`},
	{`"ports": {`, `"ports": [], "port": {`, `field "defaults.ports" is not an object`},
	{`"seeds": []`, `"seeds": {}`, `field "defaults.seeds" is not a list`},
	{`"seeds": []`, `"seeds": [null]`, `field "defaults.seeds[0]" is missing`},
	{`"seeds": []`, `"seeds": [7]`, `field "defaults.seeds[0]" cannot be 7`},
	{`"maturity": 100,`, `"maturity": "100",`, `field "rules.maturity" cannot be "100"`},
	{`"maturity": 100,`, `"maturity": 1e2,`, `field "rules.maturity" cannot be 1e2`},
	{`"maturity": 100,`, `"maturity": 4294967296,`, `field "rules.maturity" cannot be 4294967296`},
	{`"maturity": 100,`, `"maturity": -1,`, `field "rules.maturity" cannot be -1`},
	{`"private_peers": true`, `"private_peers": null`, `field "defaults.private_peers" is missing`},
	{`"private_peers": true`, `"private_peers": "yes"`, `field "defaults.private_peers" cannot be "yes"`},
	{`"private": "04358394",`, ``, `field "defaults.bip32.private" is missing`},
	{`"private": "04358394"`, `"private": "043583"`, `field "defaults.bip32.private" has an impossible value: want four bytes`},
	{`"public": "043587cf"`, `"public": "04358394"`, `field "defaults.bip32.public"`},
	{`"wif": "ef"`, `"wif": "efef"`, `field "defaults.wif"`},
	{`"uri_scheme": "bitcoin"`, `"uri_scheme": "1coin"`, `field "defaults.uri_scheme"`},
	{`"uri_scheme": "bitcoin"`, `"uri_scheme": "bit:coin"`, `field "defaults.uri_scheme"`},
	{`"silent_prefix": "sprt"`, `"silent_prefix": "SP"`, `field "defaults.silent_prefix"`},
	{`"silent_prefix": "sprt"`, `"silent_prefix": "bcrt"`, `field "defaults.silent_prefix"`},
	{`"playground": true`, `"playground": "yes"`, `field "defaults.playground" cannot be "yes"`},
	{`"mock_clock": true`, `"mock_clock": 1`, `field "defaults.mock_clock" cannot be 1`},

	// Its values.
	{`"private"`, `""`, `field "name"`},
	{`"private"`, `"Private"`, `field "name"`},
	{`"private"`, `"../private"`, `field "name"`},
	{`"private"`, `"a23456789012345678901234567890123"`, `field "name"`},
	{`"private"`, `"main"`, `field "name" is "main", which is an embedded network`},
	{`"207fffff"`, `"207FFFFF"`, `field "rules.pow_limit"`},
	{`"207fffff"`, `"0x207fff"`, `field "rules.pow_limit"`},
	{`"207fffff"`, `"20800000"`, `field "rules.pow_limit"`},
	{`"207fffff"`, `"00000000"`, `field "rules.pow_limit"`},
	{`"207fffff"`, `"21007fff"`, `field "rules.pow_limit"`},
	{`"fixed"`, `"magic"`, `field "rules.difficulty.algorithm"`},
	{`"half_life": 0`, `"half_life": 1`, `field "rules.difficulty.half_life"`},
	{`"fixed"`, `"asert"`, `field "rules.difficulty.half_life"`},
	{`"target_spacing": 600`, `"target_spacing": 0`, `field "rules.target_spacing"`},
	{`"target_spacing": 600`, `"target_spacing": 65536`, `field "rules.target_spacing"`},
	{`"subsidy": 5000000000`, `"subsidy": -1`, `field "rules.subsidy"`},
	{`"subsidy": 5000000000`, `"subsidy": 2100000000000001`, `field "rules.subsidy"`},
	{`"halving_interval": 150`, `"halving_interval": 0`, `field "rules.halving_interval"`},
	{`"max_money": 2100000000000000`, `"max_money": 0`, `field "rules.max_money"`},
	{`"max_money": 2100000000000000`, `"max_money": 9007199254740993`, `field "rules.max_money"`},
	{`"maturity": 100`, `"maturity": 0`, `field "rules.maturity"`},
	{`"max_block_weight": 4000000`, `"max_block_weight": 3999`, `field "rules.max_block_weight"`},
	{`"max_block_weight": 4000000`, `"max_block_weight": 4000001`, `field "rules.max_block_weight"`},
	{`"max_block_sigops_cost": 80000`, `"max_block_sigops_cost": 80001`, `field "rules.max_block_sigops_cost"`},
	{`"fabfb5da"`, `"fabfb5"`, `field "defaults.magic"`},
	{`"fabfb5da"`, `"FABFB5DA"`, `field "defaults.magic"`},
	{`"bcrt"`, `"BCRT"`, `field "defaults.address_prefix"`},
	{`"websocket": 18454`, `"websocket": 0`, `field "defaults.ports.websocket"`},
	{`"rpc": 18443`, `"rpc": 18454`, `field "defaults.ports.rpc"`},
	{`"tcp": 18444`, `"tcp": 18443`, `field "defaults.ports.tcp"`},
	{`"tcp": 18444`, `"tcp": 65536`, `field "defaults.ports.tcp"`},
	{`"seeds": []`, `"seeds": ["example.org:1"]`, `field "defaults.seeds"`},
	{`"snapshots": []`, `"snapshots": [{"height": 1}]`, `field "defaults.snapshots[0].base" is missing`},
	{`"snapshots": []`, `"snapshots": [{"height": 1, "base": "00", "utxo_hash": "00"}]`, `field "defaults.snapshots[0].base" cannot be`},
	{`"snapshots": []`, `"snapshots": [{"height": 0, "base": "` + oneHash + `", "utxo_hash": "` + oneHash + `"}]`, `field "defaults.snapshots"`},
	{`"snapshots": []`, `"snapshots": [{"height": 1, "base": "` + oneHash + `", "utxo_hash": "` + strings.Repeat("0", 64) + `"}]`, `field "defaults.snapshots"`},
	{`"seeds": []`, `"seeds": ["wss://a:1", "http://b:2"]`, `field "defaults.seeds"`},
	{`"max_drift": 7200`, `"max_drift": 0`, `field "defaults.max_drift"`},
	{`"coin_type": 1`, `"coin_type": 2147483648`, `field "defaults.coin_type"`},
	{`"minimum_work": "00`, `"minimum_work": "`, `field "defaults.minimum_work"`},

	// Genesis.
	{`"genesis": "01`, `"genesis": "`, `field "rules.genesis" is not a block`},
	{`"genesis": "01`, `"genesis": "xx`, `field "rules.genesis" cannot be`},
	{`7f20020000000101`, `7f20070000000101`, `without the work`},           // another nonce
	{`7f20020000000101`, `7f200200000000`, `field "rules.genesis"`},        // no transaction
	{`5494dffff7f20`, `5494dffff7e20`, `bits 207effff, want the limit`},    // other bits
	{`01000000000000000000000000`, `01000000010000000000000000`, `parent`}, // the previous hash
	{`00f2052a01000000434104`, `01f2052a01000000434104`, `merkle root`},    // the amount
	{`00000000ffffffff4d04ffff`, `00000000feffffff4d04ffff`, `coinbase`},
	{`02000000010100000001`, `0200000001010000000001` + `01`, `witness`},
}

func TestBadSpecs(t *testing.T) {
	good := privateSpec(t)
	if _, err := ParseSpec([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range badSpecs {
		doc := strings.Replace(good, tc.old, tc.new, 1)
		if doc == good {
			t.Errorf("%q is not in the document", tc.old)
			continue
		}
		if strings.HasSuffix(tc.says, "witness") { // the coinbase gets one behind its outputs
			doc = strings.Replace(doc, `ac00000000"`, `ac010100`+`00000000"`, 1)
		}
		_, err := ParseSpec([]byte(doc))
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s for %s: got %v, want %s", tc.new, tc.old, err, tc.says)
		}
	}
	for _, doc := range []string{"", "null", "[]", "7", good + "{}", good + "x", good[:100]} {
		if _, err := ParseSpec([]byte(doc)); !errors.Is(err, ErrSpec) {
			t.Errorf("%.20q… is a chainspec: %v", doc, err)
		}
	}
	asert := strings.Replace(good, `"fixed"`, `"asert"`, 1)
	asert = strings.Replace(asert, `"half_life": 0`, `"half_life": 43199`, 1)
	if _, err := ParseSpec([]byte(asert)); err == nil || !strings.Contains(err.Error(), `"defaults.max_drift"`) {
		t.Errorf("a drift above a sixth of the half-life: %v", err)
	}
}
