package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// streams writes a kernel for the SHA instructions, which work on one nonce.
// Several nonces take turns, so that none waits for the result of its last
// instruction.
type streams struct {
	*build.Context
	work  reg.Register
	state [][2]reg.VecPhysical // of each stream: f, e, b, a and h, g, d, c
	t, u  []reg.VecPhysical    // temporary registers, each stream in turn has one of each
	// message has four words of the schedule in each place. They are in memory,
	// as there are too few registers.
	message [][4]operand.Mem
}

// inTurn is how many nonces take turns. sha256rnds2 has a latency of four cycles
// and can begin in each (AMD Zen 4) or in every third (Intel since Alder Lake), so
// that up to four nonces gain.
const inTurn = 4

var xmm = []reg.VecPhysical{
	reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
}

func shani(ctx *build.Context) {
	s := &streams{Context: ctx}
	s.function("scanSHANI")
}

func (s *streams) function(name string) {
	s.Function(name)
	s.Attributes(attr.NOSPLIT)
	s.Pragma("noescape")
	s.Doc(fmt.Sprintf("%s searches %d nonces at a time; see Kernel.scan. It needs SHA and AVX2.", name, inTurn))
	s.Signature(scanSignature())
	s.work = s.Load(s.Param("w"), reg.RDI)
	nonce := s.Load(s.Param("nonce"), reg.ESI)
	batches := s.Load(s.Param("batches"), reg.EDX)
	before, candidates := reg.ECX, reg.EAX

	free := xmm[1:] // the instructions want constants and words in X0
	take := func() reg.VecPhysical {
		r := free[0]
		free = free[1:]
		return r
	}
	for i := range inTurn {
		s.state = append(s.state, [2]reg.VecPhysical{take(), take()})
		var m [4]operand.Mem
		for j := range m {
			m[j] = s.at(offBuf + 16*(4*i+j))
		}
		s.message = append(s.message, m)
	}
	for i, r := range free {
		if i%2 == 0 {
			s.t = append(s.t, r)
		} else {
			s.u = append(s.u, r)
		}
	}

	s.VZEROUPPER() // see hybrid.lanes
	s.ADDQ(operand.U32(base), s.work)
	s.XORL(before, before)
	s.Label("batch")
	s.XORL(candidates, candidates)
	s.CMPL(before, batches)
	s.JEQ(operand.LabelRef("done"))
	for i := range inTurn {
		s.LEAL(operand.Mem{Base: nonce.(reg.GP).As64(), Disp: i}, reg.R8L)
		s.BSWAPL(reg.R8L)
		t, u := s.temps(i)
		state := s.state[i]
		s.VMOVD(reg.R8L, t)
		s.VPSHUFD(operand.Imm(0x11), t, u) // the word in the places of e and a
		s.VPADDD(s.at(offVersions+offShaStart1), u, state[0])
		s.VMOVDQA(s.at(offVersions+offShaStart1+16), state[1])
		s.VPSLLDQ(operand.Imm(12), t, t) // and as word 3 of the schedule
		s.VPXOR(u, u, u)
		s.SHA256MSG1(u, t)
		s.VPADDD(s.at(offShaW16), t, t)
		s.VMOVDQA(t, s.message[i][0])
	}
	for q := 1; q < 16; q++ {
		for i := range inTurn {
			s.schedule1(i, q)
			s.rounds(i, q, q < 4, offK1)
		}
	}
	for i := range inTurn {
		// f, e, b, a and h, g, d, c are made words a, b, c, d and e, f, g, h.
		t, u := s.temps(i)
		abef, cdgh := s.state[i][0], s.state[i][1]
		s.VPADDD(s.at(offVersions+offShaMid), abef, t)
		s.VPADDD(s.at(offVersions+offShaMid+16), cdgh, u)
		s.VPSHUFD(operand.Imm(0x1b), t, t)
		s.VPSHUFD(operand.Imm(0xb1), u, u)
		s.VPBLENDD(operand.Imm(0x0c), u, t, abef)
		s.VPALIGNR(operand.Imm(8), t, u, cdgh)
		s.VMOVDQA(abef, s.message[i][0])
		s.VMOVDQA(cdgh, s.message[i][1])
		s.VMOVDQA(s.at(offShaIV), abef)
		s.VMOVDQA(s.at(offShaIV+16), cdgh)
	}
	for q := range 16 {
		for i := range inTurn {
			s.schedule2(i, q)
			s.rounds(i, q, q == 2 || q == 3, offK2)
		}
	}
	for i := range inTurn {
		// Round 61 has moved e of round 60, the last word of the hash, to f.
		s.VMOVD(s.state[i][1], reg.R8L)
		s.ADDL(s.at(offIV+4*7), reg.R8L)
		s.BSWAPL(reg.R8L)
		s.XORL(reg.R9L, reg.R9L)
		s.CMPL(reg.R8L, s.at(offLimit))
		s.SETLS(reg.R9B)
		s.SHLL(operand.Imm(uint64(i)), reg.R9L)
		s.ORL(reg.R9L, candidates)
	}
	s.TESTL(candidates, candidates)
	s.JNE(operand.LabelRef("done"))
	s.INCL(before)
	s.ADDL(operand.Imm(uint64(inTurn)), nonce)
	s.JMP(operand.LabelRef("batch"))

	s.Label("done")
	s.Store(before, s.Return("before"))
	s.Store(candidates, s.Return("candidates"))
	s.RET()
}

func (s *streams) at(offset int) operand.Mem { return at(s.work, offset) }

func (s *streams) temps(i int) (t, u reg.VecPhysical) { return s.t[i%len(s.t)], s.u[i%len(s.u)] }

// rounds computes rounds 4q to 4q+3, of the second hash only up to 61.
func (s *streams) rounds(i, q int, known bool, offK int) {
	abef, cdgh := s.state[i][0], s.state[i][1]
	k := s.at(offK + 16*q)
	switch {
	case known:
		s.VMOVDQA(k, reg.X0)
	case q == 4 && offK == offK1: // k1 has words 16 and 17 already
		s.VMOVDQA(s.at(offShaK16), reg.X0)
		s.VPADDD(s.message[i][q%4], reg.X0, reg.X0)
	default:
		s.VMOVDQA(s.message[i][q%4], reg.X0)
		s.VPADDD(k, reg.X0, reg.X0)
	}
	s.SHA256RNDS2(reg.X0, abef, cdgh)
	if q == 15 && offK == offK2 {
		return
	}
	s.VPSHUFD(operand.Imm(0x0e), reg.X0, reg.X0)
	s.SHA256RNDS2(reg.X0, cdgh, abef)
}

// schedule1 computes words 4q to 4q+3 of the first hash as far as they are not
// known.
func (s *streams) schedule1(i, q int) {
	m := s.message[i]
	t, u := s.temps(i)
	switch q {
	case 5:
		s.VMOVDQA(s.at(offShaW20), t)
		s.SHA256MSG2(m[0], t)
		s.VMOVDQA(t, m[1])
	case 6:
		s.align(m[0], m[1], t)
		s.SHA256MSG2(m[1], t)
		s.VMOVDQA(t, m[2])
	case 7:
		s.align(m[1], m[2], t)
		s.VPADDD(s.at(offShaW28), t, t)
		s.SHA256MSG2(m[2], t)
		s.VMOVDQA(t, m[3])
	default:
		if q > 7 {
			s.schedule(m[q%4], m[(q+1)%4], m[(q+2)%4], m[(q+3)%4], m[q%4], t, u)
		}
	}
}

// schedule2 does so for the second hash.
func (s *streams) schedule2(i, q int) {
	m := s.message[i]
	t, u := s.temps(i)
	pad8, pad12 := s.at(offShaPad8), s.at(offShaPad12)
	switch q {
	case 4:
		s.VMOVDQA(m[0], t)
		s.SHA256MSG1(m[1], t) // words 9 to 12 are zero
		s.SHA256MSG2(pad12, t)
		s.VMOVDQA(t, m[0])
	case 5:
		s.schedule(m[1], pad8, pad12, m[0], m[1], t, u)
	case 6:
		s.align(m[0], m[1], t)
		s.VPADDD(pad8, t, t) // words 9 to 12 are zero
		s.SHA256MSG2(m[1], t)
		s.VMOVDQA(t, m[2])
	case 7:
		s.schedule(pad12, m[0], m[1], m[2], m[3], t, u)
	default:
		if q > 7 {
			s.schedule(m[q%4], m[(q+1)%4], m[(q+2)%4], m[(q+3)%4], m[q%4], t, u)
		}
	}
}

// schedule computes four words from the sixteen before them.
func (s *streams) schedule(w16, w12, w8, w4, to operand.Mem, t, u reg.VecPhysical) {
	s.VMOVDQA(w16, t)
	s.SHA256MSG1(w12, t)
	s.align(w8, w4, u)
	s.VPADDD(u, t, t)
	s.SHA256MSG2(w4, t)
	s.VMOVDQA(t, to)
}

// align takes the last three words of low and the first of high.
func (s *streams) align(low, high operand.Mem, to reg.VecPhysical) {
	s.VMOVDQA(high, to)
	s.VPALIGNR(operand.Imm(4), low, to, to)
}
