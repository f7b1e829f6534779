package musig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
)

// pair is two signers of one key, each with a store.
type pair struct {
	t       testing.TB
	key     *Key
	private [2]*btcec.PrivateKey
	store   [2]*Store
	nonces  map[PubKey]PubNonce
}

func newPair(t testing.TB) *pair {
	p := &pair{t: t, nonces: make(map[PubKey]PubNonce)}
	for i := range p.private {
		p.private[i] = newPrivate(t)
		p.store[i] = NewStore(DirOf(t.TempDir()))
	}
	var err error
	if p.key, err = mustAggregate(t, p.private[:]...).Taproot(nil); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) public(i int) PubKey { return pubKeyOf(p.private[i].PubKey()) }

// begin is the first round of signer i.
func (p *pair) begin(i int, message [32]byte) {
	p.t.Helper()
	n, err := p.store[i].Begin(p.key, message, p.private[i])
	if err != nil {
		p.t.Fatal(err)
	}
	p.nonces[p.public(i)] = n
}

// sign is the second round of signer i.
func (p *pair) sign(i int, message [32]byte) (Partial, error) {
	p.t.Helper()
	s, err := NewSession(p.key, message, p.nonces)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.store[i].Sign(s, p.private[i])
}

// files lists the nonces and anchors in a store.
func (p *pair) files(i int) (list []string) {
	for _, pattern := range []string{"*" + nonceSuffix, "*" + anchorSuffix} {
		found, err := filepath.Glob(filepath.Join(p.store[i].dir, pattern))
		if err != nil {
			p.t.Fatal(err)
		}
		list = append(list, found...)
	}
	return list
}

func TestTwoSignersTwoRounds(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	sigs := make(map[PubKey]Partial)
	for i := range p.private {
		p.begin(i, message)
		first := p.nonces[p.public(i)]
		p.begin(i, message)
		if p.nonces[p.public(i)] != first {
			t.Error("asked again, the store gives another nonce while the first is unused")
		}
	}
	for i := range p.private {
		sig, err := p.sign(i, message)
		if err != nil {
			t.Fatal(err)
		}
		if left := p.files(i); len(left) > 0 {
			t.Errorf("after signing there are %v", left)
		}
		sigs[p.public(i)] = sig
	}
	s, _ := NewSession(p.key, message, p.nonces)
	if _, err := s.Combine(sigs); err != nil {
		t.Fatal(err)
	}
	good := sigs[p.public(1)]
	wrong := good
	wrong[31] ^= 1
	sigs[p.public(1)] = wrong
	_, err := s.Combine(sigs)
	if !errors.Is(err, ErrPartial) || !bytes.Contains([]byte(err.Error()), []byte(p.public(1).String())) {
		t.Errorf("a wrong partial signature: got %v, want its signer named", err)
	}
	sigs[p.public(1)] = good
	delete(sigs, p.public(0))
	if _, err := s.Combine(sigs); !errors.Is(err, ErrMissing) {
		t.Errorf("a missing cosigner: got %v", err)
	}
}

func TestNonceIsUsedOnce(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	p.begin(1, message)
	if _, err := p.sign(0, message); err != nil {
		t.Fatal(err)
	}
	if _, err := p.sign(0, message); !errors.Is(err, ErrNonceGone) {
		t.Errorf("the same session again: got %v", err)
	}
	p.nonces[p.public(1)] = PubNonce(append(pubKeySlice(p.private[1]), pubKeySlice(p.private[0])...))
	if _, err := p.sign(0, message); !errors.Is(err, ErrNonceGone) {
		t.Errorf("the same message with another nonce of the other signer: got %v", err)
	}
}

func pubKeySlice(private *btcec.PrivateKey) []byte { return private.PubKey().SerializeCompressed() }

func TestNonceForAnotherMessage(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	p.begin(1, message)
	if _, err := p.sign(0, [32]byte{2}); !errors.Is(err, ErrOtherSession) {
		t.Errorf("got %v", err)
	}
	if _, err := p.sign(0, message); err != nil {
		t.Errorf("the nonce is still good for its own message: got %v", err)
	}
}

func TestNonceThatWasNotHandedOut(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	p.begin(1, message)
	own := p.nonces[p.public(0)]
	p.nonces[p.public(0)] = p.nonces[p.public(1)]
	if _, err := p.sign(0, message); !errors.Is(err, ErrOtherSession) {
		t.Errorf("a session with another public nonce in this signer's name: got %v", err)
	}
	p.nonces[p.public(0)] = own
	if _, err := p.sign(0, message); err != nil {
		t.Error(err)
	}
}

// copyDir copies files with their modes and times, as cp -a does.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		var info os.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if err == nil {
			err = os.Chtimes(filepath.Join(to, e.Name()), info.ModTime(), info.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// later waits until the file system gives new files another time than the anchors
// in dir have: its clock may stand still for some milliseconds.
func later(t testing.TB, dir string) {
	t.Helper()
	anchors, _ := filepath.Glob(filepath.Join(dir, "*"+anchorSuffix))
	var last identity
	for _, a := range anchors {
		id, err := anchorNow(a)
		if err != nil {
			t.Fatal(err)
		}
		last = id
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		id, err := identify(f)
		f.Close()
		if err != nil || time.Now().After(deadline) {
			t.Fatal("the clock of the file system stands still", err)
		}
		if id.Changed != last.Changed {
			return
		}
	}
}

// TestCopiedDirectoryIsRefused copies the directory between the rounds, signs, and
// brings the copy back in every way that a person may.
func TestCopiedDirectoryIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		restore func(t *testing.T, p *pair, backup string)
	}{
		{"copied back", func(t *testing.T, p *pair, backup string) { copyDir(t, backup, p.store[0].dir) }},
		{"in place of the directory", func(t *testing.T, p *pair, backup string) {
			if err := errors.Join(os.RemoveAll(p.store[0].dir), os.Rename(backup, p.store[0].dir)); err != nil {
				t.Fatal(err)
			}
		}},
		{"used where it is", func(t *testing.T, p *pair, backup string) { p.store[0] = NewStore(backup) }},
		{"over the files of a session that was begun again", func(t *testing.T, p *pair, backup string) {
			if _, err := p.store[0].Begin(p.key, [32]byte{1}, p.private[0]); err != nil {
				t.Fatal(err)
			}
			copyDir(t, backup, p.store[0].dir)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, message := newPair(t), [32]byte{1}
			p.begin(0, message)
			p.begin(1, message)
			backup := filepath.Join(t.TempDir(), "backup")
			copyDir(t, p.store[0].dir, backup)
			later(t, backup)
			if _, err := p.sign(0, message); err != nil {
				t.Fatal(err)
			}
			c.restore(t, p, backup)
			if len(p.files(0)) != 2 {
				t.Fatal("nothing was restored, so this shows nothing")
			}
			// The other signer has another nonce now: with the restored one, the two
			// partial signatures would have different challenges.
			p.begin(1, [32]byte{2})
			if _, err := p.sign(0, message); !errors.Is(err, ErrNonceCopied) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if left := p.files(0); len(left) > 0 {
				t.Errorf("the restored nonce is left: %v", left)
			}
			old := p.nonces[p.public(0)]
			if p.begin(0, message); p.nonces[p.public(0)] == old {
				t.Error("the session that begins again has the old nonce")
			}
			if _, err := p.sign(0, message); err != nil {
				t.Errorf("the session that began again: %v", err)
			}
		})
	}
}

// TestRestoredNonceIsNotHandedOutAgain: the first round, too, sees the copy.
func TestRestoredNonceIsNotHandedOutAgain(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	backup := filepath.Join(t.TempDir(), "backup")
	copyDir(t, p.store[0].dir, backup)
	p.store[0] = NewStore(backup)
	old := p.nonces[p.public(0)]
	if p.begin(0, message); p.nonces[p.public(0)] == old {
		t.Error("a copied nonce was handed out again")
	}
}

func TestNonceOfAnotherBootIsRefused(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	p.begin(1, message)
	path, _ := p.store[0].paths(p.key, p.public(0), message)
	reseal(t, path, p.private[0], func(d *nonceDoc) { d.Anchor.Boot += "x" })
	if _, err := p.sign(0, message); !errors.Is(err, ErrNonceCopied) {
		t.Errorf("got %v", err)
	}
}

// reseal changes a nonce file as its owner could.
func reseal(t *testing.T, path string, private *btcec.PrivateKey, change func(*nonceDoc)) {
	t.Helper()
	d, err := readNonce(path)
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := d.open(private)
	if err != nil {
		t.Fatal(err)
	}
	change(d)
	if err := errors.Join(d.seal(private, nonce), writeNonce(path, d)); err != nil {
		t.Fatal(err)
	}
}

// TestEditedAnchorIsRefused: who writes what a copy's anchor is into the nonce file
// has changed what the secret is sealed with.
func TestEditedAnchorIsRefused(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	p.begin(1, message)
	backup := filepath.Join(t.TempDir(), "backup")
	copyDir(t, p.store[0].dir, backup)
	p.store[0] = NewStore(backup)
	path, anchor := p.store[0].paths(p.key, p.public(0), message)
	d, err := readNonce(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.Anchor, err = anchorNow(anchor); err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(d)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.sign(0, message); !errors.Is(err, ErrNonceDamaged) {
		t.Errorf("got %v", err)
	}
}

// TestDamagedNonceFile flips a bit of every byte, and cuts the file everywhere. A
// change of the white space alone may be taken.
func TestDamagedNonceFile(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	path, _ := p.store[0].paths(p.key, p.public(0), message)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good, _, err := p.store[0].look(p.key, message, p.private[0])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, fmt.Appendf(nil, "%x", good[:32])) {
		t.Error("the secret nonce is in the file in plain")
	}
	var meant nonceDoc
	if err := json.Unmarshal(whole, &meant); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for _, bad := range [][]byte{append(bytes.Clone(whole[:i]), append([]byte{whole[i] ^ 1}, whole[i+1:]...)...), whole[:i]} {
			d, err := parseNonce(bad)
			if err != nil {
				continue
			}
			if got, err := d.open(p.private[0]); err == nil && (*got != *good || fmt.Sprint(*d) != fmt.Sprint(meant)) {
				t.Fatalf("damaged at byte %d it says something else", i)
			}
		}
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	p.nonces[p.public(0)] = PubNonce(meant.PubNonce)
	p.begin(1, message)
	if _, err := p.sign(0, message); !errors.Is(err, ErrNonceDamaged) {
		t.Errorf("got %v", err)
	}
	if left := p.files(0); len(left) > 0 {
		t.Errorf("what is damaged is left: %v", left)
	}
}

func TestOneOfManyTakesTheNonce(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	p.begin(1, message)
	s, err := NewSession(p.key, message, p.nonces)
	if err != nil {
		t.Fatal(err)
	}
	const many = 8
	var taken [many]error
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() { _, taken[i] = NewStore(p.store[0].dir).Sign(s, p.private[0]) })
	}
	wg.Wait()
	signed := 0
	for _, err := range taken {
		if err == nil {
			signed++
		} else if !errors.Is(err, ErrNonceGone) {
			t.Error(err)
		}
	}
	if signed != 1 {
		t.Errorf("%d signatures were made with one nonce", signed)
	}
}

// dieEnv names the directory in which a process takes a nonce and dies.
const dieEnv = "LODE_TEST_MUSIG_DIE"

// diePair is a pair that two processes agree on.
func diePair(t *testing.T, dir string) (*pair, [32]byte) {
	p := newPair(t)
	for i := range p.private {
		p.private[i], _ = btcec.PrivKeyFromBytes(bytes.Repeat([]byte{byte(i + 1)}, 32))
	}
	var err error
	if p.key, err = mustAggregate(t, p.private[:]...).Taproot(nil); err != nil {
		t.Fatal(err)
	}
	p.store[0] = NewStore(dir)
	return p, [32]byte{9}
}

// TestKilledBetweenDeletionAndSignature kills a process when the nonce is deleted
// and no signature has left: the nonce is lost, and the session begins again.
func TestKilledBetweenDeletionAndSignature(t *testing.T) {
	if dir := os.Getenv(dieEnv); dir != "" {
		p, message := diePair(t, dir)
		p.begin(0, message)
		p.begin(1, message)
		s, err := NewSession(p.key, message, p.nonces)
		if err == nil {
			_, err = p.store[0].take(s, p.private[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		t.Fatal(self.Kill())
	}
	dir := DirOf(t.TempDir())
	p, message := diePair(t, dir)
	p.begin(0, message)
	p.begin(1, message)
	old := p.nonces[p.public(0)]
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), dieEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || bytes.Contains(out, []byte("FAIL")) || runtime.GOOS != "windows" && exit.ExitCode() != -1 {
		t.Fatalf("the process did not die as it should: %v\n%s", err, out)
	}
	if _, err := p.sign(0, message); !errors.Is(err, ErrNonceGone) {
		t.Errorf("got %v", err)
	}
	if p.begin(0, message); p.nonces[p.public(0)] == old {
		t.Error("the session that begins again has the lost nonce")
	}
	if _, err := p.sign(0, message); err != nil {
		t.Error(err)
	}
}

func TestNoncesAreForTheirOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there modes mean something else")
	}
	p := newPair(t)
	p.begin(0, [32]byte{1})
	for _, path := range append(p.files(0), filepath.Join(p.store[0].dir, backupTagName)) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(p.store[0].dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestSweepKeepsWhatIsUsable(t *testing.T) {
	p := newPair(t)
	p.begin(0, [32]byte{1})
	p.begin(0, [32]byte{2})
	_, anchor := p.store[0].paths(p.key, p.public(0), [32]byte{2})
	if err := os.Remove(anchor); err != nil {
		t.Fatal(err)
	}
	if n, err := p.store[0].Sweep(false); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n, err := p.store[0].Sweep(true); n != 1 || err != nil || len(p.files(0)) > 0 {
		t.Errorf("swept %d, %v", n, err)
	}
}

// TestOtherMessageOtherNonce: with the same randomness.
func TestOtherMessageOtherNonce(t *testing.T) {
	p := newPair(t)
	seen := make(map[PubNonce]bool)
	for _, message := range [][32]byte{{1}, {2}, {1}} {
		_, n, err := newNonceFrom(bytes.NewReader(make([]byte, 32)), p.key, p.private[0], message, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[n] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d nonces of two messages", len(seen))
	}
}

func TestSignAtOnceIsValid(t *testing.T) {
	p, message := newPair(t), [32]byte{1}
	p.begin(0, message)
	nonce, sig, err := SignAtOnce(p.key, message, p.nonces, p.private[1])
	if err != nil {
		t.Fatal(err)
	}
	p.nonces[p.public(1)] = nonce
	first, err := p.sign(0, message)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := NewSession(p.key, message, p.nonces)
	if _, err := s.Combine(map[PubKey]Partial{p.public(0): first, p.public(1): sig}); err != nil {
		t.Error(err)
	}
	if len(p.files(1)) > 0 {
		t.Error("a nonce came on the disk")
	}
}

func TestStrangerCannotSign(t *testing.T) {
	p := newPair(t)
	if _, err := p.store[0].Begin(p.key, [32]byte{1}, newPrivate(t)); !errors.Is(err, ErrNotOurs) {
		t.Errorf("got %v", err)
	}
	if _, _, err := SignAtOnce(p.key, [32]byte{1}, nil, newPrivate(t)); !errors.Is(err, ErrNotOurs) {
		t.Errorf("got %v", err)
	}
}

func TestRepeatedParticipantCannotSign(t *testing.T) {
	a := newPrivate(t)
	key := mustAggregate(t, a, a)
	if _, _, err := SignAtOnce(key, [32]byte{1}, nil, a); !errors.Is(err, ErrRepeated) {
		t.Errorf("got %v", err)
	}
}

// FuzzNonceFile: whatever is in a nonce file, reading it ends in a refusal or in
// what was written.
func FuzzNonceFile(f *testing.F) {
	p := newPair(f)
	p.begin(0, [32]byte{1})
	path, _ := p.store[0].paths(p.key, p.public(0), [32]byte{1})
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1}`))
	meant, err := parseNonce(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseNonce(b)
		if err != nil {
			return
		}
		if _, err := d.open(p.private[0]); err == nil && fmt.Sprint(*d) != fmt.Sprint(*meant) {
			t.Errorf("%s opens, and is not what was written", b)
		}
	})
}
