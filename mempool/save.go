package mempool

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"lode/consensus"
	"lode/internal/atomicfile"
)

// FileName is that of a saved pool in the directory of a network.
const FileName = "mempool.dat"

// saveVersion is that of the file: what Bitcoin Core writes as version 1, and
// the SHA-256 of it all behind that.
const saveVersion = 1

// maxSaved is how many bytes long a file may be at least. A pool is shorter than the
// memory that it takes, but it may have been allowed more when it was saved.
const maxSaved = 1_000_000_000

// Save replaces a file by one with all transactions, when they came, what Prioritise
// was told, and the ids of those that no peer has asked for yet. A crash at any instant leaves the old file or the new.
// It does nothing while Load has not read the old one to its end.
func (p *Pool) Save(path string, unbroadcast ...consensus.Hash) error {
	if !p.Loaded() {
		return nil
	}
	p.mu.Lock()
	list, deltas := p.graph.InOrder(), maps.Clone(p.deltas)
	p.mu.Unlock()
	if err := replaceFile(path, func(w *bufio.Writer) { writeSaved(w, list, deltas, unbroadcast) }); err != nil {
		return fmt.Errorf("save the mempool: %w", err)
	}
	return nil
}

// replaceFile replaces a file by what write writes and the SHA-256 of that, as a
// whole. The writer's first error sticks, so that write need not look at any.
func replaceFile(path string, write func(*bufio.Writer)) error {
	return atomicfile.Replace(path, func(f io.Writer) error {
		hash := sha256.New()
		w := bufio.NewWriterSize(io.MultiWriter(f, hash), 1<<16)
		write(w)
		if err := w.Flush(); err != nil {
			return err
		}
		_, err := f.Write(hash.Sum(nil))
		return err
	})
}

// readFile reads a file of at most most bytes.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("it is %d bytes long, and may be %d", info.Size(), most)
	}
	raw := make([]byte, info.Size())
	_, err = io.ReadFull(f, raw)
	return raw, err
}

// checked is what replaceFile has written, without the checksum.
func checked(raw []byte) ([]byte, error) {
	body := raw[:max(0, len(raw)-sha256.Size)]
	if sum := sha256.Sum256(body); len(body) == 0 || !bytes.Equal(raw[len(body):], sum[:]) {
		return nil, errors.New("it is cut short or damaged: its checksum is wrong")
	}
	return body, nil
}

func writeSaved(w *bufio.Writer, list []*Node, deltas map[consensus.Hash]consensus.Amount, unbroadcast []consensus.Hash) {
	number := binary.LittleEndian.AppendUint64
	w.Write(number(number(nil, saveVersion), uint64(len(list))))
	for _, n := range list {
		w.Write(n.Tx.Bytes())
		w.Write(number(number(nil, uint64(n.Time.Unix())), uint64(deltas[n.TxID])))
		delete(deltas, n.TxID)
	}
	w.Write(consensus.AppendCompactSize(nil, uint64(len(deltas))))
	for _, id := range slices.SortedFunc(maps.Keys(deltas), func(a, b consensus.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		w.Write(number(slices.Clone(id[:]), uint64(deltas[id])))
	}
	w.Write(consensus.AppendCompactSize(nil, uint64(len(unbroadcast))))
	for _, id := range slices.SortedFunc(slices.Values(unbroadcast), func(a, b consensus.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		w.Write(id[:])
	}
}

// LoadNone is in place of Load where no file is to be read.
func (p *Pool) LoadNone() { p.loaded.Store(true) }

// Load takes in what Save has left, as far as it is valid now and not expired,
// and logs what came of that. It goes on while the pool is in use, until ctx ends.
// unbroadcast are those that no peer had asked for, and that are in the pool.
func (p *Pool) Load(ctx context.Context, path string) (unbroadcast []consensus.Hash) {
	raw, err := readFile(path, max(int64(p.cfg.Policy.MaxMemory), maxSaved))
	if errors.Is(err, os.ErrNotExist) {
		p.cfg.Log.Info("the mempool begins empty: none was saved", "file", path)
		p.loaded.Store(true)
		return nil
	}
	var saved *savedPool
	if err == nil {
		saved, err = readSaved(raw)
	}
	if err != nil {
		p.cfg.Log.Warn("the mempool begins empty: the saved one cannot be read", "file", path, "error", err)
		p.loaded.Store(true)
		return nil
	}
	for id, delta := range saved.deltas {
		p.Prioritise(id, delta)
	}
	oldest := p.cfg.Now().Add(-p.cfg.Policy.Expiry)
	saved.list = slices.DeleteFunc(saved.list, func(a *adding) bool { return a.time.Before(oldest) })
	if p.takeSaved(ctx, path, saved) != nil {
		return nil // and the file stays as it is
	}
	p.loaded.Store(true)
	return slices.DeleteFunc(saved.unbroadcast, func(id consensus.Hash) bool {
		_, here := p.ByTxID(id)
		return !here
	})
}

// takeSaved adds what was in a file.
func (p *Pool) takeSaved(ctx context.Context, path string, saved *savedPool) error {
	const together = 1000
	came := 0
	for batch := range slices.Chunk(saved.list, together) {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.addAll(batch)
		for _, a := range batch {
			if a.err == nil {
				came++
			}
		}
	}
	came += p.loadFamilies(saved.list)
	p.cfg.Log.Info("loaded the mempool", "file", path, "saved", saved.count, "accepted", came)
	return nil
}

// loadFamilies brings in, of what was refused by itself, the parents that pay too
// little with the children that pay for them.
func (p *Pool) loadFamilies(list []*adding) (came int) {
	cheap := make(map[consensus.Hash]*adding)
	for _, a := range list {
		if IsTooCheap(a.err) {
			cheap[a.tx.TxID()] = a
		}
		if len(cheap) == 0 || !errors.Is(a.err, consensus.ErrMissingInputs) {
			continue
		}
		if p.addAll([]*adding{a}); a.err == nil { // its parents have come
			came++
			continue
		}
		var family []*adding
		for i := range a.tx.In {
			if parent, ok := cheap[a.tx.In[i].PrevOut.TxID]; ok && !slices.Contains(family, parent) {
				family = append(family, parent)
			}
		}
		if family = append(family, a); len(family) > 1 && p.addTogether(family) == nil {
			came += len(family)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trim()
	return came
}

// Loaded reports whether Load has come to its end.
func (p *Pool) Loaded() bool { return p.loaded.Load() }

// savedPool is what a file holds.
type savedPool struct {
	count  int // of transactions
	list   []*adding
	deltas map[consensus.Hash]consensus.Amount

	unbroadcast []consensus.Hash // ids of what nobody has asked for yet
}

func readSaved(raw []byte) (*savedPool, error) {
	body, err := checked(raw)
	if err != nil {
		return nil, err
	}
	return readBody(body)
}

func readBody(body []byte) (*savedPool, error) {
	d := consensus.NewDecoder(body)
	if v := d.Uint64(); v != saveVersion {
		d.Fail("version %d is not known", v)
	}
	s := &savedPool{deltas: make(map[consensus.Hash]consensus.Amount)}
	for count := d.Uint64(); count > 0 && d.Err() == nil; count-- {
		tx := d.Tx()
		at, delta := int64(d.Uint64()), consensus.Amount(d.Uint64())
		if d.Err() != nil {
			break
		}
		tx = ownCopy(tx)
		s.list = append(s.list, &adding{tx: tx, time: time.Unix(at, 0)})
		if delta != 0 {
			s.deltas[tx.TxID()] = delta
		}
	}
	s.count = len(s.list)
	for range d.Count(32 + 8) {
		id := d.Hash()
		s.deltas[id] = consensus.Amount(d.Uint64())
	}
	for range d.Count(32) {
		s.unbroadcast = append(s.unbroadcast, d.Hash())
	}
	return s, d.Finish()
}

// ownCopy is tx without the file or block around it, which it would keep in
// memory.
func ownCopy(tx *consensus.Tx) *consensus.Tx {
	own, err := consensus.DecodeTx(tx.Bytes())
	if err != nil {
		return tx // it has no inputs, and will be refused for that
	}
	return own
}
