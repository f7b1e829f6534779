package main

import (
	"errors"
	"strings"
	"testing"
)

// TestWordsAreAskedForAgain: a new wallet is kept only if they were typed, and no
// question says what they should be.
func TestWordsAreAskedForAgain(t *testing.T) {
	const words = "legal winner thank year wave sausage worth useful legal winner thank yellow"
	wrong := strings.Replace(words, "year", "years", 1)
	for name, c := range map[string]struct {
		answers []string
		asked   []string // what the questions say
		ok      bool
	}{
		"at once":        {[]string{"  " + strings.ToUpper(words) + " "}, []string{"Type the words"}, true},
		"one is wrong":   {[]string{wrong, words}, []string{"Type", "Word 4 is another one"}, true},
		"one is missing": {[]string{words[:60], words}, []string{"Type", "These are 10 words, and 12 were shown"}, true},
		"never":          {[]string{"", wrong, wrong}, []string{"Type", "0 words", "Word 4"}, false},
	} {
		asked := 0
		err := checkWords(words, func(question string) (string, error) {
			if asked == len(c.asked) || !strings.Contains(question, c.asked[asked]) || strings.Contains(question, "year") {
				t.Errorf("%s: question %d is %q", name, asked, question)
				return "", errors.New("no more")
			}
			asked++
			return c.answers[asked-1], nil
		})
		if (err == nil) != c.ok || asked != len(c.asked) {
			t.Errorf("%s: %v after %d questions", name, err, asked)
		}
	}
}
