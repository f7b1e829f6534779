package wallet

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"

	bip39 "github.com/tyler-smith/go-bip39"
	"github.com/tyler-smith/go-bip39/wordlists"
	"golang.org/x/text/unicode/norm"
)

// NewMnemonic makes the words of a new wallet: 12 (128 bits) or 24 (256 bits), from
// the English list, as every program reads that.
func NewMnemonic(words int) (string, error) {
	if words != 12 && words != 24 {
		return "", fmt.Errorf("%d words asked for: want 12 or 24", words)
	}
	entropy, err := bip39.NewEntropy(words / 3 * 32)
	if err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	return bip39.NewMnemonic(entropy)
}

// portuguese is the one list that the library lacks (MIT license, from the
// repository of BIP39).
//
//go:embed portuguese.txt
var portuguese string

// wordList is one of BIP39's lists of 2048 words.
type wordList struct {
	name  string
	index map[string]uint16 // by word, NFKD
}

// wordLists are all that BIP39 names. They are read when words are.
var wordLists = sync.OnceValue(func() (lists []wordList) {
	for _, l := range []struct {
		name  string
		words []string
	}{
		{"English", wordlists.English}, {"Japanese", wordlists.Japanese}, {"Korean", wordlists.Korean}, {"Spanish", wordlists.Spanish},
		{"simplified Chinese", wordlists.ChineseSimplified}, {"traditional Chinese", wordlists.ChineseTraditional}, {"French", wordlists.French},
		{"Italian", wordlists.Italian}, {"Czech", wordlists.Czech}, {"Portuguese", strings.Fields(portuguese)},
	} {
		list := wordList{l.name, make(map[string]uint16, len(l.words))}
		for i, word := range l.words {
			list.index[norm.NFKD.String(word)] = uint16(i)
		}
		lists = append(lists, list)
	}
	return lists
})

// ErrMnemonic is the kind of every error of ParseMnemonic.
var ErrMnemonic = errors.New("not a usable mnemonic")

// ParseMnemonic checks words (BIP39, of any of its lists) and gives them as the
// seed is made from them: in lower case, NFKD, with single spaces. No error
// repeats a word: they are secret.
func ParseMnemonic(s string) (string, error) {
	words := strings.Fields(norm.NFKD.String(strings.ToLower(s)))
	if n := len(words); n < 12 || n > 24 || n%3 != 0 {
		return "", fmt.Errorf("%w: it has %d words, want 12, 15, 18, 21 or 24", ErrMnemonic, n)
	}
	var best *wordList // the list that has most of them
	most, missing, spelled := -1, 0, false
	for i, list := range wordLists() {
		have, first := list.have(words)
		if have > most {
			best, most, missing = &wordLists()[i], have, first
		}
		if have < len(words) {
			continue
		}
		spelled = true // words of several lists, of which one has the checksum
		if list.checksum(words) {
			return strings.Join(words, " "), nil
		}
	}
	if !spelled {
		return "", fmt.Errorf("%w: word %d is not in the %s list of BIP39", ErrMnemonic, missing+1, best.name)
	}
	return "", fmt.Errorf("%w: the checksum is wrong; look for a mistyped or swapped word", ErrMnemonic)
}

// have counts the words of a list, and gives the first that is not in it.
func (l *wordList) have(words []string) (n, missing int) {
	missing = len(words)
	for i, w := range words {
		if _, ok := l.index[w]; ok {
			n++
		} else {
			missing = min(missing, i)
		}
	}
	return n, missing
}

// checksum reports whether the last bits are those of the hash of the others.
func (l *wordList) checksum(words []string) bool {
	bits := make([]byte, 0, len(words)*11)
	for _, w := range words {
		for shift := 10; shift >= 0; shift-- {
			bits = append(bits, byte(l.index[w]>>shift&1))
		}
	}
	entropy := make([]byte, len(words)/3*4)
	defer clear(entropy)
	for i := range entropy {
		for _, bit := range bits[i*8 : i*8+8] {
			entropy[i] = entropy[i]<<1 | bit
		}
	}
	hash := sha256.Sum256(entropy)
	for i, bit := range bits[len(entropy)*8:] {
		if hash[0]>>(7-i)&1 != bit {
			return false
		}
	}
	return true
}
