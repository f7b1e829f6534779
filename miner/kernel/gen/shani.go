package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// streams writes a kernel for the SHA instructions, which work on one hash.
// Several take turns, so that none waits for the result of its last instruction.
type streams struct {
	*build.Context
	work               reg.Register
	before, candidates reg.Register
	state              [][2]reg.VecPhysical // of each stream: f, e, b, a and h, g, d, c
	t, u               []reg.VecPhysical    // temporary registers, each stream in turn has one of each
	// message has four words of the schedule in each place. They are in memory,
	// as there are too few registers.
	message [][4]operand.Mem
}

// inTurn is how many hashes take turns. sha256rnds2 has a latency of four cycles
// and can begin in each (AMD Zen 4) or in every third (Intel since Alder Lake), so
// that up to four gain.
const inTurn = 4

var xmm = []reg.VecPhysical{
	reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
}

func shani(ctx *build.Context) {
	s := &streams{Context: ctx}
	s.one()
	s = &streams{Context: ctx}
	s.many()
}

// begin starts a function and gives the registers of its parameters and results.
func (s *streams) begin(name, doc string) (nonce, batches reg.Register) {
	s.Function(name)
	s.Attributes(attr.NOSPLIT)
	s.Pragma("noescape")
	s.Doc(doc)
	s.Signature(scanSignature())
	s.work = s.Load(s.Param("w"), reg.RDI)
	nonce = s.Load(s.Param("nonce"), reg.ESI)
	batches = s.Load(s.Param("batches"), reg.EDX)
	s.before, s.candidates = reg.ECX, reg.EAX

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
	// Where the upper parts of registers are not zero, instructions in the old
	// encoding, as these are, take hundreds of cycles on some CPUs of Intel.
	s.VZEROUPPER()
	s.ADDQ(operand.U32(base), s.work)
	s.XORL(s.before, s.before)
	return nonce, batches
}

// end is the end of a batch and of the function.
func (s *streams) end(nonce reg.Register) {
	s.TESTL(s.candidates, s.candidates)
	s.JNE(operand.LabelRef("done"))
	s.INCL(s.before)
	s.ADDL(operand.Imm(uint64(inTurn)), nonce)
	s.JMP(operand.LabelRef("batch"))

	s.Label("done")
	s.Store(s.before, s.Return("before"))
	s.Store(s.candidates, s.Return("candidates"))
	s.RET()
}

// one searches with one version of the header. A nonce is a stream.
func (s *streams) one() {
	nonce, batches := s.begin("scanSHANI", fmt.Sprintf("scanSHANI searches %d nonces at a time; see scanner.scan. It needs SHA and AVX2.", inTurn))
	s.Label("batch")
	s.XORL(s.candidates, s.candidates)
	s.CMPL(s.before, batches)
	s.JEQ(operand.LabelRef("done"))
	for i := range inTurn {
		_, u := s.nonceWord(i, nonce)
		s.VPADDD(s.at(offVersions+offShaStart1), u, s.state[i][0])
		s.VMOVDQA(s.at(offVersions+offShaStart1+16), s.state[i][1])
		s.word16(i)
	}
	for q := 1; q < 16; q++ {
		for i := range inTurn {
			s.schedule1(i, q)
			s.rounds(i, q, q < 4, offK1)
		}
	}
	for i := range inTurn {
		s.between(i, s.at(offVersions+offShaMid), s.at(offVersions+offShaMid+16))
	}
	s.hash2()
	for i := range inTurn {
		s.compare(i)
		s.SHLL(operand.Imm(uint64(i)), reg.R11L)
		s.ORL(reg.R11L, s.candidates)
	}
	s.end(nonce)
}

// Places in the scratch memory behind the messages, of each nonce in turn: words
// 16 to 63 of the first hash with their round constants, and the nonce where the
// first state wants it.
const (
	offSums      = offBuf + 16*4*inTurn
	offNonceWord = 16 * 12
	sumsSize     = offNonceWord + 16
)

// many searches with several versions of the header, a multiple of inTurn: each
// is a stream, and all have the same nonce, so that the words of the first hash
// come from memory.
func (s *streams) many() {
	nonce, batches := s.begin("scanSHANIRolling", fmt.Sprintf("scanSHANIRolling searches %d nonces at a time with each version; see scanner.scan. It needs SHA and AVX2.", inTurn))
	version, end, sums, left := reg.R8, reg.R9, reg.R10, reg.R12L
	s.MOVL(s.at(offBytes), end.As32())
	s.LEAQ(operand.Mem{Base: s.work, Index: end, Scale: 1, Disp: offVersions - base}, end)
	of := func(i, offset int) operand.Mem { return operand.Mem{Base: version, Disp: versionSize*i + offset} }
	sum := func(offset int) operand.Mem { return operand.Mem{Base: sums, Disp: offset} }

	s.Label("batch")
	s.XORL(s.candidates, s.candidates)
	s.CMPL(s.before, batches)
	s.JEQ(operand.LabelRef("done"))
	for i := range inTurn {
		_, u := s.nonceWord(i, nonce)
		s.VMOVDQA(u, s.at(offSums+sumsSize*i+offNonceWord))
		s.word16(i)
	}
	for q := 4; q < 16; q++ {
		for i := range inTurn {
			s.schedule1(i, q)
			s.sum(i, q, offK1)
			s.VMOVDQA(reg.X0, s.at(offSums+sumsSize*i+16*(q-4)))
		}
	}

	s.LEAQ(s.at(offVersions), version)
	s.Label("versions")
	s.MOVL(operand.U32(inTurn), left)
	s.LEAQ(s.at(offSums+sumsSize*(inTurn-1)), sums)
	s.Label("nonce") // the last is the first
	for i := range inTurn {
		s.VMOVDQA(of(i, offShaStart1), s.state[i][0])
		s.VPADDD(sum(offNonceWord), s.state[i][0], s.state[i][0])
		s.VMOVDQA(of(i, offShaStart1+16), s.state[i][1])
	}
	for t := 4; t < 64; t += 2 {
		if t < 16 {
			s.VMOVQ(s.at(offK1+4*t), reg.X0)
		} else {
			s.VMOVQ(sum(4*(t-16)), reg.X0)
		}
		for i := range inTurn {
			s.SHA256RNDS2(reg.X0, s.state[i][t/2%2], s.state[i][1-t/2%2])
		}
	}
	for i := range inTurn {
		s.between(i, of(i, offShaMid), of(i, offShaMid+16))
	}
	s.hash2()
	for i := range inTurn {
		// The bits of the four nonces come one after the other.
		s.compare(i)
		s.MOVL(of(i, offFound), reg.R13L)
		s.LEAL(operand.Mem{Base: reg.R11, Index: reg.R13, Scale: 2}, reg.R13L)
		s.ANDL(operand.Imm(1<<inTurn-1), reg.R13L)
		s.MOVL(reg.R13L, of(i, offFound))
	}
	s.SUBQ(operand.U32(sumsSize), sums)
	s.DECL(left)
	s.JNE(operand.LabelRef("nonce"))
	for i := range inTurn {
		s.ORL(of(i, offFound), s.candidates)
	}
	s.ADDQ(operand.U32(inTurn*versionSize), version)
	s.CMPQ(version, end)
	s.JNE(operand.LabelRef("versions"))
	s.end(nonce)
}

// nonceWord gives word 3 of the second chunk: as it is in t, and in the places of
// e and a in u.
func (s *streams) nonceWord(i int, nonce reg.Register) (t, u reg.VecPhysical) {
	s.LEAL(operand.Mem{Base: nonce.(reg.GP).As64(), Disp: i}, reg.R11L)
	s.BSWAPL(reg.R11L)
	t, u = s.temps(i)
	s.VMOVD(reg.R11L, t)
	s.VPSHUFD(operand.Imm(0x11), t, u)
	return t, u
}

// word16 makes words 16 to 19 of word 3.
func (s *streams) word16(i int) {
	t, u := s.temps(i)
	s.VPSLLDQ(operand.Imm(12), t, t)
	s.VPXOR(u, u, u)
	s.SHA256MSG1(u, t)
	s.VPADDD(s.at(offShaW16), t, t)
	s.VMOVDQA(t, s.message[i][0])
}

// between makes the result of the first hash the message of the second: f, e, b,
// a and h, g, d, c are made words a, b, c, d and e, f, g, h.
func (s *streams) between(i int, mid, midh operand.Mem) {
	t, u := s.temps(i)
	abef, cdgh := s.state[i][0], s.state[i][1]
	s.VPADDD(mid, abef, t)
	s.VPADDD(midh, cdgh, u)
	s.VPSHUFD(operand.Imm(0x1b), t, t)
	s.VPSHUFD(operand.Imm(0xb1), u, u)
	s.VPBLENDD(operand.Imm(0x0c), u, t, abef)
	s.VPALIGNR(operand.Imm(8), t, u, cdgh)
	s.VMOVDQA(abef, s.message[i][0])
	s.VMOVDQA(cdgh, s.message[i][1])
	s.VMOVDQA(s.at(offShaIV), abef)
	s.VMOVDQA(s.at(offShaIV+16), cdgh)
}

func (s *streams) hash2() {
	for q := range 16 {
		for i := range inTurn {
			s.schedule2(i, q)
			s.rounds(i, q, q == 2 || q == 3, offK2)
		}
	}
}

// compare sets R11 to 1 if the last word of the hash is at most the limit. Round
// 61 has moved it from e of round 60 to f.
func (s *streams) compare(i int) {
	s.VMOVD(s.state[i][1], reg.R13L)
	s.ADDL(s.at(offIV+4*7), reg.R13L)
	s.BSWAPL(reg.R13L)
	s.XORL(reg.R11L, reg.R11L)
	s.CMPL(reg.R13L, s.at(offLimit))
	s.SETLS(reg.R11B)
}

func (s *streams) at(offset int) operand.Mem { return at(s.work, offset) }

func (s *streams) temps(i int) (t, u reg.VecPhysical) { return s.t[i%len(s.t)], s.u[i%len(s.u)] }

// rounds computes rounds 4q to 4q+3, of the second hash only up to 61.
func (s *streams) rounds(i, q int, known bool, offK int) {
	abef, cdgh := s.state[i][0], s.state[i][1]
	if known {
		s.VMOVDQA(s.at(offK+16*q), reg.X0)
	} else {
		s.sum(i, q, offK)
	}
	s.SHA256RNDS2(reg.X0, abef, cdgh)
	if q == 15 && offK == offK2 {
		return
	}
	s.VPSHUFD(operand.Imm(0x0e), reg.X0, reg.X0)
	s.SHA256RNDS2(reg.X0, cdgh, abef)
}

// sum adds the round constants to words 4q to 4q+3.
func (s *streams) sum(i, q, offK int) {
	k := s.at(offK + 16*q)
	if q == 4 && offK == offK1 { // k1 has words 16 and 17 already
		k = s.at(offShaK16)
	}
	s.VMOVDQA(s.message[i][q%4], reg.X0)
	s.VPADDD(k, reg.X0, reg.X0)
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
