package mempool

import (
	"flag"
	"strconv"
	"testing"
)

// manyChecks has rapid run more checks than TestMain says: they are cheap.
func manyChecks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if was != fewChecks {
		return // somebody has asked for a number
	}
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(was); err != nil {
			t.Error(err)
		}
	})
}

// ManyChecks is manyChecks for the tests outside.
var ManyChecks = manyChecks

// fewChecks is what TestMain has rapid do.
const fewChecks = "25"

// FewChecks is fewChecks for the tests outside.
const FewChecks = fewChecks
