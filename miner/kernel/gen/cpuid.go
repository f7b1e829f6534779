package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// cpuid writes a function for what golang.org/x/sys/cpu does not say: whether the
// CPU has the SHA instructions.
func cpuid(ctx *build.Context) {
	ctx.Function("cpuid")
	ctx.Attributes(attr.NOSPLIT)
	ctx.Doc("cpuid executes the instruction of that name.")
	ctx.SignatureExpr("func(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)")
	ctx.Load(ctx.Param("leaf"), reg.EAX)
	ctx.Load(ctx.Param("subleaf"), reg.ECX)
	ctx.CPUID()
	ctx.Store(reg.EAX, ctx.Return("eax"))
	ctx.Store(reg.EBX, ctx.Return("ebx"))
	ctx.Store(reg.ECX, ctx.Return("ecx"))
	ctx.Store(reg.EDX, ctx.Return("edx"))
	ctx.RET()
}
