package stratum

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

const dust = 330

func sum[K comparable](m map[K]consensus.Amount) (s consensus.Amount) {
	for _, v := range m {
		s += v
	}
	return s
}

// genScores draws the shares of some payees, among them very large and very small
// ones.
func genScores(t *rapid.T, most int) map[string]uint64 {
	scores := make(map[string]uint64)
	for i := range rapid.IntRange(1, most).Draw(t, "payees") {
		scores[fmt.Sprint("payee ", i)] = uint64(1) << rapid.IntRange(0, 50).Draw(t, "magnitude") * uint64(rapid.IntRange(1, 100).Draw(t, "score"))
	}
	return scores
}

// checkDistribution checks what holds for every block.
func checkDistribution(t interface{ Fatalf(string, ...any) }, d distribution, value consensus.Amount) {
	var paid consensus.Amount
	for _, p := range d.Pay {
		paid += p.Amount
		if p.Amount < dust && len(d.Pay) > 1 || p.Amount < 0 {
			t.Fatalf("%s gets %d sat", p.Payee, p.Amount)
		}
	}
	if paid != value || len(d.Pay) > MaxPayees || len(d.Pay) == 0 {
		t.Fatalf("%d sat to %d payees, of %d sat", paid, len(d.Pay), value)
	}
	if s := sum(d.Due); s != 0 {
		t.Fatalf("what is carried over changes by %d sat in all", s)
	}
}

// TestDistribute divides the values of many blocks among payees that come and go:
// each block is paid out in full, to no more than it may, and what everybody has
// got in the end is what his shares were worth, but for what is carried over.
func TestDistribute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		carry := make(map[string]consensus.Amount)
		worth, got := make(map[string]*big.Rat), make(map[string]consensus.Amount)
		blocks := rapid.IntRange(1, 12).Draw(t, "blocks")
		for range blocks {
			scores := genScores(t, 250)
			value := consensus.Amount(rapid.Int64Range(0, 50e8).Draw(t, "value"))
			d := distribute(value, scores, carry, dust, MaxPayees)
			checkDistribution(t, d, value)
			addDue(carry, d.Due)
			var total uint64
			for _, s := range scores {
				total += s
			}
			for payee, s := range scores {
				part := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(int64(value)), new(big.Int).SetUint64(s)), new(big.Int).SetUint64(total))
				if worth[payee] == nil {
					worth[payee] = new(big.Rat)
				}
				worth[payee].Add(worth[payee], part)
			}
			for _, p := range d.Pay {
				got[p.Payee] += p.Amount
			}
		}
		if s := sum(carry); s != 0 {
			t.Fatalf("%d sat are carried over in all", s)
		}
		for payee, w := range worth {
			off := new(big.Rat).Sub(w, new(big.Rat).SetInt64(int64(got[payee]+carry[payee])))
			if off.Abs(off).Cmp(big.NewRat(int64(blocks), 1)) >= 0 { // less than a satoshi a block
				t.Fatalf("%s: worth %s, got %d, is owed %d", payee, w.FloatString(2), got[payee], carry[payee])
			}
		}
	})
}

// TestDistributeExactly pays few payees in proportion, within a satoshi.
func TestDistributeExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores := make(map[string]uint64)
		var total uint64
		for i := range rapid.IntRange(1, MaxPayees).Draw(t, "payees") {
			s := rapid.Uint64Range(1e6, 1e9).Draw(t, "score")
			scores[fmt.Sprint(i)] = s
			total += s
		}
		value := consensus.Amount(rapid.Int64Range(1e9, 50e8).Draw(t, "value"))
		d := distribute(value, scores, nil, dust, MaxPayees)
		checkDistribution(t, d, value)
		if len(d.Due) != 0 {
			t.Fatalf("carried over: %v", d.Due)
		}
		for _, p := range d.Pay {
			exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(int64(value)), new(big.Int).SetUint64(scores[p.Payee])), new(big.Int).SetUint64(total))
			off := exact.Sub(exact, new(big.Rat).SetInt64(int64(p.Amount)))
			if off.Abs(off).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("%s gets %d sat of %d for %d of %d", p.Payee, p.Amount, value, scores[p.Payee], total)
			}
		}
	})
}

// TestDistributeStories has blocks with known results.
func TestDistributeStories(t *testing.T) {
	show := func(d distribution) string { // amounts in sat
		var pay []string
		for _, p := range d.Pay {
			pay = append(pay, fmt.Sprintf("{%s %d}", p.Payee, int64(p.Amount)))
		}
		due := make(map[string]int64)
		for payee, amount := range d.Due {
			due[payee] = int64(amount)
		}
		return fmt.Sprint(pay, due)
	}
	for _, c := range []struct {
		name   string
		value  consensus.Amount
		scores map[string]uint64
		carry  map[string]consensus.Amount
		want   string
	}{
		{"thirds", 1000, map[string]uint64{"a": 1, "b": 1, "c": 1}, nil, "[{a 334} {b 333} {c 333}] map[]"},
		{"one below the dust line", 10_000, map[string]uint64{"a": 97, "b": 3}, nil, "[{a 10000}] map[a:-300 b:300]"},
		{"his second block", 10_000, map[string]uint64{"a": 97, "b": 3}, map[string]consensus.Amount{"a": -300, "b": 300}, "[{a 9400} {b 600}] map[a:300 b:-300]"},
		{"he has left", 10_000, map[string]uint64{"a": 1}, map[string]consensus.Amount{"a": -400, "b": 400}, "[{a 9600} {b 400}] map[a:400 b:-400]"},
		{"all below the dust line", 600, map[string]uint64{"a": 1, "b": 1}, nil, "[{a 600}] map[a:-300 b:300]"},
		{"nothing to pay", 0, map[string]uint64{"a": 1, "b": 1}, nil, "[{a 0}] map[]"},
		{"nothing but what is owed", 0, map[string]uint64{"a": 1}, map[string]consensus.Amount{"a": -5, "b": 5}, "[{b 0}] map[]"},
	} {
		d := distribute(c.value, c.scores, c.carry, dust, MaxPayees)
		if got := show(d); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestManyPayees has a thousand payees take turns.
func TestManyPayees(t *testing.T) {
	scores, carry, got := make(map[string]uint64), make(map[string]consensus.Amount), make(map[string]consensus.Amount)
	for i := range 1000 {
		scores[fmt.Sprint(i)] = 7
	}
	const value, blocks = 5e8, 30
	for range blocks {
		d := distribute(value, scores, carry, dust, MaxPayees)
		checkDistribution(t, d, value)
		addDue(carry, d.Due)
		for _, p := range d.Pay {
			got[p.Payee] += p.Amount
		}
	}
	for payee := range scores {
		if got[payee] != value*blocks/1000 {
			t.Fatalf("%s has got %d sat", payee, got[payee])
		}
	}
	if len(carry) != 0 {
		t.Errorf("after three rounds %d are owed something", len(carry))
	}
}

// TestWindow keeps the newest shares, within a slice of what it should.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type share struct {
			payee string
			score uint64
		}
		const size = 2 * scoreOne
		w, all := newWindow(size), []share(nil)
		for range rapid.IntRange(1, 500).Draw(t, "shares") {
			s := share{fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "payee")), rapid.Uint64Range(1, scoreOne/4).Draw(t, "score")}
			all = append(all, s)
			w.add(s.payee, s.score)
			var total uint64
			for _, s := range w.scores {
				total += s
			}
			if total != w.total || len(w.slices) > windowSlices+2 {
				t.Fatalf("%d slices, %d of %d", len(w.slices), total, w.total)
			}
		}
		// It holds the newest, and all of them until it is full.
		newest := make(map[string]uint64)
		var total uint64
		for _, s := range slices.Backward(all) {
			if total == w.total {
				break
			}
			newest[s.payee] += s.score
			total += s.score
		}
		if total != w.total || !maps.Equal(newest, w.scores) {
			t.Fatalf("the window is not the newest shares: %d of %d", w.total, total)
		}
		if most := uint64(size + size/windowSlices + scoreOne/4); w.total > most || total < size && len(newest) > 0 && w.total < size && totalOf(all, func(s share) uint64 { return s.score }) >= size {
			t.Fatalf("the window has %d, should have %d", w.total, uint64(size))
		}
	})
}

func totalOf[T any](list []T, of func(T) uint64) (total uint64) {
	for _, v := range list {
		total += of(v)
	}
	return total
}

// TestScore is the share's difficulty over that of the block.
func TestScore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := rapid.Float64Range(1e-6, 1e15).Draw(t, "block")
		share := max(minDifficulty, block*rapid.Float64Range(1e-9, 2).Draw(t, "share"))
		b, ok1 := targetOf(block)
		s, ok2 := targetOf(share)
		if !ok1 || !ok2 {
			t.Fatalf("no targets for %v, %v", block, share)
		}
		score := float64(scoreOf(s, b))
		if want := min(1, share/block) * scoreOne; score > want+1 || score < want*(1-1e-6)-1 {
			t.Fatalf("score %v, want %v", score, want)
		}
	})
	one, _ := targetOf(1)
	any, _ := targetOf(minDifficulty)
	if s := scoreOf(any, one); s < 0xffff || s > 0x10000 { // 2^-32 of a block, and a little
		t.Errorf("one hash scores %d", s)
	}
}

func TestTrim(t *testing.T) {
	carry := map[string]consensus.Amount{"a": 1000, "b": -990, "c": 5, "d": -7, "e": -8}
	trim(carry, map[string]uint64{"c": 1}, 3)
	if want := map[string]consensus.Amount{"a": 985, "b": -990, "c": 5}; !maps.Equal(carry, want) {
		t.Errorf("%v, want %v", carry, want)
	}
}
