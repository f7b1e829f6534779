package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in bytes of the fields of the type work.
const (
	offK1     = 0
	offK2     = 256
	offS1     = 512
	offS2     = 768
	offStart2 = 1024
	offIV     = 1056
	offEarly2 = 1088
	offLast   = 1100
	offLimit  = 1104
	offBytes  = 1108
	offLane   = 1152
	offSwap   = 1216

	offShaIV    = 1280 // and the same for the second half, 16 bytes behind it
	offShaW16   = 1312
	offShaW20   = 1328
	offShaW28   = 1344
	offShaPad8  = 1360
	offShaPad12 = 1376
	offShaK16   = 1392

	offBuf      = 1408
	offVersions = offBuf + 4*16*72
)

// Offsets of the fields of the type versionWork.
const (
	offMid       = 0
	offStart1    = 32
	offEarly1    = 64
	offFound     = 76
	offShaStart1 = 80 // as offShaIV
	offShaMid    = 112

	versionSize = 144
	maxVersions = 64
)

// base is where in the work the register points that has its address: then the
// offsets of most constants fit into the one byte that an instruction has for a
// multiple of four.
const base = 512

func at(work reg.Register, offset int) operand.Mem {
	return operand.Mem{Base: work, Disp: offset - base}
}
