package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// hybrid writes a kernel that has AVX-512 compute the message schedules, for 16
// nonces at once, and the SHA instructions the rounds. Each does what it does in
// the fewest instructions: the schedule in lanes gains from all words that are
// known, and a round takes half an instruction and half a load.
//
// The two run at the same time on different nonces. Each turn of the loop
//
//	computes the rounds of the first hash of batch i,
//	         while the schedule of the second hash of batch i-1 is made;
//	computes the rounds of the second hash of batch i-1,
//	         while the schedule of the first hash of batch i+1 is made.
//
// The results of its first turn are void.
type hybrid struct {
	*build.Context
	work  reg.Register
	nonce reg.Register
}

// Places in the scratch memory. A pair is two words of the schedule with their
// round constants, side by side for each lane: what sha256rnds2 wants.
const (
	offPairs1 = offBuf             // pairs 18 to 62 of the first hash
	offPairs2 = offPairs1 + 23*128 // pairs 0 to 6 and 16 to 60 of the second
	offWord3  = offPairs2 + 27*128 // pairs of zero and word 3 of the first hash
	offABEF   = offWord3 + 128     // state after the first hash
	offCDGH   = offABEF + 256      //
	offDigest = offCDGH + 256      // last words of the second
	offRing   = offDigest + 64     // the schedule itself
)

func avx512sha(ctx *build.Context) {
	h := &hybrid{Context: ctx}
	h.Function("scanAVX512SHA")
	h.Attributes(attr.NOSPLIT)
	h.Pragma("noescape")
	h.Doc("scanAVX512SHA searches 16 nonces at a time; see scanner.scan. It needs SHA and AVX-512 F, BW and VL.")
	h.Signature(scanSignature())
	h.work = h.Load(h.Param("w"), reg.RDI)
	h.nonce = h.Load(h.Param("nonce"), reg.ESI)
	batches := h.Load(h.Param("batches"), reg.EDX)
	before, candidates := reg.ECX, reg.EAX

	h.XORL(candidates, candidates)
	h.MOVL(operand.U32(0xffffffff), before)
	h.TESTL(batches, batches)
	h.JEQ(operand.LabelRef("none"))
	h.VZEROUPPER()
	h.ADDQ(operand.U32(base), h.work)
	h.merge(h.record(h.schedule1))
	h.Label("turn")
	h.merge(h.record(h.rounds1), h.record(h.schedule2))
	h.merge(h.record(h.rounds2), h.record(h.schedule1))
	h.XORL(candidates, candidates)
	h.TESTL(before, before)
	h.JS(operand.LabelRef("next"))
	h.VMOVDQA32(h.at(offDigest), reg.Z16)
	h.VPADDD_BCST(h.at(offIV+4*7), reg.Z16, reg.Z16)
	h.VPSHUFB(h.at(offSwap), reg.Z16, reg.Z16)
	h.VPCMPUD_BCST(operand.Imm(2), h.at(offLimit), reg.Z16, reg.K1)
	h.KMOVW(reg.K1, candidates)
	h.TESTL(candidates, candidates)
	h.JNE(operand.LabelRef("done"))
	h.Label("next")
	h.INCL(before)
	h.CMPL(before, batches)
	h.JNE(operand.LabelRef("turn"))
	h.JMP(operand.LabelRef("done"))

	h.Label("none")
	h.XORL(before, before)
	h.Label("done")
	h.VZEROUPPER()
	h.Store(before, h.Return("before"))
	h.Store(candidates, h.Return("candidates"))
	h.RET()
}

func (h *hybrid) at(offset int) operand.Mem { return at(h.work, offset) }

// record gives the instructions that a function writes.
func (h *hybrid) record(write func(*build.Context)) []ir.Node {
	ctx := build.NewContext()
	ctx.Function("part")
	write(ctx)
	file, err := ctx.Result()
	if err != nil {
		panic(err)
	}
	return file.Functions()[0].Nodes
}

// merge writes several lists of instructions, evenly spread.
func (h *hybrid) merge(lists ...[]ir.Node) {
	longest := 0
	for _, list := range lists {
		longest = max(longest, len(list))
	}
	for i := range longest {
		for _, list := range lists {
			for _, node := range list[i*len(list)/longest : (i+1)*len(list)/longest] {
				if instruction, ok := node.(*ir.Instruction); ok {
					h.Instruction(instruction)
				}
			}
		}
	}
}

// lanes is the part that computes schedules. The rounds have registers 0 to 8,
// and the others up to 15 stay unused as well: where their upper halves are not
// zero, instructions in the old encoding such as sha256rnds2 are very slow on
// some CPUs of Intel.
func (h *hybrid) lanes(ctx *build.Context) *lanes {
	return &lanes{Context: ctx, wide: true, count: 16, work: h.work, vec: zmm, temps: zmm[16:], ring: offRing}
}

// schedule1 makes the schedule of the first hash for the next 16 nonces.
func (h *hybrid) schedule1(ctx *build.Context) {
	l := h.lanes(ctx)
	x, zero := l.temp(0), l.temp(1)
	l.VPBROADCASTD(h.nonce, x)
	l.ADDL(operand.Imm(l.count), h.nonce)
	l.VPADDD(l.at(offLane), x, x)
	l.VPSHUFB(l.at(offSwap), x, x)
	l.setWord(3, x)
	l.VPXORD(zero, zero, zero)
	h.store(l, zero, x, offWord3)
	for t := 18; t < 64; t++ {
		l.schedule(hash1, t)
		if t%2 == 1 {
			h.pair(l, t-1, offK1, pairs1(t-1))
		}
	}
}

// schedule2 makes that of the second hash from the results of the first.
func (h *hybrid) schedule2(ctx *build.Context) {
	l := h.lanes(ctx)
	for _, part := range []struct {
		from  int
		words [4]int
	}{
		{offABEF, [4]int{5, 4, 1, 0}},
		{offCDGH, [4]int{7, 6, 3, 2}},
	} {
		// Memory has four lanes in a row, and four words of each.
		r := func(i int) operand.Mem { return l.at(part.from + 64*i) }
		t0, t1 := l.temp(0), l.temp(1)
		l.move(r(0), t0)
		l.move(r(2), t1)
		low, high := l.temp(2), l.temp(3)
		l.VPUNPCKLDQ(r(1), t0, low)
		l.VPUNPCKLDQ(r(3), t1, high)
		h.words(l, part.words[0], part.words[1], low, high)
		l.VPUNPCKHDQ(r(1), t0, low)
		l.VPUNPCKHDQ(r(3), t1, high)
		h.words(l, part.words[2], part.words[3], low, high)
	}
	for t := 0; t < 8; t += 2 {
		h.pair(l, t, offK2, pairs2(t))
	}
	for t := 16; t < 61; t++ {
		l.schedule(hash2, t)
		switch {
		case t == 60: // round 61 is not needed
			h.pair(l, t, offK2, pairs2(t))
		case t%2 == 1:
			h.pair(l, t-1, offK2, pairs2(t-1))
		}
	}
}

func pairs1(t int) int { return offPairs1 + 64*(t-18) }

func pairs2(t int) int {
	if t >= 16 {
		t -= 8
	}
	return offPairs2 + 64*t
}

// pair stores words t and t+1 with their constants.
func (h *hybrid) pair(l *lanes, t, offK, to int) {
	x, y := l.temp(0), l.temp(1)
	l.move(l.word(t), x)
	l.addKnown(l.at(offK+4*t), x, x)
	l.move(l.word(t+1), y)
	l.addKnown(l.at(offK+4*(t+1)), y, y)
	h.store(l, x, y, to)
}

// words sets two words of the schedule in all lanes.
func (h *hybrid) words(l *lanes, t0, t1 int, low, high reg.Register) {
	x, y := l.temp(4), l.temp(5)
	l.VPUNPCKLQDQ(high, low, x)
	l.VPUNPCKHQDQ(high, low, y)
	l.setWord(t0, x)
	l.setWord(t1, y)
}

// store interleaves words.
func (h *hybrid) store(l *lanes, x, y reg.Register, to int) {
	low, high := l.temp(2), l.temp(3)
	l.VPUNPCKLDQ(y, x, low)
	l.VPUNPCKHDQ(y, x, high)
	l.move(low, l.at(to))
	l.move(high, l.at(to+64))
}

// lanePair is where among 16 pairs that of a lane is, after the interleaving.
func lanePair(lane int) int { return 64*(lane%4/2) + 16*(lane/4) + 8*(lane%2) }

// rounds1 computes the rounds of the first hash.
func (h *hybrid) rounds1(ctx *build.Context) {
	for first := 0; first < 16; first += inTurn {
		var state [inTurn][2]reg.VecPhysical
		for i := range state {
			state[i] = [2]reg.VecPhysical{xmm[1+2*i], xmm[2+2*i]}
			ctx.VMOVDDUP(h.at(offWord3+lanePair(first+i)), state[i][0])
			ctx.VPADDD(h.at(offVersions+offShaStart1), state[i][0], state[i][0])
			ctx.VMOVDQA(h.at(offVersions+offShaStart1+16), state[i][1])
		}
		for t := 4; t < 64; t += 2 {
			h.twoRounds(ctx, first, &state, hash1.known[t], offK1+4*t, pairs1(t))
		}
		for i, s := range state {
			row := 64*((first+i)%4) + 16*((first+i)/4)
			ctx.VPADDD(h.at(offVersions+offShaMid), s[0], s[0])
			ctx.VPADDD(h.at(offVersions+offShaMid+16), s[1], s[1])
			ctx.VMOVDQA(s[0], h.at(offABEF+row))
			ctx.VMOVDQA(s[1], h.at(offCDGH+row))
		}
	}
}

// rounds2 computes those of the second hash.
func (h *hybrid) rounds2(ctx *build.Context) {
	for first := 0; first < 16; first += inTurn {
		var state [inTurn][2]reg.VecPhysical
		for i := range state {
			state[i] = [2]reg.VecPhysical{xmm[1+2*i], xmm[2+2*i]}
			ctx.VMOVDQA(h.at(offShaIV), state[i][0])
			ctx.VMOVDQA(h.at(offShaIV+16), state[i][1])
		}
		for t := 0; t < 61; t += 2 {
			h.twoRounds(ctx, first, &state, hash2.known[t], offK2+4*t, pairs2(t))
		}
		for i, s := range state {
			ctx.VMOVD(s[0], h.at(offDigest+4*(first+i))) // f of round 61 is e of round 60
		}
	}
}

// twoRounds computes rounds t and t+1 of several nonces.
func (h *hybrid) twoRounds(ctx *build.Context, first int, state *[inTurn][2]reg.VecPhysical, known bool, constants, pairs int) {
	if known {
		ctx.VMOVQ(h.at(constants), reg.X0)
	}
	for i := range state {
		s := &state[i]
		if !known {
			ctx.VMOVQ(h.at(pairs+lanePair(first+i)), reg.X0)
		}
		ctx.SHA256RNDS2(reg.X0, s[0], s[1])
		s[0], s[1] = s[1], s[0]
	}
}
