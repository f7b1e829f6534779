package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes writes what has one nonce in each 32-bit lane of the registers. Kernels
// choose which registers it has.
type lanes struct {
	*build.Context
	wide    bool // AVX-512: rotations, ternary logic, 32 registers, masks
	count   uint64
	work    reg.Register
	version reg.Register         // the version in turn
	vec     []reg.VecPhysical    // the first 8 for the state, 16 to 31 for the schedule if that is in registers
	temps   []reg.VecPhysical    // for values within one round
	ring    int                  // where in memory the schedule is, 0 for registers
	state   [8]reg.Register      // a to h
	recent  map[int]reg.Register // words that are in registers as well as in the ring; nil for none
	xorBC   reg.Register         // AVX2: b^c, which is a^b of the round before
}

var (
	ymm = []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
	zmm = []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
)

func (l *lanes) at(offset int) operand.Mem { return at(l.work, offset) }

// ofVersion is a field of the version in turn.
func (l *lanes) ofVersion(offset int) operand.Mem { return operand.Mem{Base: l.version, Disp: offset} }

// sumOf is where word t of the first hash and its round constant are, for all
// versions. Word 3, alone, is in the place of word 16, which is known.
func (l *lanes) sumOf(t int) operand.Mem { return l.at(offBuf + 4*int(l.count)*t) }

// resultOf is where word t of the result of the first hash is, which is word t of
// the second.
func (l *lanes) resultOf(t int) operand.Mem { return l.sumOf(64 + t) }

// nonces sets word 3 of the first hash from the first of the nonces.
func (l *lanes) nonces(first reg.Register) {
	x := l.temp(0)
	if l.wide {
		l.VPBROADCASTD(first, x)
	} else {
		low := l.temps[0].AsX()
		l.VMOVD(first, low)
		l.VPBROADCASTD(low, x)
	}
	l.VPADDD(l.at(offLane), x, x)
	l.VPSHUFB(l.at(offSwap), x, x)
	l.setWord(3, x)
	l.move(x, l.sumOf(16))
}

// hash1 computes the first hash.
func (l *lanes) hash1() {
	l.move(l.sumOf(16), l.temp(0))
	l.begin(hash1, l.temp(0))
	l.rounds(hash1)
	for i, s := range l.state {
		l.addKnown(l.ofVersion(offMid+4*i), s, s)
		l.move(s, l.resultOf(i))
	}
}

// hash2 computes the second: e of its state is then the last word of the hash,
// the most significant of its number.
func (l *lanes) hash2() {
	l.move(l.resultOf(0), l.temp(0))
	l.begin(hash2, l.temp(0))
	l.rounds(hash2)
}

// sums computes the words of the first hash that are not known, each with its
// round constant.
func (l *lanes) sums(h *hash) {
	for t := 16; t < h.rounds; t++ {
		if h.known[t] {
			continue
		}
		l.schedule(h, t)
		x, word := l.temp(4), l.temp(0)
		if l.wide {
			word = l.word(t).(reg.Register)
		}
		l.addKnown(l.at(h.offK+4*t), word, x)
		l.move(x, l.sumOf(t))
	}
}

func (l *lanes) temp(i int) reg.Register { return l.temps[i] }

// recentWords is how many words there are in lanes.recent: up to the one that the
// next needs for σ1.
const recentWords = 3

// word is where word t of the schedule is kept until its place is needed for
// word t+16: a register, or memory if there are too few. In memory the first
// eight have places of their own, as the next may be there before the last words
// of the ring are used.
func (l *lanes) word(t int) operand.Op {
	if l.ring == 0 {
		return l.vec[16+t%16]
	}
	if r, ok := l.recent[t]; ok {
		return r
	}
	if t < 8 {
		return l.resultOf(t)
	}
	return l.inRing(t)
}

func (l *lanes) inRing(t int) operand.Mem { return l.at(l.ring + 4*int(l.count)*(t%16)) }

func (l *lanes) setWord(t int, from reg.Register) { l.move(from, l.word(t)) }

func (l *lanes) move(from, to operand.Op) {
	if l.wide {
		l.VMOVDQA32(from, to)
	} else {
		l.VMOVDQA(from, to)
	}
}

// addKnown adds what is the same in all lanes.
func (l *lanes) addKnown(known operand.Mem, x, to reg.Register) {
	if l.wide {
		l.VPADDD_BCST(known, x, to)
		return
	}
	all := l.temp(7)
	l.VPBROADCASTD(known, all)
	l.VPADDD(all, x, to)
}

// begin sets the state before the first round that depends on the nonce: x, the
// word that does, has been added to two of its words.
func (l *lanes) begin(h *hash, x reg.Register) {
	for i := range l.state {
		l.state[i] = l.vec[i]
		switch i {
		case 0, 4:
			l.addKnown(l.start(h, i), x, l.state[i])
		case 7: // is part of offEarly
		default:
			l.VPBROADCASTD(l.start(h, i), l.state[i])
		}
	}
	if !l.wide {
		l.xorBC = l.temp(6)
		l.VPXOR(l.state[1], l.state[2], l.xorBC)
	}
}

// start is a word of the state that begin sets.
func (l *lanes) start(h *hash, i int) operand.Mem {
	if h == hash1 {
		return l.ofVersion(offStart1 + 4*i)
	}
	return l.at(offStart2 + 4*i)
}

func (l *lanes) rounds(h *hash) {
	for t := h.first; t < h.rounds; t++ {
		if t >= 16 && h == hash2 {
			l.schedule(h, t)
		}
		l.round(h, t)
	}
}

// round computes T1 in the register of h, adds it to d, and makes it the next
// a. The last four rounds of the second hash need no a any more.
func (l *lanes) round(h *hash, t int) {
	a, b, c, d, e, f, g, sum := l.state[0], l.state[1], l.state[2], l.state[3], l.state[4], l.state[5], l.state[6], l.state[7]
	l.Commentf("Round %d.", t)
	last := t == h.rounds-1 && h == hash2
	early := t < h.first+3
	var known operand.Mem
	switch {
	case early && h == hash1:
		known = l.ofVersion(offEarly1 + 4*(t-h.first))
	case early:
		known = l.at(offEarly2 + 4*(t-h.first))
	case last:
		known = l.at(offLast)
	default:
		known = l.at(h.offK + 4*t)
	}
	switch {
	case early && h.known[t]:
		l.VPBROADCASTD(known, sum)
	case early && l.ring == 0:
		l.addKnown(known, l.word(t).(reg.Register), sum)
	case early:
		l.VPBROADCASTD(known, sum)
		l.VPADDD(l.word(t), sum, sum)
	case h == hash1 && !h.known[t]:
		l.VPADDD(l.sumOf(t), sum, sum)
	default:
		l.addKnown(known, sum, sum)
		if !h.known[t] {
			l.VPADDD(l.word(t), sum, sum)
		}
	}
	x := l.temp(0)
	l.choose(e, f, g, x)
	l.VPADDD(x, sum, sum)
	l.sigma(bigSigma1, e, x)
	l.VPADDD(x, sum, sum)
	l.VPADDD(sum, d, d)
	if h == hash1 || t < h.rounds-4 {
		l.majority(a, b, c, x)
		l.VPADDD(x, sum, sum)
		l.sigma(bigSigma0, a, x)
		l.VPADDD(x, sum, sum)
	}
	l.state = [8]reg.Register{sum, a, b, c, d, e, f, g}
}

// schedule computes word t from those that are not known and the sum of those
// that are.
func (l *lanes) schedule(h *hash, t int) {
	l.Commentf("Word %d.", t)
	sum, x := l.temp(0), l.temp(4)
	switch {
	case l.ring == 0:
		sum = l.word(t).(reg.Register) // has word t-16
	case l.recent != nil:
		sum = l.temp(5 + t%recentWords)
	}
	empty := true
	if !h.known[t-16] {
		if l.ring != 0 {
			l.move(l.word(t-16), sum)
		}
		empty = false
	}
	add := func(source int, r *rotations) {
		if h.known[source] {
			return
		}
		from := l.word(source)
		switch {
		case r == nil && empty:
			l.move(from, sum)
		case r == nil:
			l.VPADDD(from, sum, sum)
		case empty:
			l.sigma(*r, from, sum)
		default:
			l.sigma(*r, from, x)
			l.VPADDD(x, sum, sum)
		}
		empty = false
	}
	add(t-15, &smallSigma0)
	add(t-7, nil)
	add(t-2, &smallSigma1)
	if h.terms[t] {
		l.addKnown(l.at(h.offS+4*t), sum, sum)
	}
	if l.ring != 0 {
		l.move(sum, l.inRing(t))
	}
	if l.recent != nil {
		l.recent[t] = sum
		delete(l.recent, t-recentWords)
	}
}

// sigma is the exclusive or of three rotations of x. It uses temporary registers
// 1 to 3.
func (l *lanes) sigma(r rotations, x operand.Op, to reg.Register) {
	t1, t2, t3 := l.temp(1), l.temp(2), l.temp(3)
	if _, inMemory := x.(operand.Mem); inMemory {
		l.move(x, t3)
		x = t3
	}
	if l.wide {
		l.VPRORD(operand.Imm(r.by[0]), x, t1)
		l.VPRORD(operand.Imm(r.by[1]), x, t2)
		if r.shift {
			l.VPSRLD(operand.Imm(r.by[2]), x, to)
		} else {
			l.VPRORD(operand.Imm(r.by[2]), x, to)
		}
		l.VPTERNLOGD(operand.Imm(0x96), t1, t2, to) // to ^ t1 ^ t2
		return
	}
	l.VPSRLD(operand.Imm(r.by[0]), x, t1)
	l.VPSLLD(operand.Imm(32-r.by[0]), x, t2)
	l.VPXOR(t1, t2, t1)
	l.VPSRLD(operand.Imm(r.by[1]), x, t2)
	l.VPXOR(t1, t2, t1)
	l.VPSLLD(operand.Imm(32-r.by[1]), x, t2)
	l.VPXOR(t1, t2, t1)
	l.VPSRLD(operand.Imm(r.by[2]), x, t2)
	if r.shift {
		l.VPXOR(t1, t2, to)
		return
	}
	l.VPXOR(t1, t2, t1)
	l.VPSLLD(operand.Imm(32-r.by[2]), x, t2)
	l.VPXOR(t1, t2, to)
}

// choose is f where e has a one and g elsewhere.
func (l *lanes) choose(e, f, g, to reg.Register) {
	if l.wide {
		l.VMOVDQA32(e, to)
		l.VPTERNLOGD(operand.Imm(0xca), g, f, to)
		return
	}
	l.VPXOR(f, g, to)
	l.VPAND(e, to, to)
	l.VPXOR(g, to, to)
}

// majority is what at least two of a, b and c have: b where b equals c, else a.
func (l *lanes) majority(a, b, c, to reg.Register) {
	if l.wide {
		l.VMOVDQA32(a, to)
		l.VPTERNLOGD(operand.Imm(0xe8), c, b, to)
		return
	}
	other := l.temp(5)
	if l.xorBC == other {
		other = l.temp(6)
	}
	l.VPXOR(a, b, other)
	l.VPAND(other, l.xorBC, to)
	l.VPXOR(b, to, to)
	l.xorBC = other
}
