package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx2 writes the kernel for AVX2. It has no registers to spare: the schedules are
// in memory.
func avx2(ctx *build.Context) {
	ctx.Function("scanAVX2")
	ctx.Attributes(attr.NOSPLIT)
	ctx.Pragma("noescape")
	ctx.Doc("scanAVX2 searches 8 nonces at a time; see scanner.scan. It needs AVX2.")
	ctx.Signature(scanSignature())
	work := ctx.Load(ctx.Param("w"), reg.RDI)
	nonce := ctx.Load(ctx.Param("nonce"), reg.ESI)
	batches := ctx.Load(ctx.Param("batches"), reg.EDX)
	before, candidates := reg.ECX, reg.EAX
	version, end, found := reg.R8, reg.R9, reg.R10L
	l := &lanes{Context: ctx, count: 8, work: work, version: version, vec: ymm, temps: ymm[8:], ring: offBuf}

	ctx.ADDQ(operand.U32(base), work)
	ctx.XORL(before, before)
	ctx.MOVL(l.at(offBytes), end.As32())
	ctx.LEAQ(operand.Mem{Base: work, Index: end, Scale: 1, Disp: offVersions - base}, end)

	ctx.Label("batch")
	ctx.XORL(candidates, candidates)
	ctx.CMPL(before, batches)
	ctx.JEQ(operand.LabelRef("done"))
	l.nonces(nonce)
	l.sums(hash1)
	ctx.LEAQ(l.at(offVersions), version)

	ctx.Label("version")
	l.hash1()
	l.hash2()
	e, limit, least := l.state[4], l.temp(0), l.temp(1)
	ctx.VPSHUFB(l.at(offSwap), e, e)
	ctx.VPBROADCASTD(l.at(offLimit), limit)
	ctx.VPMINUD(limit, e, least)
	ctx.VPCMPEQD(least, e, least)
	ctx.VMOVMSKPS(least, found)
	ctx.MOVL(found, l.ofVersion(offFound))
	ctx.ORL(found, candidates)
	ctx.ADDQ(operand.U32(versionSize), version)
	ctx.CMPQ(version, end)
	ctx.JNE(operand.LabelRef("version"))
	ctx.TESTL(candidates, candidates)
	ctx.JNE(operand.LabelRef("done"))
	ctx.INCL(before)
	ctx.ADDL(operand.Imm(l.count), nonce)
	ctx.JMP(operand.LabelRef("batch"))

	ctx.Label("done")
	ctx.VZEROUPPER()
	ctx.Store(before, ctx.Return("before"))
	ctx.Store(candidates, ctx.Return("candidates"))
	ctx.RET()
}
