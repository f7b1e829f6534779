package kernel

import "golang.org/x/sys/cpu"

// archKernels are those for the instructions that some CPUs have.
var archKernels = []*Kernel{
	{Name: "sha2", available: cpu.ARM64.HasSHA2, one: scanner{lanes: 2, scan: scanSHA2}},
}
