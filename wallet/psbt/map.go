package psbt

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"lode/consensus"
)

// Record is one entry of a map of a PSBT: a key, which begins with its type as a
// compact size, and a value.
type Record struct{ Key, Value []byte }

// Type is the type of the record. The key was checked when it was parsed or made.
func (r *Record) Type() uint64 { return consensus.NewDecoder(r.Key).CompactSize() }

// Data is the key without its type.
func (r *Record) Data() []byte {
	return r.Key[consensus.CompactSizeLen(r.Type()):]
}

// Map is the records of one section, each key once.
type Map []Record

func keyOf(t uint64, data []byte) []byte {
	return append(consensus.AppendCompactSize(make([]byte, 0, 1+len(data)), t), data...)
}

// Get gives the value of a record.
func (m Map) Get(t uint64, data []byte) (value []byte, ok bool) {
	for i := range m {
		r := &m[i]
		if len(r.Key) == consensus.CompactSizeLen(t)+len(data) && r.Type() == t && bytes.Equal(r.Data(), data) {
			return r.Value, true
		}
	}
	return nil, false
}

// Has reports whether there is a record of this type.
func (m Map) Has(t uint64) bool {
	return slices.ContainsFunc(m, func(r Record) bool { return r.Type() == t })
}

// All gives the records of one type: data of the key, and value.
func (m Map) All(t uint64) iter.Seq2[[]byte, []byte] {
	return func(yield func(data, value []byte) bool) {
		for i := range m {
			if m[i].Type() == t && !yield(m[i].Data(), m[i].Value) {
				return
			}
		}
	}
}

// Set puts a record in place of one with the same key, or behind those whose type
// is not greater.
func (m *Map) Set(t uint64, data, value []byte) {
	key := keyOf(t, data)
	at := len(*m)
	for i := range *m {
		r := &(*m)[i]
		if bytes.Equal(r.Key, key) {
			r.Value = value
			return
		}
		if at == len(*m) && r.Type() > t {
			at = i
		}
	}
	*m = slices.Insert(*m, at, Record{key, value})
}

// Delete takes out all records of these types.
func (m *Map) Delete(types ...uint64) {
	*m = slices.DeleteFunc(*m, func(r Record) bool { return slices.Contains(types, r.Type()) })
}

// keep takes out all records of known types but these.
func (m *Map) keep(known map[uint64]field, types ...uint64) {
	*m = slices.DeleteFunc(*m, func(r Record) bool {
		_, ok := known[r.Type()]
		return ok && r.Type() != Proprietary && !slices.Contains(types, r.Type())
	})
}

// merge takes over the records that m does not have, to the places where Set would
// put them: each before the first one whose type is greater. Strangers may send many,
// so it goes through both once.
func (m *Map) merge(other Map) {
	have := make(map[string]bool, len(*m))
	for i := range *m {
		have[string((*m)[i].Key)] = true
	}
	more := slices.DeleteFunc(slices.Clone(other), func(r Record) bool { return have[string(r.Key)] })
	if len(more) == 0 {
		return
	}
	slices.SortStableFunc(more, func(a, b Record) int { return cmp.Compare(a.Type(), b.Type()) })
	all := make(Map, 0, len(*m)+len(more))
	for _, r := range *m {
		for t := r.Type(); len(more) > 0 && more[0].Type() < t; more = more[1:] {
			all = append(all, more[0])
		}
		all = append(all, r)
	}
	*m = append(all, more...)
}

// Sort puts the records into the order of their keys, byte by byte.
func (m Map) Sort() {
	slices.SortFunc(m, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
}

func (m Map) clone() Map { return slices.Clone(m) }

// append appends the records and the separator.
func (m Map) append(b []byte) []byte {
	for i := range m {
		b = consensus.AppendVarBytes(b, m[i].Key)
		b = consensus.AppendVarBytes(b, m[i].Value)
	}
	return append(b, 0)
}
