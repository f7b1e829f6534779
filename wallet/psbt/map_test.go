package psbt

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMergeHasTheOrderOfSet: records go to where they would go one by one.
func TestMergeHasTheOrderOfSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() (m Map) {
		for range rng.IntN(8) {
			m = append(m, Record{keyOf(uint64(rng.IntN(5)), []byte{byte(len(m))}), []byte{byte(rng.Int())}})
		}
		return m
	}
	for range 2000 {
		m, other := random(), random()
		want := m.clone()
		for _, r := range other {
			if _, have := want.Get(r.Type(), r.Data()); !have {
				want.Set(r.Type(), r.Data(), r.Value)
			}
		}
		got := m.clone()
		got.merge(other)
		same := slices.EqualFunc(got, want, func(a, b Record) bool { return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) })
		if !same {
			t.Fatalf("%v and %v: %v, want %v", m, other, got, want)
		}
	}
}

// TestMergeOfManyRecords takes minutes if every record costs a search.
func TestMergeOfManyRecords(t *testing.T) {
	many := func(from int) (m Map) {
		for i := range maxRecords {
			m = append(m, Record{Key: keyOf(0xf0, binary.BigEndian.AppendUint32(nil, uint32(from+i)))})
		}
		return m
	}
	m := many(0)
	m.merge(many(maxRecords / 2))
	if len(m) != maxRecords*3/2 {
		t.Errorf("%d records", len(m))
	}
}
