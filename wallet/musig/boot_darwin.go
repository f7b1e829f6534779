package musig

import "golang.org/x/sys/unix"

// boot is the random number that macOS takes at every start.
func boot() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
