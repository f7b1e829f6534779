package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"lode/consensus"
)

// Held is the secret of a wallet in memory, for a program that signs for a while.
// It lies in memory that is kept out of swap and core files as far as the system
// has a way (see newLockedMemory), and is wiped by Close. Each use makes copies for
// the moment, which are wiped too where this program can reach them.
type Held struct {
	mu    sync.Mutex // guards what follows
	spec  *consensus.Spec
	plain *lockedMemory // the JSON of a Secret; nil once it is closed
	pass  *lockedMemory // the passphrase, so that what is added can be encrypted; empty for none
}

// ErrClosed is the kind of the error for a secret that was wiped.
var ErrClosed = errors.New("the secret is not in memory any more")

// HoldSecret decrypts the secret file of a wallet of this network, and keeps what
// is in it.
func (f Files) HoldSecret(spec *consensus.Spec, passphrase string) (*Held, error) {
	s, err := f.OpenSecret(spec, passphrase)
	if err != nil {
		return nil, err
	}
	defer s.wipe()
	plain, err := lockSecret(s)
	if err != nil {
		return nil, err
	}
	pass, err := lockBytes([]byte(passphrase))
	if err != nil {
		plain.free()
		return nil, err
	}
	return &Held{spec: spec, plain: plain, pass: pass}, nil
}

func lockSecret(s *Secret) (*lockedMemory, error) {
	b, err := s.encode()
	if err != nil {
		return nil, err
	}
	return lockBytes(b)
}

// lockBytes moves bytes to locked memory.
func lockBytes(b []byte) (*lockedMemory, error) {
	defer clear(b)
	m, err := newLockedMemory(max(len(b), 1))
	if err != nil {
		return nil, fmt.Errorf("memory for the secret: %w", err)
	}
	m.bytes = m.bytes[:len(b)]
	copy(m.bytes, b)
	return m, nil
}

// Use calls f with the secret, which f must not keep.
func (h *Held) Use(f func(*Secret) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plain == nil {
		return ErrClosed
	}
	s := new(Secret)
	defer s.wipe()
	if err := json.Unmarshal(h.plain.bytes, s); err != nil {
		return fmt.Errorf("%w: the secret in memory", ErrDamaged)
	}
	return f(s)
}

// Change has f change the secret, and writes it to its file with the passphrase that
// it has there.
func (h *Held) Change(files Files, workFactor int, f func(*Secret) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plain == nil {
		return ErrClosed
	}
	s := new(Secret)
	defer s.wipe()
	if err := json.Unmarshal(h.plain.bytes, s); err != nil {
		return fmt.Errorf("%w: the secret in memory", ErrDamaged)
	}
	if err := f(s); err != nil {
		return err
	}
	var sealed []byte
	var err error
	if len(h.pass.bytes) == 0 {
		sealed, err = s.sealPlain()
	} else {
		sealed, err = s.seal(string(h.pass.bytes), workFactor)
	}
	if err == nil {
		err = writeFile(files.Secret, sealed)
	}
	if err != nil {
		return err
	}
	plain, err := lockSecret(s)
	if err == nil {
		h.plain.free()
		h.plain = plain
	}
	return err
}

// Close wipes the secret. It may be called again.
func (h *Held) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plain != nil {
		h.plain.free()
		h.pass.free()
		h.plain, h.pass = nil, nil
	}
}

// wipe overwrites what is secret. It was read from a file: nothing else can share its
// memory.
func (s *Secret) wipe() {
	wipeString(&s.Mnemonic)
	wipeString(&s.Extra)
	for i := range s.Descriptors {
		wipeString(&s.Descriptors[i])
	}
}

func wipeString(s *string) {
	if len(*s) > 0 {
		clear(unsafe.Slice(unsafe.StringData(*s), len(*s)))
	}
	*s = ""
}
