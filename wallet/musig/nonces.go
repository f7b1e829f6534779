package musig

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
	"lode/internal/syncdir"
)

// Kinds of errors of secret nonces. After each of them signing can begin again,
// with new nonces of all.
var (
	ErrNonceGone    = errors.New("the secret nonce is not there: it was used, or made on another machine, or lost")
	ErrNonceCopied  = errors.New("the secret nonce was copied or restored, so it may have been used elsewhere")
	ErrNonceDamaged = errors.New("the secret nonce cannot be read")
	ErrOtherSession = errors.New("the secret nonce belongs to another session")
	ErrTooMany      = errors.New("too many sessions are open")
)

// BeginAgain reports whether an error says that a secret nonce cannot be used, so
// that signing has to begin again.
func BeginAgain(err error) bool {
	return errors.Is(err, ErrNonceGone) || errors.Is(err, ErrNonceCopied) || errors.Is(err, ErrNonceDamaged) || errors.Is(err, ErrOtherSession)
}

// MaxSessions bounds the files in a directory of nonces.
const MaxSessions = 10_000

const (
	nonceSuffix  = ".nonce"
	anchorSuffix = ".anchor"
)

// DirOf is the directory for the nonces of the wallets in dir.
func DirOf(dir string) string { return filepath.Join(dir, "musig-nonces") }

// Store keeps secret nonces between the two rounds, in a directory of its own. It
// is safe for several processes at once: whoever removes an anchor has its nonce.
type Store struct{ dir string }

// NewStore uses this directory, and makes it when it is needed.
func NewStore(dir string) *Store { return &Store{dir} }

// backupTag keeps the directory out of backups that honour it (tar, borg, restic:
// the Cache Directory Tagging Specification, bford.info/cachedir).
const (
	backupTagName = "CACHEDIR.TAG"
	backupTag     = "Signature: 8a477f597d28d172789f06886806bc55\n# Secret nonces: never to be copied, see the .anchor files\n"
)

// open makes the directory if it is not there.
func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of nonces: %w", err)
	}
	tag := filepath.Join(s.dir, backupTagName)
	if _, err := os.Lstat(tag); err == nil {
		return nil
	}
	if err := os.WriteFile(tag, []byte(backupTag), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", tag, err)
	}
	return nil
}

// paths of the files of a session: of a signer, a key and a message.
func (s *Store) paths(key *Key, me PubKey, message [32]byte) (nonce, anchor string) {
	id := consensus.TaggedHash("lode/musig/session", key.point[:], me[:], message[:])
	stem := filepath.Join(s.dir, hex.EncodeToString(id[:16]))
	return stem + nonceSuffix, stem + anchorSuffix
}

// Begin gives the public nonce of a session. The secret one is on the disk when it
// returns. Asked again before the nonce was used, it gives the same.
func (s *Store) Begin(key *Key, message [32]byte, private *btcec.PrivateKey) (PubNonce, error) {
	me := pubKeyOf(private.PubKey())
	if key.index(me) < 0 {
		return PubNonce{}, ErrNotOurs
	}
	if err := s.open(); err != nil {
		return PubNonce{}, err
	}
	_, nonce, err := s.look(key, message, private)
	if err == nil {
		return nonce, nil
	}
	if err := s.Drop(key, message, me); err != nil { // whatever there is cannot be used
		return PubNonce{}, err
	}
	if err := s.room(); err != nil {
		return PubNonce{}, err
	}
	return s.keep(key, message, private)
}

// keep makes a nonce and its files.
func (s *Store) keep(key *Key, message [32]byte, private *btcec.PrivateKey) (public PubNonce, err error) {
	me := pubKeyOf(private.PubKey())
	path, anchor := s.paths(key, me, message)
	id, err := makeAnchor(anchor)
	if err != nil {
		return public, fmt.Errorf("keeping a nonce: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("keeping a nonce: %w", err), s.Drop(key, message, me))
		}
	}()
	nonce, public, err := newNonce(key, private, message, fmt.Append(nil, id))
	if err != nil {
		return public, err
	}
	defer clear(nonce[:])
	d := &nonceDoc{Version: nonceVersion, Key: key.point[:], Participant: me[:], Message: message[:], PubNonce: public[:], Anchor: id}
	if err = d.seal(private, nonce); err != nil {
		return public, err
	}
	if err = writeNonce(path, d); err != nil {
		return public, err
	}
	now, err := anchorNow(anchor)
	if err == nil && id.check(now) != nil {
		err = fmt.Errorf("the file system of %s gives a file no lasting identity: keep the wallet on a local one", s.dir)
	}
	return public, err
}

// look reads the nonce of a session if it may be used.
func (s *Store) look(key *Key, message [32]byte, private *btcec.PrivateKey) (*secret, PubNonce, error) {
	me := pubKeyOf(private.PubKey())
	path, anchor := s.paths(key, me, message)
	d, err := readNonce(path)
	if errors.Is(err, os.ErrNotExist) {
		err = ErrNonceGone
	}
	if err != nil {
		return nil, PubNonce{}, err
	}
	public := PubNonce(d.PubNonce)
	if PubKey(d.Key) != key.point || PubKey(d.Participant) != me || [32]byte(d.Message) != message {
		return nil, public, fmt.Errorf("%w: %s is for another key or message", ErrOtherSession, path)
	}
	nonce, err := d.open(private)
	if err != nil {
		return nil, public, fmt.Errorf("%w: %s: %w", ErrNonceDamaged, path, err)
	}
	now, err := anchorNow(anchor)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %s has no anchor any more", ErrNonceGone, path)
	} else if err == nil {
		if differs := d.Anchor.check(now); differs != nil {
			err = fmt.Errorf("%w: %w", ErrNonceCopied, differs)
		}
	}
	if err != nil {
		clear(nonce[:])
		return nil, public, err
	}
	return nonce, public, nil
}

// Sign makes the partial signature of a session. Before it returns, whatever it
// returns, the secret nonce is gone from the disk, unless the session is not the
// one that it was made for.
func (s *Store) Sign(session *Session, private *btcec.PrivateKey) (Partial, error) {
	nonce, err := s.take(session, private)
	if err != nil {
		return Partial{}, err
	}
	return session.sign(private, nonce)
}

// Check says whether the nonce of a session, whose public one is given, may be
// used. The errors are those of Sign.
func (s *Store) Check(key *Key, message [32]byte, public PubNonce, private *btcec.PrivateKey) error {
	nonce, err := s.usable(key, message, public, private)
	if err == nil {
		clear(nonce[:])
	}
	return err
}

// usable reads a nonce that may be used. One that may have been used elsewhere, or
// cannot be read, is deleted.
func (s *Store) usable(key *Key, message [32]byte, public PubNonce, private *btcec.PrivateKey) (*secret, error) {
	nonce, have, err := s.look(key, message, private)
	switch {
	case errors.Is(err, ErrNonceCopied), errors.Is(err, ErrNonceDamaged):
		return nil, errors.Join(err, s.Drop(key, message, pubKeyOf(private.PubKey())))
	case errors.Is(err, ErrNonceGone):
		return nil, s.elsewhere(key, message, public, err)
	case err != nil:
		return nil, err
	case have != public:
		clear(nonce[:])
		return nil, fmt.Errorf("%w: its public nonce is %s, and this session has %s", ErrOtherSession, have, public)
	}
	return nonce, nil
}

// take removes a nonce from the disk and gives it.
func (s *Store) take(session *Session, private *btcec.PrivateKey) (*secret, error) {
	key, me := session.key, pubKeyOf(private.PubKey())
	at := key.index(me)
	if at < 0 {
		return nil, ErrNotOurs
	}
	nonce, err := s.usable(key, session.message, session.nonces[at], private)
	if err != nil {
		return nil, err
	}
	path, anchor := s.paths(key, me, session.message)
	err = os.Remove(anchor) // of several processes, one succeeds
	if err == nil {
		err = errors.Join(os.Remove(path), syncdir.Sync(s.dir))
	}
	if err != nil {
		clear(nonce[:])
		if errors.Is(err, os.ErrNotExist) {
			return nil, ErrNonceGone
		}
		return nil, fmt.Errorf("the secret nonce cannot be removed from the disk, so it is not used: %w", err)
	}
	return nonce, nil
}

// elsewhere explains a missing nonce: if the directory has it under another
// session, what is signed has changed since.
func (s *Store) elsewhere(key *Key, message [32]byte, public PubNonce, gone error) error {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), nonceSuffix) {
			continue
		}
		d, err := readNonce(filepath.Join(s.dir, e.Name()))
		if err != nil || PubNonce(d.PubNonce) != public || [32]byte(d.Message) == message && PubKey(d.Key) == key.point {
			continue
		}
		return fmt.Errorf("%w: it was made to sign %x for key %x, so what is to be signed has changed since", ErrOtherSession, d.Message, d.Key)
	}
	return gone
}

// Drop forgets the nonce of a session, if there is one.
func (s *Store) Drop(key *Key, message [32]byte, me PubKey) error {
	nonce, anchor := s.paths(key, me, message)
	return s.remove(nonce, anchor)
}

func (s *Store) remove(paths ...string) error {
	var errs []error
	removed := false
	for _, path := range paths {
		err := os.Remove(path)
		if err == nil {
			removed = true
		} else if !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if removed {
		errs = append(errs, syncdir.Sync(s.dir))
	}
	return errors.Join(errs...)
}

// room sees to it that there is room for one more session: when there is none,
// those that cannot be used any more go.
func (s *Store) room() error {
	names, err := s.sessions()
	if err != nil || len(names) < MaxSessions {
		return err
	}
	if _, err := s.Sweep(false); err != nil {
		return err
	}
	if names, err = s.sessions(); err == nil && len(names) >= MaxSessions {
		err = fmt.Errorf("%w: %d in %s; delete that directory to begin all of them again", ErrTooMany, len(names), s.dir)
	}
	return err
}

// sessions lists the names of all files of sessions, without their endings.
func (s *Store) sessions() (names []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	seen := make(map[string]bool)
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), nonceSuffix)
		if !ok {
			name, ok = strings.CutSuffix(e.Name(), anchorSuffix)
		}
		if ok && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, err
}

// Sweep deletes the nonces that cannot be used any more, or all of them, and says
// how many. What an interrupted Begin has left goes too.
func (s *Store) Sweep(all bool) (n int, err error) {
	names, err := s.sessions()
	if err != nil {
		return 0, err
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, tempPattern)); len(left) > 0 {
		if err := s.remove(left...); err != nil {
			return 0, err
		}
	}
	for _, name := range names {
		nonce, anchor := filepath.Join(s.dir, name+nonceSuffix), filepath.Join(s.dir, name+anchorSuffix)
		d, err := readNonce(nonce)
		now, err2 := anchorNow(anchor)
		if !all && err == nil && err2 == nil && d.Anchor.check(now) == nil {
			continue
		}
		if err := s.remove(nonce, anchor); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
