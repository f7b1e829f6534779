//go:build unix

package main

import "golang.org/x/sys/unix"

// hideMemory keeps what this process has in memory, such as the keys of a wallet,
// from core files, swap and other processes of the same user, as far as the system
// lets a program do that. Where it does not, the command works all the same.
func hideMemory() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	hideFromOthers()
}
