package mempool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lode/consensus"
)

// ImportOptions says what Import takes over of a file but its transactions. Who
// wrote the file decides on that.
type ImportOptions struct {
	Times  bool // when they came; else they come now
	Deltas bool // what Prioritise was told, which is added to what it was told here
}

// Import takes in the transactions of a file that Save, or Bitcoin Core, has
// written, as far as they are valid now and not expired, and gives the ids of those
// that nobody had asked for when it was written.
func (p *Pool) Import(ctx context.Context, path string, o ImportOptions) (unbroadcast []consensus.Hash, err error) {
	raw, err := readFile(path, max(int64(p.cfg.Policy.MaxMemory), maxSaved))
	if err != nil {
		return nil, fmt.Errorf("import the mempool: %w", err)
	}
	saved, err := readForeign(raw)
	if err != nil {
		return nil, fmt.Errorf("import the mempool: %s: %w", path, err)
	}
	if o.Deltas {
		for id, delta := range saved.deltas {
			p.Prioritise(id, delta)
		}
	}
	now := p.cfg.Now()
	if o.Times {
		oldest := now.Add(-p.cfg.Policy.Expiry)
		saved.list = slices.DeleteFunc(saved.list, func(a *adding) bool { return a.time.Before(oldest) })
	} else {
		for _, a := range saved.list {
			a.time = now
		}
	}
	return saved.unbroadcast, p.takeSaved(ctx, path, saved)
}

// obfuscated is the version of Bitcoin Core's files in which all that follows a key
// is combined with it, so that no scanner of viruses takes offence.
const (
	obfuscated = 2
	keySize    = 8
)

// readForeign reads a file with or without a checksum, in either version.
func readForeign(raw []byte) (*savedPool, error) {
	if body, err := checked(raw); err == nil {
		return readBody(body)
	}
	const head = 8 + 1 + keySize // version, length of the key, key
	if len(raw) < 8 {
		return nil, errors.New("it is cut short")
	}
	if binary.LittleEndian.Uint64(raw) != obfuscated {
		return readBody(raw)
	}
	if len(raw) < head || raw[8] != keySize {
		return nil, errors.New("its key has another length than 8 bytes")
	}
	body := append(binary.LittleEndian.AppendUint64(nil, saveVersion), raw[head:]...)
	if key := raw[9:head]; !bytes.Equal(key, make([]byte, keySize)) {
		for i := range body[8:] {
			body[8+i] ^= key[(head+i)%keySize] // by the place in the file
		}
	}
	return readBody(body)
}
