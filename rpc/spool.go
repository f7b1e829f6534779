package rpc

import (
	"errors"
	"fmt"
	"io"
	"os"

	"lode/internal/diskfree"
)

// Bounds of the answers to batches, which are kept until the last is there, and of
// large answers to one call, which are kept until they are read: in
// memory, and what is more in a file. A user has half of what there is
// at most, see shares.
const (
	maxSpooled     = 64 << 20  // bytes of one answer in memory
	allSpooled     = 128 << 20 // of all
	maxSpoolFile   = 1 << 30   // of one in a file
	allSpoolFiles  = 4 << 30   // of all
	firstSpoolPart = 4 << 10
	spoolPart      = 1 << 20
	spoolFree      = 1 << 30 // of the disk stay free for the ledger, which stops the node when there is no room
	spoolLook      = 4 << 20 // written between two looks at how much that is
)

// spools is what the server has for the answers to batches.
type spools struct {
	dir           string // for the files
	free          func(dir string) (int64, bool)
	memory, files *shares
}

func newSpools(dir string, users int) *spools {
	return &spools{dir, diskfree.Bytes, newShares(allSpooled, allSpooled/2, users), newShares(allSpoolFiles, allSpoolFiles/2, users)}
}

// spool keeps the answer to one batch. Close frees what it takes.
type spool struct {
	of    *spools
	user  string
	parts [][]byte // while there is no file
	taken int64    // of memory, or of files
	size  int64
	file  *os.File // nil while memory is enough
	may   int64    // bytes that may be written before the disk is looked at again
}

// The kinds of errors for an answer that is too large to be kept.
var (
	errSpool = errors.New("the answers are too large together: make batches smaller, or fewer calls at once")
	errDisk  = errors.New("too little is free on the disk to keep the answers: make batches smaller")
)

// open begins an answer for a user.
func (s *spools) open(user string) *spool { return &spool{of: s, user: user} }

// Write implements io.Writer.
func (s *spool) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if s.file == nil && !s.grow() {
			if err := s.toFile(); err != nil {
				return n, err
			}
		}
		if s.file != nil {
			k, err := s.writeFile(p)
			return n + k, err
		}
		last := &s.parts[len(s.parts)-1]
		k := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:k]...)
		p, n, s.size = p[k:], n+k, s.size+int64(k)
	}
	return n, nil
}

// grow has room in memory for one byte more; false if there is none.
func (s *spool) grow() bool {
	if k := len(s.parts); k > 0 && len(s.parts[k-1]) < cap(s.parts[k-1]) {
		return true
	}
	part := int64(firstSpoolPart)
	if len(s.parts) > 0 {
		part = min(2*int64(cap(s.parts[len(s.parts)-1])), spoolPart)
	}
	if s.taken+part > maxSpooled || !s.of.memory.take(s.user, part) {
		return false
	}
	s.taken += part
	s.parts = append(s.parts, make([]byte, 0, part))
	return true
}

// toFile moves what is there into a file that nobody else can open, and that is
// gone when the process ends, however it does.
func (s *spool) toFile() error {
	f, err := os.CreateTemp(s.of.dir, ".rpc-batch-*")
	if err != nil {
		return fmt.Errorf("a file for the answers of a batch: %w", err)
	}
	_ = os.Remove(f.Name()) // fails where open files cannot be removed: see Close
	parts, taken := s.parts, s.taken
	s.file, s.parts, s.taken, s.size = f, nil, 0, 0
	defer s.of.memory.give(s.user, taken)
	for _, part := range parts {
		if _, err := s.writeFile(part); err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) writeFile(p []byte) (int, error) {
	n := int64(len(p))
	if s.may < n {
		// What others write until the next look is less than what stays free.
		if free, ok := s.of.free(s.of.dir); ok && free-n-spoolLook < spoolFree {
			return 0, errDisk
		}
		s.may = n + spoolLook
	}
	s.may -= n
	if s.taken+n > maxSpoolFile || !s.of.files.take(s.user, n) {
		return 0, errSpool
	}
	s.taken += n
	k, err := s.file.Write(p)
	s.size += int64(k)
	return k, err
}

// WriteTo implements io.WriterTo. Nothing can be written afterwards.
func (s *spool) WriteTo(w io.Writer) (n int64, err error) {
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		return io.Copy(w, io.LimitReader(s.file, s.size))
	}
	for _, part := range s.parts {
		k, err := w.Write(part)
		if n += int64(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close frees memory and file.
func (s *spool) Close() error {
	if s.file == nil {
		s.of.memory.give(s.user, s.taken)
		s.parts, s.taken = nil, 0
		return nil
	}
	s.of.files.give(s.user, s.taken)
	s.taken = 0
	err := s.file.Close()
	_ = os.Remove(s.file.Name()) // is gone already, but on Windows
	return err
}
