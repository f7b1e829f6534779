package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -C gen . ..

// archKernels are those for the instructions that some CPUs have.
var archKernels = []*Kernel{
	{Name: "avx2", available: cpu.X86.HasAVX2,
		one: scanner{lanes: 8, scan: scanAVX2}, rolling: &scanner{lanes: 8, least: 2, most: 32, scan: scanAVX2}},
	{Name: "sha-ni", available: hasSHA() && cpu.X86.HasAVX2,
		one: scanner{lanes: 4, scan: scanSHANI}, rolling: &scanner{lanes: 4, least: 4, most: 32, scan: scanSHANIRolling}},
	{Name: "avx512", available: cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW,
		one: scanner{lanes: 16, scan: scanAVX512}, rolling: &scanner{lanes: 16, least: 2, most: 64, scan: scanAVX512}},
}

// hasSHA reports whether the CPU has the SHA instructions (leaf 7, bit 29 of
// ebx). They need nothing of the operating system that SSE does not.
func hasSHA() bool {
	if leaves, _, _, _ := cpuid(0, 0); leaves < 7 {
		return false
	}
	_, b, _, _ := cpuid(7, 0)
	return b>>29&1 == 1
}
