package main

// Offsets in bytes of the fields of the type work.
const (
	offK1     = 0
	offK2     = 256
	offS1     = 512
	offS2     = 768
	offMid    = 1024
	offStart1 = 1056
	offStart2 = 1088
	offIV     = 1120
	offEarly1 = 1152
	offLimit  = 1164
	offEarly2 = 1168
	offLast   = 1180
	offLane   = 1216
	offSwap   = 1280

	offShaStart1 = 1344 // each of these and the same for the second half, 16 bytes behind it
	offShaMid    = 1376
	offShaIV     = 1408
	offShaW16    = 1440
	offShaW20    = 1456
	offShaW28    = 1472
	offShaPad8   = 1488
	offShaPad12  = 1504
	offShaK16    = 1520

	offBuf = 1536
)
