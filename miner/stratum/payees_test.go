package stratum

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// trivial is how many addresses one attacker had worked one share for.
const trivial = 4928

// key is an address that is not one of address's.
func keyed(n int) string { return consensus.Address("bcrt", [32]byte{1, byte(n), byte(n >> 8), 1}) }

// TestTrivialSharesKeepNoPayeeOut has thousands of addresses with one trivial share
// each, before a new payee works, and over a restart.
func TestTrivialSharesKeepNoPayeeOut(t *testing.T) {
	dir := t.TempDir()
	a, _ := open(t, dir, &activeChain{})
	for i := range trivial {
		a.add(keyed(i), 1000)
	}
	if n := len(a.payees.window.scores); n != 0 {
		t.Fatalf("%d of them have a place", n)
	}
	works := func(payee string) {
		t.Helper()
		for range 4 {
			a.add(payee, a.least()/4+1)
		}
		if a.payees.window.scores[payee] == 0 {
			t.Fatalf("no place for who has done the least work: %d places, %d wait", len(a.payees.window.scores), len(a.payees.waiting.of))
		}
	}
	works(address(1))
	if err := a.save(); err != nil {
		t.Fatal(err)
	}
	a, log := open(t, dir, &activeChain{})
	if log != "" || len(a.payees.window.scores) != 1 || len(a.payees.waiting.of) != trivial {
		t.Fatalf("after a restart %d places, %d wait: %s", len(a.payees.window.scores), len(a.payees.waiting.of), log)
	}
	works(address(2))
	for i := range 2 * maxAspirants {
		a.add(keyed(i), 1000)
	}
	if n := len(a.payees.waiting.of); n > maxAspirants {
		t.Errorf("%d wait", n)
	}
	works(address(3))
}

// TestTrivialSharesOfAnOlderFile has them in the window that an older Lode saved.
func TestTrivialSharesOfAnOlderFile(t *testing.T) {
	dir := t.TempDir()
	text := `{"version":1,"slices":[{"` + address(1) + fmt.Sprintf(`":%d`, uint64(scoreOne))
	for i := range trivial {
		text += `,"` + keyed(i) + `":1`
	}
	if err := os.WriteFile(filepath.Join(dir, windowFile), []byte(text+"}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, log := open(t, dir, &activeChain{})
	if log != "" || len(a.payees.window.scores) != 1 || a.payees.window.total != scoreOne || a.payees.window.slices[0].total != scoreOne {
		t.Errorf("%d places, the window has %d: %s", len(a.payees.window.scores), a.payees.window.total, log)
	}
}

// TestPlaceOfWhoHasLess fills all places, and has somebody work for more than the
// least of them.
func TestPlaceOfWhoHasLess(t *testing.T) {
	p := newPayees(2 * scoreOne)
	p.most = 50
	for i := range p.most {
		p.add(keyed(i), p.least+uint64(i))
	}
	p.add("new", p.least)
	if len(p.window.scores) != p.most || p.waiting.score("new") != p.least {
		t.Fatalf("%d places, the new one waits with %d", len(p.window.scores), p.waiting.score("new"))
	}
	p.add("new", 1)
	if p.window.scores["new"] != p.least+1 || p.waiting.score("new") != 0 || p.window.scores[keyed(0)] != 0 || p.waiting.score(keyed(0)) != p.least {
		t.Errorf("the place of who has least is not the new one's")
	}
	p.add(keyed(0), 1) // as much as the least now has
	if p.window.scores[keyed(0)] != 0 {
		t.Error("a place changes hands between equals")
	}
	p.add(keyed(0), 1)
	if p.window.scores[keyed(0)] != p.least+2 {
		t.Error("it does not come back")
	}
}

// TestOldAspirantsFade has those who have almost done enough for a place stop to
// work: they must not keep out who works little, but goes on.
func TestOldAspirantsFade(t *testing.T) {
	p := newPayees(2 * scoreOne)
	p.waiting.most = 20
	for i := range p.waiting.most {
		p.add(keyed(i), p.least-1)
	}
	small := p.least / 10
	p.add("small", small)
	if p.waiting.score("small") != small || len(p.waiting.of) != p.waiting.most {
		t.Fatal("the newest does not wait")
	}
	for range 60 { // the pool works for sixty blocks
		p.add("large", scoreOne)
	}
	if n := len(p.waiting.of); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// TestPayees holds every score to be in one place, and sums to be right.
func TestPayees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPayees(1 << 30)
		p.most, p.waiting.most = rapid.IntRange(1, 5).Draw(t, "places"), rapid.IntRange(1, 5).Draw(t, "aspirants")
		for range rapid.IntRange(1, 200).Draw(t, "shares") {
			p.add(fmt.Sprint(rapid.IntRange(0, 12).Draw(t, "payee")), 1+rapid.Uint64Range(0, 3*p.least).Draw(t, "score")*rapid.SampledFrom([]uint64{0, 1, 1, 1 << 18}).Draw(t, "times"))
			var total, inSlices uint64
			for payee, s := range p.window.scores {
				if s == 0 || s < p.floor || p.waiting.score(payee) != 0 {
					t.Fatalf("%s has %d (%d waits), at least %d was said", payee, s, p.waiting.score(payee), p.floor)
				}
				total += s
			}
			for _, s := range p.window.slices {
				var sum uint64
				for _, score := range s.scores {
					sum += score
				}
				if sum != s.total {
					t.Fatalf("a slice has %d, says %d", sum, s.total)
				}
				inSlices += sum
			}
			if total != p.window.total || total != inSlices || len(p.window.scores) > p.most || len(p.waiting.of) > p.waiting.most || len(p.waiting.of) != len(p.waiting.heap) {
				t.Fatalf("window %d, slices %d, says %d; %d placed, %d wait", total, inSlices, p.window.total, len(p.window.scores), len(p.waiting.of))
			}
		}
	})
}
