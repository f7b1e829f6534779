package fees

import (
	"encoding/binary"
	"math"

	"lode/consensus"
)

// Size is how many bytes long what Append makes is.
const Size = 8*3 + 8*buckets*(3*2+2*(12+24+42))

// Append appends what e knows to b, for Decode, without the transactions that wait.
func (e *Estimator) Append(b []byte) []byte {
	number := binary.LittleEndian.AppendUint64
	b = number(b, uint64(e.height))
	b = number(b, uint64(e.span))
	began := uint64(0)
	if e.began {
		began = 1
	}
	b = number(b, began)
	for h := range e.past {
		e.past[h].each(func(c *counts) {
			for _, n := range c {
				b = number(b, math.Float64bits(n))
			}
		})
	}
	return b
}

// Decode reads what Append has written. The decoder's error says what is wrong.
func Decode(d *consensus.Decoder) *Estimator {
	e := New(0)
	height, span, began := d.Uint64(), d.Uint64(), d.Uint64()
	if height > math.MaxUint32 || span > math.MaxInt32 || began > 1 {
		d.Fail("%d blocks, at height %d", span, height)
		return e
	}
	e.height, e.span, e.began = uint32(height), int(span), began == 1
	for h := range e.past {
		p := &e.past[h]
		p.each(func(c *counts) {
			for i := range c {
				if c[i] = math.Float64frombits(d.Uint64()); !(c[i] >= 0 && c[i] < 1e18) { // nor NaN
					d.Fail("a count of %v", c[i])
				}
			}
		})
		for _, within := range p.within {
			for i := range within {
				if within[i] > p.total[i] { // rounding cannot do that, for it keeps order
					d.Fail("%v of %v transactions", within[i], p.total[i])
				}
			}
		}
	}
	e.counts = true
	return e
}
