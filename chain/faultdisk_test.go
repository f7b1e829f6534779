package chain

import (
	"errors"
	"io"
	"io/fs"
	"lode/chain/blockfile"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// faultDisk is a file system in memory that fails, and forgets, as a real one
// may. A process that uses it can be killed: what it has written stays, of a
// write that was under way its beginning. Or the power is cut: certain is only
// what was synced, the content of a file by its own Sync and names by that of
// their directory. Everything it decides comes from its seed.
type faultDisk struct {
	mu     sync.Mutex // guards what follows, and all inodes
	random *rand.Rand
	root   *inode
	boot   int // of the machine or the process; handles of an older one are dead
	dead   bool
	locked map[*inode]bool
	ops    int // changes so far, and where something will happen
	plan   plan
	struck string // the file that the plan has struck, if it has
	stale  bool   // a Sync has failed: what is read may not be on the medium, and may never be
}

// plan is what is to happen at one change, or at one reading.
type plan struct {
	kind strike
	at   int // the change, counted from 1 with the last boot; 0 is never
}

type strike int

const (
	strikeCrash strike = iota // the process ends here
	strikeFail                // this one fails
	strikeShort               // a write is cut short
	strikeFull                // there is no room any more
	strikeRead                // a reading fails
	strikes
)

func (s strike) String() string {
	return [strikes]string{"crash", "failed write or sync", "short write", "full disk", "failed reading"}[s]
}

// inode is a file or a directory.
type inode struct {
	entries map[string]*inode // of a directory, as the process sees it
	named   map[string]*inode // as it is on the medium
	renames []func(map[string]*inode)

	data   []byte // of a file, as the process sees it
	medium []byte // as it is on the medium
	writes []write
}

// write is a change to a file that may not have reached the medium.
type write struct {
	at       int
	data     []byte
	truncate bool // to at, instead
}

func (w *write) apply(to []byte) []byte {
	if end := w.at + len(w.data); end > len(to) {
		to = append(to, make([]byte, end-len(to))...)
	}
	if w.truncate {
		return to[:w.at]
	}
	copy(to[w.at:], w.data)
	return to
}

func newDir() *inode { return &inode{entries: make(map[string]*inode), named: make(map[string]*inode)} }

func newFaultDisk(seed uint64) *faultDisk {
	return &faultDisk{random: rand.New(rand.NewPCG(seed, 1)), root: newDir(), locked: make(map[*inode]bool)}
}

var errKilled = errors.New("the process was killed")

// change counts a change to a file. cut says that only a part of it is done
// before err. The caller holds mu.
func (d *faultDisk) change(op, name string) (cut bool, err error) {
	if d.dead {
		return false, &fs.PathError{Op: op, Path: name, Err: errKilled}
	}
	d.ops++
	if d.plan.at == 0 || d.ops < d.plan.at || d.ops > d.plan.at && d.plan.kind != strikeFull {
		return false, nil
	}
	switch d.plan.kind {
	case strikeCrash:
		d.dead, d.struck = true, name
		return true, &fs.PathError{Op: op, Path: name, Err: errKilled}
	case strikeFail:
		err = syscall.EIO
	case strikeShort:
		cut, err = true, io.ErrShortWrite
	case strikeFull:
		if op == "remove" || op == "sync" || op == "truncate" {
			return false, nil
		}
		cut, err = true, syscall.ENOSPC
	case strikeRead:
		return false, nil
	}
	if d.struck == "" {
		d.struck = name
	}
	return cut, &fs.PathError{Op: op, Path: name, Err: err}
}

// read counts a reading. The caller holds mu.
func (d *faultDisk) read(name string) error {
	switch {
	case d.dead:
		return &fs.PathError{Op: "read", Path: name, Err: errKilled}
	case d.plan.kind == strikeRead && d.plan.at > 0:
		if d.plan.at--; d.plan.at == 0 {
			d.struck = name
			return &fs.PathError{Op: "read", Path: name, Err: syscall.EIO}
		}
	}
	return nil
}

// restart has the process, which is dead or ends here, started again, after a
// power cut or not, with a plan for its new life.
func (d *faultDisk) restart(powerCut bool, p plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if powerCut {
		d.cutPower(d.root)
	}
	d.boot++
	d.dead, d.ops, d.plan, d.struck, d.stale = false, 0, p, "", false
	clear(d.locked)
}

// cutPower leaves of a directory and all under it what the medium has, and some
// of what was on its way there.
func (d *faultDisk) cutPower(dir *inode) {
	for _, rename := range dir.renames[:d.random.IntN(len(dir.renames)+1)] {
		rename(dir.named)
	}
	dir.entries, dir.renames = maps.Clone(dir.named), nil
	for _, name := range slices.Sorted(maps.Keys(dir.entries)) {
		if n := dir.entries[name]; n.entries != nil {
			d.cutPower(n)
		} else {
			n.reach(d.random)
			n.data = slices.Clone(n.medium)
		}
	}
}

// reach has some of the writes to a file reach the medium: the first of them,
// or any of them, whole or torn. The others are gone.
func (n *inode) reach(random *rand.Rand) {
	writes := n.writes
	n.writes = nil
	all, any := random.IntN(3) == 0, random.IntN(2) == 0
	if !any && !all && len(writes) > 0 {
		writes = writes[:random.IntN(len(writes))+1]
		torn(&writes[len(writes)-1], random, false)
	}
	for i := range writes {
		if any && !all {
			if random.IntN(2) == 0 {
				continue
			}
			torn(&writes[i], random, true)
		}
		n.medium = writes[i].apply(n.medium)
	}
}

// torn cuts a write anywhere; holes leaves zeros inside of it, or where it would
// have ended.
func torn(w *write, random *rand.Rand, holes bool) {
	if w.truncate || len(w.data) == 0 {
		return
	}
	at := random.IntN(len(w.data) + 1)
	switch {
	case !holes:
		w.data = w.data[:at]
	case random.IntN(2) == 0:
		w.data = slices.Clone(w.data)
		clear(w.data[at:min(len(w.data), at+512)])
	}
}

// find walks to a name. The caller holds mu.
func (d *faultDisk) find(name string) *inode {
	n := d.root
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if part == "" { // the root
			return n
		}
		if n = n.entries[part]; n == nil {
			return nil
		}
	}
	return n
}

// rename makes a change to the names of a directory. The caller holds mu.
func (n *inode) rename(change func(map[string]*inode)) {
	change(n.entries)
	n.renames = append(n.renames, change)
}

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: os.ErrNotExist} }

func (d *faultDisk) Open(name string, create bool) (blockfile.File, error) {
	f, err := d.file(name, create)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *faultDisk) file(name string, create bool) (*faultFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil {
		dir := d.find(filepath.Dir(name))
		if dir == nil || !create {
			return nil, notExist("open", name)
		}
		if _, err := d.change("open", name); err != nil {
			return nil, err
		}
		n = &inode{}
		dir.rename(func(names map[string]*inode) { names[filepath.Base(name)] = n })
	} else if err := d.read(name); err != nil {
		return nil, err
	}
	return &faultFile{disk: d, n: n, name: name, boot: d.boot}, nil
}

func (d *faultDisk) Names(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.read(dir); err != nil {
		return nil, err
	}
	n := d.find(dir)
	if n == nil {
		return nil, nil
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

func (d *faultDisk) Mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.root
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		next := n.entries[part]
		if next == nil {
			if _, err := d.change("mkdir", dir); err != nil {
				return err
			}
			next = newDir()
			n.rename(func(names map[string]*inode) { names[part] = next })
		}
		n = next
	}
	return nil
}

func (d *faultDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, dir := d.find(from), d.find(filepath.Dir(from))
	if n == nil {
		return notExist("rename", from)
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		return errors.New("rename to another directory")
	}
	if _, err := d.change("rename", from); err != nil {
		return err
	}
	dir.rename(func(names map[string]*inode) {
		delete(names, filepath.Base(from))
		names[filepath.Base(to)] = n
	})
	return nil
}

// removeAll removes one name after the other, as the real one does.
func (d *faultDisk) RemoveAll(name string) error {
	names, err := d.Names(name)
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := d.RemoveAll(filepath.Join(name, child)); err != nil {
			return err
		}
	}
	if err := d.remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *faultDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.find(name) == nil {
		return notExist("remove", name)
	}
	if _, err := d.change("remove", name); err != nil {
		return err
	}
	d.find(filepath.Dir(name)).rename(func(names map[string]*inode) { delete(names, filepath.Base(name)) })
	return nil
}

func (d *faultDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.change("sync", dir); err != nil {
		return err
	}
	n := d.find(dir)
	if n == nil {
		return notExist("sync", dir)
	}
	n.named, n.renames = maps.Clone(n.entries), nil
	return nil
}

// lock is flock: the end of the process releases it.
func (d *faultDisk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	if n == nil {
		return faultLock{}, nil
	}
	if d.locked[n] {
		return nil, blockfile.ErrInUse
	}
	d.locked[n] = true
	return faultLock{d, n, d.boot}, nil
}

type faultLock struct {
	disk *faultDisk
	n    *inode
	boot int
}

func (l faultLock) Close() error {
	if l.disk != nil {
		l.disk.mu.Lock()
		defer l.disk.mu.Unlock()
		if l.boot == l.disk.boot {
			delete(l.disk.locked, l.n)
		}
	}
	return nil
}

// Unlock is what LevelDB calls.
func (l faultLock) Unlock() {}

// faultFile is an open file, also one of LevelDB's.
type faultFile struct {
	disk *faultDisk
	n    *inode
	name string
	boot int
	pos  int64 // of Read and Write
}

// alive fails for a process that has ended. The caller holds the disk's mu.
func (f *faultFile) alive(op string) error {
	if f.boot != f.disk.boot {
		return &fs.PathError{Op: op, Path: f.name, Err: errKilled}
	}
	return nil
}

func (f *faultFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.n.data)), f.alive("stat")
}

func (f *faultFile) ReadAt(p []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := errors.Join(f.alive("read"), f.disk.read(f.name)); err != nil {
		return 0, err
	}
	if offset > int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *faultFile) WriteAt(p []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.alive("write"); err != nil {
		return 0, err
	}
	cut, err := f.disk.change("write", f.name)
	switch {
	case cut:
		p = p[:f.disk.random.IntN(len(p)+1)]
	case err != nil:
		return 0, err
	}
	w := write{at: int(offset), data: slices.Clone(p)}
	f.n.data = w.apply(f.n.data)
	f.n.writes = append(f.n.writes, w)
	return len(p), err
}

func (f *faultFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.alive("truncate"); err != nil {
		return err
	}
	if _, err := f.disk.change("truncate", f.name); err != nil {
		return err
	}
	f.n.truncate(int(size))
	return nil
}

func (n *inode) truncate(size int) {
	w := write{at: size, truncate: true}
	n.data = w.apply(n.data)
	n.writes = append(n.writes, w)
}

// Sync that fails has some writes lost for good, as Linux does: those that did
// not reach the medium count as clean, and no later Sync helps. A process that
// starts before the machine does sees them still, and they are gone when it is the
// machine's turn: a ledger finds them damaged then, and has peers send them again.
func (f *faultFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.alive("sync"); err != nil {
		return err
	}
	if _, err := f.disk.change("sync", f.name); err != nil {
		if !f.disk.dead {
			f.disk.stale = true
			f.n.reach(f.disk.random)
		}
		return err
	}
	for i := range f.n.writes {
		f.n.medium = f.n.writes[i].apply(f.n.medium)
	}
	f.n.writes = nil
	return nil
}

func (f *faultFile) Close() error { return nil }

func (f *faultFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *faultFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *faultFile) Seek(offset int64, whence int) (int64, error) {
	size, err := f.Size()
	f.pos = offset + []int64{io.SeekStart: 0, io.SeekCurrent: f.pos, io.SeekEnd: size}[whence]
	return f.pos, err
}
