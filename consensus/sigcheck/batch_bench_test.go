package sigcheck

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// signed makes the i-th of a fixed sequence of valid signatures, each by a key
// of its own.
func signed(i int) item { return signedBy(i, i) }

func signedBy(signer, i int) item {
	secret := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("key"), uint64(signer)))
	key, public := btcec.PrivKeyFromBytes(secret[:])
	it := item{Signature: consensus.Signature{
		Key:     [32]byte(schnorr.SerializePubKey(public)),
		Message: sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("message"), uint64(i))),
	}}
	sig, err := schnorr.Sign(key, it.Message[:], schnorr.FastSign())
	if err != nil {
		panic(err)
	}
	it.Sig = [64]byte(sig.Serialize())
	it.id = it.ID()
	return it
}

// validItems are many valid signatures, made once.
var validItems = sync.OnceValue(func() []item {
	items := make([]item, 4096)
	for i := range items {
		items[i] = signed(i)
	}
	return items
})

// BenchmarkBatch gives the time for one signature on one core, and how much of
// the time that btcec takes this is.
func BenchmarkBatch(b *testing.B) {
	if vectorized {
		b.Run("vectors", benchmarkBatch)
	}
	defer func(was bool) { vectorized = was }(vectorized)
	vectorized = false
	b.Run("elements", benchmarkBatch)
}

func benchmarkBatch(b *testing.B) {
	items := validItems()
	for _, n := range []int{1, 2, 4, 8, 16, 64, 256, 1024, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			perSignature(b, n, 1, func() bool { return verifyBatch(items[:n]) })
		})
	}
}

// BenchmarkBatchFewKeys has few keys for 1024 signatures: in turn, so that equal
// points meet in the sums, and each for all the inputs of a transaction.
func BenchmarkBatchFewKeys(b *testing.B) {
	run := func(name string, signer func(i int) int) {
		items := make([]item, 1024)
		for i := range items {
			items[i] = signedBy(signer(i), i)
		}
		b.Run(name, func(b *testing.B) {
			perSignature(b, len(items), 1, func() bool { return verifyBatch(items) })
		})
	}
	run("in turn", func(i int) int { return i % 16 })
	run("together", func(i int) int { return i / 16 })
}

// BenchmarkBatchInvalid finds one invalid signature, the last of 1024.
func BenchmarkBatchInvalid(b *testing.B) {
	items := slices.Clone(validItems()[:1024])
	items[1023].Sig[63] ^= 1
	c := New(0)
	c.workers = 1
	perSignature(b, len(items), 1, func() bool { return firstInvalid(b, c, items) == 1023 })
}

// perSignature measures f, which verifies n signatures, and reports the shortest
// time for one of them, and how often that goes into the time that btcec would
// take one by one on as many cores. The shortest time is what others who use
// the machine disturb least.
func perSignature(b *testing.B, n, cores int, f func() bool) {
	b.ReportAllocs()
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		if !f() {
			b.Fatal("a wrong verdict")
		}
		best = min(best, time.Since(start))
	}
	btcec := time.Duration(math.MaxInt64)
	for i := range 200 {
		start := time.Now()
		if !validItems()[i].Verify() {
			b.Fatal("a wrong verdict")
		}
		btcec = min(btcec, time.Since(start))
	}
	each := float64(best) / float64(n)
	b.ReportMetric(each/1000, "µs/sig")
	b.ReportMetric(float64(btcec)/float64(cores)/each, "x-btcec")
}

func BenchmarkField(b *testing.B) {
	x := element{1, 2, 3, 4}
	y := element{5, 6, 7, 8}
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			x.mul(&x, &y)
		}
	})
	b.Run("square", func(b *testing.B) {
		for b.Loop() {
			x.square(&x)
		}
	})
	b.Run("sub", func(b *testing.B) {
		for b.Loop() {
			x.sub(&x, &y)
		}
	})
	b.Run("sqrt", func(b *testing.B) {
		for b.Loop() {
			y.raise(&x, rootChain)
		}
	})
	b.Run("roots", func(b *testing.B) {
		var in, out [lanes]element
		for b.Loop() {
			roots(out[:], in[:])
		}
	})
	b.Run("split", func(b *testing.B) {
		k := scalar(x)
		for b.Loop() {
			k.split()
		}
	})
	b.Run("challenge", func(b *testing.B) {
		it := signed(1)
		for b.Loop() {
			challenge(&it)
		}
	})
}
