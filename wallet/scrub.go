package wallet

import (
	"runtime"
	"runtime/debug"
)

// scrubSize is how much is allocated of each size, in bytes: what is free among the
// used memory of that size is mostly less.
const scrubSize = 1 << 19

// Scrub overwrites what was freed lately: libraries make copies of what they decrypt
// and derive, which nobody can wipe. Garbage is collected, and its places are taken
// by zeros, size by size; whole pages go back to the system. It is what a program in
// Go can do, and no promise.
func Scrub() {
	runtime.GC()
	var keep [][]byte
	for size := 16; size <= 1<<15; size += max(size/8, 16) &^ 15 {
		for n := 0; n < scrubSize; n += size {
			keep = append(keep, make([]byte, size))
		}
	}
	runtime.KeepAlive(keep)
	keep = nil
	debug.FreeOSMemory()
}
