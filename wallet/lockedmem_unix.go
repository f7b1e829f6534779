//go:build linux || darwin || freebsd

package wallet

import "golang.org/x/sys/unix"

// lockedMemory is memory of its own pages, outside of the heap: it is wiped when it
// is freed, and nothing copies it meanwhile.
type lockedMemory struct{ bytes, pages []byte }

// newLockedMemory takes memory that the system neither swaps out nor writes to a
// core file, where it lets a program ask for that. A limit of locked memory is no
// error: then the secret is at least wiped.
func newLockedMemory(size int) (*lockedMemory, error) {
	page := unix.Getpagesize()
	pages, err := unix.Mmap(-1, 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	_ = unix.Mlock(pages)
	excludeFromCore(pages)
	return &lockedMemory{pages[:size:size], pages}, nil
}

func (m *lockedMemory) free() {
	clear(m.pages)
	_ = unix.Munmap(m.pages)
	m.bytes, m.pages = nil, nil
}
