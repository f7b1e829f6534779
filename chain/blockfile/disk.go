package blockfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"lode/internal/filelock"
	"lode/internal/syncdir"
)

// Disk is the file system under a ledger. Tests put one in its place that fails,
// and that forgets what was not synced, as a power cut does.
type Disk interface {
	Open(name string, create bool) (File, error)
	Names(dir string) ([]string, error) // none if dir is not there
	Mkdir(dir string) error
	Rename(from, to string) error
	RemoveAll(name string) error
	SyncDir(dir string) error // so that the files made in it stay there
	Lock(name string) (io.Closer, error)
	Database(dir string) (storage.Storage, error) // the files of the LevelDB in dir
}

// File is an open file of a Disk.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// ErrInUse is the kind of error for what another process holds.
var ErrInUse = filelock.ErrHeld

// OS is the disk of the operating system.
type OS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Open opens a file to read and write, and makes it if create says so. One that is there
// and must not be written can be read.
func (OS) Open(name string, create bool) (File, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := os.OpenFile(name, flag, 0o600)
	if !create && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		f, err = os.OpenFile(name, os.O_RDONLY, 0) // old block files may lie where nothing can be written
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Names lists what is in a directory: nothing if that is not there.
func (OS) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = entries[i].Name()
	}
	return names, nil
}

// Mkdir makes a directory, and those above it.
func (OS) Mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }

// Rename renames a file or directory.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// RemoveAll removes a file, or a directory with all in it.
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// SyncDir has the files that were made in a directory survive a power cut.
func (OS) SyncDir(dir string) error { return syncdir.Sync(dir) }

// Lock takes the lock that a LevelDB holds while it is open. There is none if
// the file is not there.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if filelock.Held(err) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	if err = filelock.Try(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Database gives the files of the LevelDB in a directory. The error is of kind
// ErrInUse if another process holds it.
func (OS) Database(dir string) (storage.Storage, error) {
	files, err := storage.OpenFile(dir, false)
	if filelock.Held(err) {
		return nil, ErrInUse
	}
	return files, err
}

// WriteFile makes a file with a content at one stroke: whoever is killed, or
// loses power, leaves the whole file or none.
func WriteFile(d Disk, dir, name string, content []byte) (err error) {
	unfinished := fmt.Sprintf("%s.%d", name, os.Getpid())
	f, err := d.Open(unfinished, true)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return errors.Join(d.Rename(unfinished, name), d.SyncDir(dir))
}

// ReadFile reads a whole file.
func ReadFile(d Disk, name string) ([]byte, error) {
	f, err := d.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	content := make([]byte, size)
	_, err = f.ReadAt(content, 0)
	if errors.Is(err, io.EOF) && size == 0 {
		err = nil
	}
	return content, err
}

// safeStorage makes three promises about LevelDB's files that LevelDB itself does
// not: a journal that it has begun to replace is synced before it writes to the
// next, or a power cut could take the end of the older one and leave what was
// synced later; the name of a new journal or table survives where its content
// does; and once anything could not be written nothing is any more, or LevelDB,
// which tries again in the background, would remove what its own names refer to.
type safeStorage struct {
	storage.Storage
	disk   Disk
	dir    string
	broken *firstError
}

// NewSafeStorage gives the files of the LevelDB in dir with these promises.
func NewSafeStorage(files storage.Storage, d Disk, dir string) storage.Storage {
	return safeStorage{files, d, dir, new(firstError)}
}

// firstError is the error after which nothing is tried any more.
type firstError struct {
	mu  sync.Mutex // guards what follows
	err error
}

// try makes a change if none has failed before.
func (e *firstError) try(change func() error) error {
	if err := e.note(nil); err != nil {
		return err
	}
	err := change()
	if errors.Is(err, os.ErrNotExist) { // nothing is lost by removing what is not there
		return err
	}
	return e.note(err)
}

func (e *firstError) note(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = cmp.Or(e.err, err)
	return e.err
}

type safeWriter struct {
	storage.Writer
	storage safeStorage
	journal bool
	named   bool // the directory was synced
}

func (s safeStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	w := &safeWriter{storage: s, journal: fd.Type == storage.TypeJournal}
	err := s.broken.try(func() (err error) {
		w.Writer, err = s.Storage.Create(fd)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (s safeStorage) SetMeta(fd storage.FileDesc) error {
	return s.broken.try(func() error { return s.Storage.SetMeta(fd) })
}

func (s safeStorage) Remove(fd storage.FileDesc) error {
	return s.broken.try(func() error { return s.Storage.Remove(fd) })
}

func (s safeStorage) Rename(from, to storage.FileDesc) error {
	return s.broken.try(func() error { return s.Storage.Rename(from, to) })
}

func (w *safeWriter) Write(p []byte) (n int, err error) {
	err = w.storage.broken.try(func() (err error) {
		n, err = w.Writer.Write(p)
		return err
	})
	return n, err
}

func (w *safeWriter) Sync() error { return w.storage.broken.try(w.sync) }

func (w *safeWriter) sync() error {
	if err := w.Writer.Sync(); err != nil || w.named {
		return err
	}
	w.named = true
	return w.storage.disk.SyncDir(w.storage.dir)
}

func (w *safeWriter) Close() error {
	if !w.journal {
		return w.Writer.Close()
	}
	return errors.Join(w.Sync(), w.Writer.Close())
}
