// Package diskfree tells how much room a disk has.
package diskfree

// Bytes is how many bytes may still be written into the file system of a directory, as
// far as the system says it.
func Bytes(dir string) (n int64, ok bool) { return free(dir) }
