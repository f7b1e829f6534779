package mistype

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const good = "bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg"

// TestLocate: one and two wrong letters wherever they are, and what else can be
// wrong.
func TestLocate(t *testing.T) {
	if why, at := Locate("bcrt", good); why != "" || at != nil {
		t.Errorf("%s %v", why, at)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	change := func(text []byte, i int) {
		for old := text[i]; text[i] == old; {
			text[i] = charset[rng.IntN(32)]
		}
	}
	for i := len("bcrt1"); i < len(good); i++ {
		one := []byte(good)
		change(one, i)
		if why, at := Locate("bcrt", string(one)); !slices.Equal(at, []int{i}) {
			t.Errorf("%s: %s, %v, want %d", one, why, at, i)
		}
		if j := len("bcrt1") + rng.IntN(len(good)-len("bcrt1")); j > i {
			change(one, j)
			why, at := Locate("bcrt", strings.ToUpper(string(one)))
			if !slices.Equal(at, []int{i, j}) || !strings.Contains(why, "look at characters ") {
				t.Errorf("%s: %s, %v, want %d and %d", one, why, at, i, j)
			}
		}
	}
	for text, want := range map[string]string{
		good[:len(good)-3]: "its checksum is wrong, so it is mistyped or cut",
		"":                 "there is no 1 in it, which ends the name of the network",
		"bcrt1qq":          "the 1 at character 5 has too little before or behind it: it is cut",
		strings.Replace(good, "p8wpt9v4", "p8wpt9V4", 1): "capitals and small letters are mixed from character 12 on",
		strings.Replace(good, "p8wpt9v4", "p8wpt9b4", 1): "character 12 is none that may stand there",
		strings.Replace(good, "p8wpt9v4", "p8wpt914", 1): "character 12 is none that may stand there",
		good + "é": "character 65 is none that may stand there",
		good + " ": "character 65 is none that may stand there",
	} {
		if why, _ := Locate("bcrt", text); why != want {
			t.Errorf("%s: %s, want %s", text, why, want)
		}
	}
}

// FuzzLocate: no text makes it say what is right, and every place is in the text.
func FuzzLocate(f *testing.F) {
	f.Add(good)
	f.Add(good[:50] + "q" + good[51:])
	f.Fuzz(func(t *testing.T, text string) {
		why, at := Locate("bcrt", text)
		for _, i := range at {
			if i < 0 || i >= len(text) || why == "" {
				t.Fatalf("%q: %s, %v", text, why, at)
			}
		}
	})
}
