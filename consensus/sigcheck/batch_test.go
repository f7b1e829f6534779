package sigcheck

import (
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// failer is a test, or one of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// firstInvalid is what a checker says about items, whose checks exist only for
// the sake of the error: the index of the first invalid one, or their number.
func firstInvalid(t failer, c *Checker, items []item) int {
	t.Helper()
	items = slices.Clone(items)
	r := &run{checker: c, remember: func([]item) {}}
	checks := make([]*consensus.SpendCheck, len(items))
	for i := range items {
		items[i].index = i
		items[i].id = c.id(&items[i].Signature)
		checks[i] = &consensus.SpendCheck{Input: i}
	}
	r.failed.Store(int64(len(items)))
	r.share(checks, items)
	failed := int(r.failed.Load())
	if (r.err == nil) != (failed == len(items)) {
		t.Fatalf("index %d of %d with error %v", failed, len(items), r.err)
	}
	if n := c.Disagreements(); n != 0 {
		t.Fatalf("the batch and btcec disagree %d times", n)
	}
	return failed
}

// oneByOneInvalid is what firstInvalid must be.
func oneByOneInvalid(items []item) int {
	i := slices.IndexFunc(items, func(it item) bool { return !it.Verify() })
	if i < 0 {
		return len(items)
	}
	return i
}

// TestBatchVectors takes every test vector of BIP340 with a message of 32 bytes
// alone and among valid signatures.
func TestBatchVectors(t *testing.T) { bothWays(t, testBatchVectors) }

func testBatchVectors(t *testing.T) {
	f, err := os.Open("../testdata/bip340-test-vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, row := range rows[1:] {
		key, err1 := hex.DecodeString(row[2])
		message, err2 := hex.DecodeString(row[4])
		sig, err3 := hex.DecodeString(row[5])
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(row)
		}
		if len(message) != 32 {
			continue // Lode signs hashes only
		}
		tested++
		vector := item{Signature: consensus.Signature{Key: [32]byte(key), Message: consensus.Hash(message), Sig: [64]byte(sig)}}
		c := New(0)
		for _, n := range []int{0, 1, 2, 7, 60} {
			for _, at := range []int{0, n / 2, n} {
				items := slices.Insert(slices.Clone(validItems()[:n]), at, vector)
				want := len(items)
				if row[6] == "FALSE" {
					want = at
				}
				if got := firstInvalid(t, c, items); got != want {
					t.Errorf("vector %s (%s) as %d of %d: first invalid %d, want %d", row[0], row[7], at, len(items), got, want)
				}
			}
		}
	}
	if tested < 15 {
		t.Errorf("only %d vectors", tested)
	}
}

// corrupt changes items in one of the ways in which signatures go wrong, or
// seem to.
func corrupt(t *rapid.T, items []item) {
	i := rapid.IntRange(0, len(items)-1).Draw(t, "i")
	j := rapid.IntRange(0, len(items)-1).Draw(t, "j")
	bit := rapid.IntRange(0, 255).Draw(t, "bit")
	flip := func(b []byte) { b[bit/8] ^= 1 << (bit % 8) }
	a, b := &items[i], &items[j]
	switch kind := rapid.SampledFrom([]string{
		"key", "message", "r", "s", "r ≥ p", "s ≥ n", "key ≥ p", "swap", "copy", "cancel", "r = key", "zero", "negate s",
	}).Draw(t, "kind"); kind {
	case "key":
		flip(a.Key[:])
	case "message":
		flip(a.Message[:])
	case "r":
		flip(a.Sig[:32])
	case "s":
		flip(a.Sig[32:])
	case "r ≥ p":
		copy(a.Sig[:32], bigEndian(prime, uint64(bit)))
	case "key ≥ p":
		a.Key = [32]byte(bigEndian(prime, uint64(bit)))
	case "s ≥ n":
		copy(a.Sig[32:], bigEndian(element(order), uint64(bit)))
	case "swap":
		a.Sig, b.Sig = b.Sig, a.Sig
	case "copy":
		*a = *b
	case "cancel": // Σ s stays the same
		addTo(a.Sig[32:], 1)
		addTo(b.Sig[32:], -1)
	case "r = key":
		copy(a.Sig[:32], a.Key[:])
	case "zero":
		clear(a.Sig[32:])
	case "negate s":
		negated := new(scalar)
		negated.setBytes((*[32]byte)(a.Sig[32:]))
		copy(a.Sig[32:], toBytes(modN(neg(toBig(*negated)))))
	}
}

// TestBatchAgainstOneByOne compares verdict and index with btcec's.
func TestBatchAgainstOneByOne(t *testing.T) { bothWays(t, testBatchAgainstOneByOne) }

func testBatchAgainstOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 3, 5, 8, 16, 17, 33, 70}).Draw(t, "n")
		from := rapid.IntRange(0, 1000).Draw(t, "from")
		items := slices.Clone(validItems()[from : from+n])
		for range rapid.IntRange(0, 3).Draw(t, "corruptions") {
			corrupt(t, items)
		}
		c := New(0)
		c.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		want := oneByOneInvalid(items)
		if got := firstInvalid(t, c, items); got != want {
			t.Fatalf("first invalid: %d of %d, want %d", got, n, want)
		}
	})
}

// TestBatchCancelling is the attack that the random numbers are for: two wrong
// signatures whose errors add up to nothing.
func TestBatchCancelling(t *testing.T) { bothWays(t, testBatchCancelling) }

func testBatchCancelling(t *testing.T) {
	items := slices.Clone(validItems()[:20])
	addTo(items[3].Sig[32:], 5)
	addTo(items[15].Sig[32:], -5)
	if got := firstInvalid(t, New(0), items); got != 3 {
		t.Errorf("first invalid: %d, want 3", got)
	}
}

// TestBatchSizes takes batches up to several a core, with the first invalid
// signature at either end and in the middle.
func TestBatchSizes(t *testing.T) { bothWays(t, testBatchSizes) }

func testBatchSizes(t *testing.T) {
	for n := 1; n <= 4096; n = n*3 + 1 {
		c := New(0)
		if got := firstInvalid(t, c, validItems()[:n]); got != n {
			t.Errorf("%d valid signatures: %d is said to be invalid", n, got)
		}
		if n > 500 {
			continue
		}
		for _, bad := range []int{0, n / 2, n - 1} {
			items := slices.Clone(validItems()[:n])
			items[bad].Message[0]++
			items[n-1].Sig[0]++
			if got := firstInvalid(t, c, items); got != bad {
				t.Errorf("first invalid of %d: %d, want %d", n, got, bad)
			}
		}
	}
}

// TestBatchRepeated has one signature many times: the same points meet in the
// same sums.
func TestBatchRepeated(t *testing.T) { bothWays(t, testBatchRepeated) }

func testBatchRepeated(t *testing.T) {
	items := slices.Repeat(validItems()[:1], 500)
	if got := firstInvalid(t, New(0), items); got != len(items) {
		t.Errorf("%d is said to be invalid", got)
	}
	items[444].Sig[63]++
	if got := firstInvalid(t, New(0), items); got != 444 {
		t.Errorf("first invalid: %d, want 444", got)
	}
}

// FuzzBatch changes bytes of a valid batch and compares with btcec. Each change
// is three bytes: of which signature, which byte, and by what.
func FuzzBatch(f *testing.F) {
	f.Add(uint8(1), []byte{})
	f.Add(uint8(7), []byte{3, 0, 1})
	f.Add(uint8(30), []byte{9, 64, 255, 9, 127, 1})
	f.Add(uint8(12), []byte{0, 100, 1, 1, 100, 1})
	f.Fuzz(func(t *testing.T, n uint8, changes []byte) {
		items := slices.Clone(validItems()[:1+n%64])
		for ; len(changes) >= 3; changes = changes[3:] {
			it := &items[int(changes[0])%len(items)]
			switch at := changes[1] % 128; {
			case at < 32:
				it.Key[at] ^= changes[2]
			case at < 64:
				it.Message[at-32] ^= changes[2]
			default:
				it.Sig[at-64] ^= changes[2]
			}
		}
		want := oneByOneInvalid(items)
		if got := firstInvalid(t, New(0), items); got != want {
			t.Fatalf("first invalid: %d of %d, want %d", got, len(items), want)
		}
	})
}

// bigEndian is x + more.
func bigEndian(x element, more uint64) []byte {
	for i, carry := 0, more; i < 4 && carry > 0; i++ {
		x[i] += carry
		if x[i] >= carry {
			break
		}
		carry = 1
	}
	b := make([]byte, 32)
	for i := range b {
		b[31-i] = byte(x[i/8] >> (i % 8 * 8))
	}
	return b
}

// addTo adds n to a number modulo the order of the group.
func addTo(b []byte, n int64) {
	copy(b, toBytes(modN(plus(fromBytes(b), n))))
}

func ExampleChecker_VerifyBlocks() {
	block, err := New(1000).VerifyBlocks([][]consensus.SpendCheck{nil, nil})
	fmt.Println(block, err)
	// Output: 2 <nil>
}
