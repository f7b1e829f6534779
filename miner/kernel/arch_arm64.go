package kernel

import "golang.org/x/sys/cpu"

// archKernels are those for the instructions that some CPUs have.
var archKernels = []*Kernel{
	{Name: "sha2", available: cpu.ARM64.HasSHA2,
		one: scanner{lanes: 2, scan: scanSHA2}, rolling: &scanner{lanes: 1, least: 2, most: 32, scan: scanSHA2Rolling}},
}
