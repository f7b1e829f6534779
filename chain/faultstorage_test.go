package chain

import (
	"fmt"
	"io"
	"lode/chain/blockfile"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// database gives LevelDB the same files, and has it sync no less, and no more,
// than its own file storage does.
func (d *faultDisk) Database(dir string) (storage.Storage, error) {
	if err := d.Mkdir(dir); err != nil {
		return nil, err
	}
	f, err := d.file(filepath.Join(dir, "LOCK"), true)
	if err != nil {
		return nil, err
	}
	lock, err := d.Lock(f.name)
	if err != nil {
		return nil, err
	}
	return &faultStorage{d, dir, lock}, nil
}

type faultStorage struct {
	disk *faultDisk
	dir  string
	held io.Closer
}

func (s *faultStorage) name(fd storage.FileDesc) string { return filepath.Join(s.dir, fd.String()) }

func (s *faultStorage) Lock() (storage.Locker, error) { return faultLock{}, nil }
func (s *faultStorage) Log(string)                    {}
func (s *faultStorage) Close() error                  { return s.held.Close() }

func (s *faultStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	return s.disk.file(s.name(fd), false)
}

func (s *faultStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	f, err := s.disk.file(s.name(fd), true)
	if err == nil {
		if size, _ := f.Size(); size > 0 {
			err = f.Truncate(0)
		}
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (s *faultStorage) Remove(fd storage.FileDesc) error { return s.disk.remove(s.name(fd)) }

func (s *faultStorage) Rename(from, to storage.FileDesc) error {
	return s.disk.Rename(s.name(from), s.name(to))
}

func (s *faultStorage) List(types storage.FileType) (list []storage.FileDesc, err error) {
	names, err := s.disk.Names(s.dir)
	for _, name := range names {
		var fd storage.FileDesc
		for _, form := range []struct {
			format string
			kind   storage.FileType
		}{{"MANIFEST-%d", storage.TypeManifest}, {"%d.log", storage.TypeJournal}, {"%d.ldb", storage.TypeTable}, {"%d.tmp", storage.TypeTemp}} {
			if n, err := fmt.Sscanf(name, form.format, &fd.Num); n == 1 && err == nil {
				if fd.Type = form.kind; fd.Type&types != 0 && name == fd.String() {
					list = append(list, fd)
				}
				break
			}
		}
	}
	return list, err
}

func (s *faultStorage) SetMeta(fd storage.FileDesc) error {
	return blockfile.WriteFile(s.disk, s.dir, filepath.Join(s.dir, "CURRENT"), []byte(fd.String()))
}

func (s *faultStorage) GetMeta() (fd storage.FileDesc, err error) {
	name, err := blockfile.ReadFile(s.disk, filepath.Join(s.dir, "CURRENT"))
	if err != nil {
		return fd, err
	}
	manifests, err := s.List(storage.TypeManifest)
	for _, fd := range manifests {
		if fd.String() == string(name) {
			return fd, err
		}
	}
	if err == nil {
		err = notExist("open", string(name))
	}
	return fd, err
}
