package descriptor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestBitcoinCoreAgrees compares random descriptors with Bitcoin Core's: what they
// derive, how they are written, and which are refused. It wants the command of a
// bitcoin-cli that reaches a node on regtest in LODE_BITCOIN_CLI.
func TestBitcoinCoreAgrees(t *testing.T) {
	command := strings.Fields(os.Getenv("LODE_BITCOIN_CLI"))
	if len(command) == 0 {
		t.Skip("LODE_BITCOIN_CLI is not set")
	}
	call := func(method string, into any, params ...any) error {
		args := append(command[1:len(command):len(command)], method)
		for _, p := range params {
			if s, ok := p.(string); ok {
				args = append(args, s)
				continue
			}
			b, _ := json.Marshal(p)
			args = append(args, string(b))
		}
		out, err := exec.Command(command[0], args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s", out)
		}
		return json.Unmarshal(out, into)
	}
	net := regtest(t)
	rapid.Check(t, func(t *rapid.T) {
		text := randomDescriptor(t, net)
		var info struct {
			Descriptor, Checksum                string
			IsRange, IsSolvable, HasPrivateKeys bool
			Multipath                           []string `json:"multipath_expansion"`
		}
		coreErr := call("getdescriptorinfo", &info, text)
		d, err := Parse(text, net)
		if (coreErr == nil) != (err == nil) {
			t.Fatalf("%s: %v, Bitcoin Core says %v", text, err, coreErr)
		}
		if err != nil {
			return
		}
		list := d.Expand()
		if len(list) > 1 {
			for i, one := range list {
				if one.String() != info.Multipath[i] {
					t.Fatalf("%s: expands to %s, in Bitcoin Core to %s", text, one, info.Multipath[i])
				}
			}
		} else if d.String() != info.Descriptor {
			t.Fatalf("%s is written as %s, by Bitcoin Core as %s", text, d, info.Descriptor)
		}
		if sum, _, _ := Checksum(text); sum != info.Checksum || d.IsRange() != info.IsRange || d.IsSolvable() != info.IsSolvable || d.IsPrivate() != info.HasPrivateKeys {
			t.Fatalf("%s: %+v", text, info)
		}
		for _, one := range list {
			compareAddresses(t, one, call)
		}
	})
}

func compareAddresses(t *rapid.T, d *Descriptor, call func(string, any, ...any) error) {
	var want []string
	params := []any{d.Private()}
	if d.IsRange() {
		params = append(params, []int{0, 3})
	}
	err := call("deriveaddresses", &want, params...)
	for i, address := range want {
		if got, err := d.Address(uint32(i)); err != nil || got != address {
			t.Fatalf("%s: address %d is %s, %v, in Bitcoin Core %s", d.Private(), i, got, err, address)
		}
	}
	if _, mine := d.Address(0); mine == nil && err != nil {
		t.Fatalf("%s: Bitcoin Core derives nothing: %v", d.Private(), err)
	}
}

// randomDescriptor draws one of Taproot, of which some are wrong.
func randomDescriptor(t *rapid.T, net Network) string {
	key := func() string {
		text := randomKey(t, net)
		if rapid.Bool().Draw(t, "public") {
			d, err := Parse("tr("+text+")", net)
			if err != nil {
				t.Fatal(err)
			}
			text = d.RootKey().String()
		}
		for range rapid.IntRange(0, 2).Draw(t, "steps") {
			text += fmt.Sprintf("/%d%s", rapid.SampledFrom([]int{0, 1, 86, 1<<31 - 1}).Draw(t, "n"), rapid.SampledFrom([]string{"", "", "", "h", "'"}).Draw(t, "mark"))
		}
		return rapid.SampledFrom([]string{"", "", "[d34db33f/86h/1']", "[00000000]"}).Draw(t, "origin") + text
	}
	tail := rapid.SampledFrom([]string{"", "/*", "/<0;1>/*", "/<1;5>", "/*h", "/0/*"}).Draw(t, "tail")
	var inner string
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0, 1:
		inner = key() + tail
	case 2:
		inner = "musig(" + key() + tail + "," + key() + ")"
	case 3:
		inner = "musig(" + key() + "," + key() + "," + key() + ")" + tail
	default:
		d, err := Parse("tr("+randomKey(t, net)+")", net)
		if err != nil {
			t.Fatal(err)
		}
		public, err := d.InternalKey(0)
		if err != nil {
			t.Fatal(err)
		}
		inner = writePublic(public, rapid.SampledFrom([]keyShape{compressed, xOnly, uncompressed}).Draw(t, "shape"))
	}
	return rapid.SampledFrom([]string{"tr(", "rawtr("}).Draw(t, "fn") + inner + ")"
}
