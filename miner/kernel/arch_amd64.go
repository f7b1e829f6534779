package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -C gen . ..

// archKernels are those for the instructions that some CPUs have.
var archKernels = []*Kernel{
	{Name: "avx2", available: cpu.X86.HasAVX2, lanes: 8, scan: scanAVX2},
	{Name: "avx512", available: cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW, lanes: 16, scan: scanAVX512},
}
