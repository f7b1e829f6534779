//go:build !(linux || darwin || freebsd)

package wallet

// lockedMemory is memory that is wiped when it is freed.
type lockedMemory struct{ bytes []byte }

// newLockedMemory takes memory. How to keep it out of swap is not known here.
func newLockedMemory(size int) (*lockedMemory, error) {
	return &lockedMemory{make([]byte, size)}, nil
}

func (m *lockedMemory) free() {
	clear(m.bytes)
	m.bytes = nil
}
