package uri

import (
	"errors"
	"strings"
	"testing"

	"lode/consensus"
)

const address = "bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg"

// TestRoundTrip: what is written is read again, whatever stands in it.
func TestRoundTrip(t *testing.T) {
	for text, r := range map[string]Request{
		"bitcoin:" + address:                                                 {},
		"bitcoin:" + address + "?amount=1.5":                                 {Amount: 150_000_000},
		"bitcoin:" + address + "?amount=0.00000001&label=a%26b%3D%20%2B%3F":  {Amount: 1, Label: "a&b= +?"},
		"bitcoin:" + address + "?label=Luke-Jr&message=F%C3%BCr%20%E2%82%BF": {Label: "Luke-Jr", Message: "Für ₿"},
	} {
		r.Address = address
		if got := r.String("bitcoin"); got != text {
			t.Errorf("written %s, want %s", got, text)
		}
		got, err := Parse("bitcoin", "bcrt", text)
		r.Key = got.Key
		if err != nil || got != r || consensus.Address("bcrt", got.Key) != address {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// TestRead: what others write, and what is refused.
func TestRead(t *testing.T) {
	for text, want := range map[string]Request{
		"BITCOIN:" + strings.ToUpper(address):                                      {},
		"bitcoin:" + address + "?":                                                 {},
		"bitcoin:" + address + "?amount=50.00000000&somethingyoudontunderstand=50": {Amount: 50e8},
		"bitcoin:" + address + "?label=1+1":                                        {Label: "1+1"},
	} {
		got, err := Parse("bitcoin", "bcrt", text)
		want.Address, want.Key = address, got.Key
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, why := range map[string]string{
		address:                       "does not begin with",
		"lode:" + address:             "does not begin with",
		"bitcoin:":                    "not a usable address",
		"bitcoin:" + address[:40]:     "not a usable address",
		"bitcoin:lode1" + address[5:]: "not a usable address",
		"bitcoin:" + address + "?req-somethingyoudontunderstand=50": "it requires \"req-somethingyoudontunderstand\"",
		"bitcoin:" + address + "?amount=1,5":                        "amount \"1,5\"",
		"bitcoin:" + address + "?amount=0":                          "an amount of 0",
		"bitcoin:" + address + "?amount=-1":                         "amount",
		"bitcoin:" + address + "?amount=1&amount=2":                 "comes twice",
		"bitcoin:" + address + "?label=%zz":                         "not escaped",
		"bitcoin:" + address + "?label=%ff":                         "not escaped",
		"bitcoin:" + address + "?message=a%0Ab":                     "not text in one line",
		"bitcoin:" + address + "?label=%E2%80%AEb":                  "not text in one line",
		"bitcoin:" + address + "?" + strings.Repeat("a", maxLength): "at most 4096",
	} {
		if got, err := Parse("bitcoin", "bcrt", text); !errors.Is(err, ErrURI) || !strings.Contains(err.Error(), why) {
			t.Errorf("%.200s: %+v, %v; want %q", text, got, err, why)
		}
	}
}

// FuzzParse: what is read can be written and read again, with the same meaning.
func FuzzParse(f *testing.F) {
	f.Add("bitcoin:" + address + "?amount=1.5&label=a%26b&message=c")
	f.Add("bitcoin:" + address + "?req-x=1")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("bitcoin", "bcrt", text)
		if err != nil {
			return
		}
		if again, err := Parse("bitcoin", "bcrt", r.String("bitcoin")); err != nil && len(r.String("bitcoin")) <= maxLength || err == nil && again != r {
			t.Errorf("%q: %+v, then %+v, %v", text, r, again, err)
		}
	})
}
