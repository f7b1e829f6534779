package fees

import (
	"bytes"
	"testing"

	"lode/consensus"
)

// market is an estimator and the blocks that it is told of.
type market struct {
	*Estimator
	height uint32
}

func newMarket() *market { return &market{New(100), 100} }

// mine has a block come, in which n transactions are confirmed that have just come and
// paid rate each.
func (m *market) mine(n int, rate int64) {
	var marks []Mark
	for range n {
		marks = append(marks, m.Enter(m.height, rate))
	}
	m.height++
	m.Block(m.height)
	for _, mark := range marks {
		m.Confirm(mark, rate)
	}
}

func (m *market) expect(t *testing.T, when string, target int, mode Mode, want int64) {
	t.Helper()
	if got, _, ok := m.Estimate(target, mode); got != want || ok != (want > 0) {
		t.Errorf("%s: %d (%v), want %d", when, got, ok, want)
	}
}

// TestBucketsEndWhereTheyShould counts them: the last is for all above.
func TestBucketsEndWhereTheyShould(t *testing.T) {
	if ends[0] != 100 || ends[buckets-2] > mostBucket || ends[buckets-2]*spacing <= mostBucket || ends[buckets-1] != noEnd {
		t.Errorf("%v", ends)
	}
	for rate, want := range map[int64]int{0: 0, 100: 0, 101: 1, 105: 1, 106: 2, 10_000_001: buckets - 1, 1 << 62: buckets - 1} {
		if got := bucketOf(rate); got != want {
			t.Errorf("%d is in bucket %d, want %d", rate, got, want)
		}
	}
}

// TestModesDiffer has fees fall after twelve dear blocks: what is economical follows
// after four, what is conservative does not yet (as in Bitcoin Core's
// feature_fee_estimation).
func TestModesDiffer(t *testing.T) {
	m := newMarket()
	m.expect(t, "nothing seen", 2, Economical, 0)
	for i := range 12 {
		m.mine(24, 500_000)
		if i == 3 {
			m.expect(t, "too few blocks", 2, Economical, 0)
		}
	}
	m.expect(t, "dear", 1, Economical, 500_000)
	m.expect(t, "dear", 1, Conservative, 500_000)
	for range 4 {
		m.mine(24, 100_000)
	}
	m.expect(t, "cheap", 1, Economical, 100_000)
	m.expect(t, "cheap, for the careful", 1, Conservative, 500_000)
}

// TestWhatWasReplacedIsAFailure has nine of ten that pay little replaced by others that
// pay much a block later: little is not enough.
func TestWhatWasReplacedIsAFailure(t *testing.T) {
	m := newMarket()
	var cheap []Mark
	var dear []Mark
	for range 6 {
		for range 50 {
			cheap = append(cheap, m.Enter(m.height, 1000))
		}
		m.height++
		m.Block(m.height)
		for i, mark := range cheap {
			if i%10 == 0 {
				m.Confirm(mark, 1000)
			}
		}
		for _, mark := range dear {
			m.Confirm(mark, 10_000)
		}
		dear = dear[:0]
		for i, mark := range cheap {
			if i%10 > 0 {
				m.Leave(mark)
				dear = append(dear, m.Enter(m.height, 10_000))
			}
		}
		cheap = cheap[:0]
	}
	m.expect(t, "after replacements", 2, Economical, 10_000)
	if raw := m.Raw(Short, 1, 0.6); !raw.Fails || raw.Fail.LeftMempool == 0 || raw.Fail.To > raw.Pass.From {
		t.Errorf("%+v", raw)
	}
}

// TestWhatWaitsCounts has cheap ones wait: as soon as they have waited for the target
// they count against their rate, also when they are older than all horizons.
func TestWhatWaitsCounts(t *testing.T) {
	m := newMarket()
	var marks []Mark
	for range 300 {
		marks = append(marks, m.Enter(m.height, 1000))
	}
	for range 20 {
		m.mine(10, 20_000)
		m.mine(10, 1000)
	}
	m.expect(t, "they wait", 4, Economical, 20_000)
	m.height += 2 * MaxTarget
	m.Block(m.height)
	if got := m.waitingFor(MaxTarget)[bucketOf(1000)]; got != 300 {
		t.Errorf("%v wait for long, want 300", got)
	}
	for _, mark := range marks {
		m.Leave(mark)
	}
	if n := m.waitingFor(1); n != (counts{}) {
		t.Errorf("nothing waits, and yet %v", n)
	}
}

// TestReorganizationIsNoTime goes back and forth at the same height.
func TestReorganizationIsNoTime(t *testing.T) {
	m := newMarket()
	for range 10 {
		m.mine(10, 5000)
	}
	before := m.Append(nil)
	m.Block(m.height)
	m.Block(m.height - 1)
	if mark := m.Enter(m.height-1, 5000); mark != (Mark{}) {
		t.Error("one that came while the tip was lower counts")
	}
	m.Confirm(m.Enter(m.height, 7000), 7000)
	if !bytes.Equal(before, m.Append(nil)) {
		t.Error("a block in the place of another is one more")
	}
}

// TestAppendedIsDecoded writes and reads, and goes on as if nothing had been.
func TestAppendedIsDecoded(t *testing.T) {
	m := newMarket()
	for i := range 30 {
		m.mine(10, int64(1000+100*i))
	}
	body := m.Append(nil)
	if len(body) != Size {
		t.Fatalf("%d bytes, want %d", len(body), Size)
	}
	d := consensus.NewDecoder(body)
	e := Decode(d)
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	n := &market{e, m.height}
	n.mine(10, 2000)
	m.mine(10, 2000)
	if !bytes.Equal(n.Append(nil), m.Append(nil)) {
		t.Error("it goes on otherwise")
	}
}
