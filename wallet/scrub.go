package wallet

import (
	"runtime"
	"runtime/debug"
)

// What is allocated of each size, in bytes: what is free among the used memory of
// that size is mostly less. A node has many hashes, which are as long as keys.
const (
	scrubSize  = 1 << 19
	scrubSmall = 1 << 22 // of sizes up to smallSize
	smallSize  = 64
)

// Scrub overwrites what was freed lately: libraries make copies of what they decrypt
// and derive, which nobody can wipe. Garbage is collected, and its places are taken
// by zeros, size by size; whole pages go back to the system. It is what a program in
// Go can do, and no promise.
func Scrub() {
	runtime.GC()
	var keep [][]byte
	fill := func(size, bytes int) {
		for n := 0; n < bytes; n += size {
			keep = append(keep, make([]byte, size))
		}
	}
	fill(24, scrubSmall) // the one size that is no multiple of 16
	for size := 16; size <= 1<<15; size += max(size/8, 16) &^ 15 {
		if size <= smallSize {
			fill(size, scrubSmall)
		} else {
			fill(size, scrubSize)
		}
	}
	runtime.KeepAlive(keep)
	keep = nil
	debug.FreeOSMemory()
}
