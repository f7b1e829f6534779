package main

import "golang.org/x/sys/unix"

// hideFromOthers makes the process one that is not dumped, that no debugger of the
// same user can attach to, and whose environment under /proc is root's. All of its
// memory is locked where there is no limit on that: with one, memory that is taken
// later would be refused, and scrypt takes 256 MB.
func hideFromOthers() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil && limit.Cur == unix.RLIM_INFINITY {
		_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
}
