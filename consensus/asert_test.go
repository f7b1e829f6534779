package consensus

import (
	"bufio"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// referenceASERT is aserti3-2d with integers of any size, written from the
// specification apart from asertTarget.
func referenceASERT(anchor, limit *big.Int, timeDelta, heightDelta, spacing, halfLife int64) *big.Int {
	exponent := (timeDelta - spacing*(heightDelta+1)) * 65536 / halfLife
	shifts := int64(math.Floor(float64(exponent) / 65536)) // exact: less than 2^53
	x := big.NewInt(exponent - shifts*65536)
	poly := new(big.Int).Mul(big.NewInt(5127), x)
	poly.Add(poly, big.NewInt(971821376)).Mul(poly, x)
	poly.Add(poly, big.NewInt(195766423245049)).Mul(poly, x)
	poly.Add(poly, new(big.Int).Lsh(big.NewInt(1), 47)).Rsh(poly, 48)
	t := poly.Add(poly, big.NewInt(65536))
	t.Mul(t, anchor)
	if shifts -= 16; shifts < 0 {
		t.Rsh(t, uint(-shifts))
	} else {
		t.Lsh(t, uint(min(shifts, 512)))
	}
	switch {
	case t.Sign() == 0:
		return big.NewInt(1)
	case t.Cmp(limit) > 0:
		return limit
	}
	return t
}

func TestASERTAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := func(name string) Target {
			target, ok := TargetFromBits(rapid.Uint32Range(1, 0x20).Draw(t, name+" size")<<24 | rapid.Uint32Range(1<<15, 0x7fffff).Draw(t, name+" mantissa"))
			if !ok {
				t.Skip("no target")
			}
			return target
		}
		limit, anchor := bits("limit"), bits("anchor")
		if anchor.Gt(&limit) {
			limit, anchor = anchor, limit
		}
		timeDelta := rapid.Int64Range(-10_000, math.MaxUint32).Draw(t, "time")
		heightDelta := rapid.Int64Range(0, 100_000_000).Draw(t, "height")
		spacing := rapid.Int64Range(1, 1000).Draw(t, "spacing")
		halfLife := rapid.Int64Range(1, 1_000_000).Draw(t, "half-life")
		got := asertTarget(&anchor, &limit, timeDelta, heightDelta, spacing, halfLife)
		want := referenceASERT(anchor.ToBig(), limit.ToBig(), timeDelta, heightDelta, spacing, halfLife)
		if got.ToBig().Cmp(want) != 0 {
			t.Fatalf("got %s, want %x", got.Hex(), want)
		}
	})
}

// The runs of the specification's test vectors that follow from their
// description alone: 600 s spacing, a half-life of two days, the limit
// 1d00ffff. Each line is an anchor, whose parent has the time 0, and the target
// after some blocks at a time.
func TestASERTRuns(t *testing.T) {
	const spacing, halfLife = 600, 2 * 24 * 3600
	limit, _ := TargetFromBits(0x1d00ffff)
	check := func(bits uint32, height, time int64, want Target) {
		t.Helper()
		anchor, _ := TargetFromBits(bits)
		if got := asertTarget(&anchor, &limit, time, height, spacing, halfLife); got != want {
			t.Errorf("%08x, %d blocks, %d s: %s, want %s", bits, height, time, got.Hex(), want.Hex())
		}
	}
	one, _ := TargetFromBits(0x01010000)
	for i := range int64(10) { // on schedule, nothing changes
		for _, bits := range []uint32{0x1d00ffff, 0x1a2b3c4d, 0x01010000} {
			same, _ := TargetFromBits(bits)
			check(bits, i, 600*(i+1), same)
		}
	}
	for i := range int64(224) { // a half-life late with every block: it doubles
		var doubled Target
		doubled.Lsh(&one, uint(i))
		check(0x01010000, i, 600*(i+1)+i*halfLife, doubled)
	}
	check(0x01010000, 224, 600*225+224*halfLife, limit)
	for i := range int64(225) { // 288 blocks in no time: it halves, down to one
		halved := limit
		halved.Rsh(&halved, uint(i))
		if halved.IsZero() {
			halved = one
		}
		check(0x1d00ffff, 288*i-1, 0, halved)
	}
}

// The published vectors are not part of this repository. Where they are at
// hand, as files run01 to run12, ASERT_VECTORS names their directory.
func TestASERTPublishedVectors(t *testing.T) {
	dir := os.Getenv("ASERT_VECTORS")
	if dir == "" {
		t.Skip("ASERT_VECTORS is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "run*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s (%v)", dir, err)
	}
	limit, _ := TargetFromBits(0x1d00ffff)
	lines := 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var anchorTime, iteration, time int64
		var anchorHeight, height uint64 // run10 goes beyond 2^63
		var anchorBits, bits uint32
		for scan := bufio.NewScanner(f); scan.Scan(); {
			line := scan.Text()
			if head, value, ok := strings.Cut(line, ":"); ok {
				switch {
				case strings.Contains(head, "anchor height"):
					fmt.Sscan(value, &anchorHeight)
				case strings.Contains(head, "anchor parent time"), strings.Contains(head, "anchor ancestor time"):
					fmt.Sscan(value, &anchorTime)
				case strings.Contains(head, "anchor nBits"):
					fmt.Sscan(value, &anchorBits)
				}
				continue
			}
			if n, _ := fmt.Sscanf(line, "%d %d %d 0x%x", &iteration, &height, &time, &bits); n != 4 {
				continue
			}
			anchor, _ := TargetFromBits(anchorBits)
			got := BitsFromTarget(asertTarget(&anchor, &limit, time-anchorTime, int64(height-anchorHeight), 600, 2*24*3600))
			if got != bits {
				t.Errorf("%s: %q gives %08x", filepath.Base(name), line, got)
			}
			lines++
		}
	}
	t.Logf("%d lines in %d files", lines, len(files))
}

// miner simulates the time that blocks take: a real chain in all but the work.
type miner struct {
	*rand.Rand
	rules *Rules
	state State
	now   float64 // Unix seconds
	rate  float64 // hashes per second
}

func newMiner(t *testing.T, network string, seed uint64) *miner {
	spec, err := EmbeddedSpec(network)
	if err != nil {
		t.Fatal(err)
	}
	s := spec.Rules.GenesisState()
	return &miner{Rand: rand.New(rand.NewPCG(seed, 0)), rules: &spec.Rules, state: s, now: float64(s.Time)}
}

// next mines a block and gives the seconds that it took.
func (m *miner) next() float64 {
	bits := m.rules.NextBits(&m.state)
	work := WorkFromBits(bits)
	took := m.ExpFloat64() * work.Float64() / m.rate
	m.now += took
	time := max(uint32(m.now), m.state.MedianTime()+1)
	m.state = m.rules.NextState(m.state, &Header{Version: 4, Prev: m.state.Hash, Time: time, Bits: bits})
	return took
}

// settle mines for some half-lives.
func (m *miner) settle(halfLives float64) {
	for end := m.now + halfLives*float64(m.rules.Difficulty.HalfLife); m.now < end; {
		m.next()
	}
}

// When the hash rate changes tenfold, blocks come at their pace again three
// half-lives after it rose, and six after it fell.
func TestASERTAfterChangeOfHashRate(t *testing.T) {
	if testing.Short() {
		t.Skip("many blocks, one after the other")
	}
	const seeds = 200
	for _, tc := range []struct {
		network   string
		factor    float64
		halfLives float64
	}{
		{"main", 10, 3}, {"main", 0.1, 6}, {"testnet", 10, 3}, {"testnet", 0.1, 6},
	} {
		var sum float64
		n := 0
		for seed := range uint64(seeds) {
			m := newMiner(t, tc.network, seed)
			least := WorkFromBits(uint32(m.rules.PowLimit))
			spacing := float64(m.rules.TargetSpacing)
			m.rate = 1000 * least.Float64() / spacing // far from the limit before and after
			for range 1000 {
				m.next() // from genesis up to this rate
			}
			m.settle(6)
			m.rate *= tc.factor
			m.settle(tc.halfLives)
			for range 30 {
				sum += m.next()
				n++
			}
		}
		spec, _ := EmbeddedSpec(tc.network)
		ratio := sum / float64(n) / float64(spec.Rules.TargetSpacing)
		t.Logf("%s, hash rate times %g: mean spacing is %.3f of the target, %d seeds", tc.network, tc.factor, ratio, seeds)
		if ratio < 0.85 || ratio > 1.15 {
			t.Errorf("%s, hash rate times %g: mean spacing is %.3f of the target", tc.network, tc.factor, ratio)
		}
	}
}

// A chain that slept does not owe the blocks of its sleep.
func TestASERTAfterSleep(t *testing.T) {
	if testing.Short() {
		t.Skip("many blocks, one after the other")
	}
	const seeds, sleep, awake = 50, 30 * 24 * 3600, 2 * 3600
	for _, above := range []float64{0.5, 2, 10, 100} { // times the hash rate that the limit is made for
		var most, sum int
		for seed := range uint64(seeds) {
			m := newMiner(t, "testnet", seed)
			least := WorkFromBits(uint32(m.rules.PowLimit))
			m.rate = above * least.Float64() / float64(m.rules.TargetSpacing)
			m.settle(20)
			m.now += sleep
			n := 0
			for end := m.now + awake; ; n++ {
				if m.next(); m.now >= end {
					break
				}
			}
			most, sum = max(most, n), sum+n
		}
		scheduled := awake / 5
		t.Logf("hash rate %g: at most %d blocks, %d on average, %d scheduled", above, most, sum/seeds, scheduled)
		if float64(most) > 1.2*float64(scheduled) {
			t.Errorf("hash rate %g: %d blocks in two hours, %d were scheduled", above, most, scheduled)
		}
	}
}
