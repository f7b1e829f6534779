package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx512 writes the kernel for AVX-512. While it computes the first hash with one
// version of the header, it computes the second with the version before, so that
// one has something to do while the other waits for its last result.
func avx512(ctx *build.Context) {
	ctx.Function("scanAVX512")
	ctx.Attributes(attr.NOSPLIT)
	ctx.Pragma("noescape")
	ctx.Doc("scanAVX512 searches 16 nonces at a time; see scanner.scan. It needs AVX-512 F and BW.")
	ctx.Signature(scanSignature())
	work := ctx.Load(ctx.Param("w"), reg.RDI)
	nonce := ctx.Load(ctx.Param("nonce"), reg.ESI)
	batches := ctx.Load(ctx.Param("batches"), reg.EDX)
	before, candidates := reg.ECX, reg.EAX
	version, previous, last, found := reg.R8, reg.R9, reg.R10, reg.R11L

	ctx.ADDQ(operand.U32(base), work)
	ctx.XORL(candidates, candidates)
	ctx.XORL(before, before)
	ctx.XORL(previous.As32(), previous.As32()) // none
	ctx.MOVL(at(work, offBytes), last.As32())
	ctx.LEAQ(operand.Mem{Base: work, Index: last, Scale: 1, Disp: offVersions - base - versionSize}, last)
	ctx.CMPL(before, batches)
	ctx.JEQ(operand.LabelRef("done"))

	ctx.Label("batch")
	l := &lanes{Context: ctx, wide: true, count: 16, work: work, vec: zmm, temps: zmm[8:16]}
	l.nonces(nonce)
	l.sums(hash1)
	ctx.LEAQ(at(work, offVersions), version)

	ctx.Label("version")
	merge(ctx, record(func(ctx *build.Context) {
		l := &lanes{Context: ctx, wide: true, count: 16, work: work, version: version, vec: zmm, temps: zmm[8:12]}
		l.hash1()
	}), record(func(ctx *build.Context) {
		l := &lanes{Context: ctx, wide: true, count: 16, work: work, vec: zmm[12:], temps: zmm[20:28], ring: offBuf, recent: make(map[int]reg.Register)}
		l.hash2()
		l.move(l.state[4], zmm[28])
	}))
	ctx.TESTQ(previous, previous)
	ctx.JEQ(operand.LabelRef("next"))
	ctx.VPSHUFB(at(work, offSwap), zmm[28], zmm[28])
	ctx.VPCMPUD_BCST(operand.Imm(2), at(work, offLimit), zmm[28], reg.K1) // at most
	ctx.KMOVW(reg.K1, found)
	ctx.MOVL(found, operand.Mem{Base: previous, Disp: offFound})
	ctx.ORL(found, candidates)
	ctx.CMPQ(previous, last)
	ctx.JNE(operand.LabelRef("next"))
	ctx.TESTL(candidates, candidates)
	ctx.JNE(operand.LabelRef("done"))
	ctx.INCL(before)
	ctx.CMPL(before, batches)
	ctx.JEQ(operand.LabelRef("done"))
	ctx.Label("next")
	ctx.MOVQ(version, previous)
	ctx.ADDQ(operand.U32(versionSize), version)
	ctx.CMPQ(previous, last)
	ctx.JNE(operand.LabelRef("version"))
	ctx.ADDL(operand.Imm(16), nonce)
	ctx.JMP(operand.LabelRef("batch"))

	ctx.Label("done")
	ctx.VZEROUPPER()
	ctx.Store(before, ctx.Return("before"))
	ctx.Store(candidates, ctx.Return("candidates"))
	ctx.RET()
}
