package walletrpc

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// TestUnlockEnds: the secret is wiped when its time is over, and a second
// walletpassphrase sets a new time.
func TestUnlockEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, err := consensus.EmbeddedSpec("regtest")
		if err != nil {
			t.Fatal(err)
		}
		mnemonic, err := wallet.NewMnemonic(12)
		if err != nil {
			t.Fatal(err)
		}
		files := wallet.FilesOf(filepath.Join(t.TempDir(), "a.age"))
		w, err := wallet.Create(t.Context(), files, spec, wallet.CreateOptions{Mnemonic: mnemonic, Passphrase: "pass", WorkFactor: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		o, err := newOpen(&Manager{cfg: Config{Spec: spec, Now: time.Now}}, "a", files, w)
		if err != nil {
			t.Fatal(err)
		}
		var held [2]*wallet.Held
		for i := range held {
			if held[i], err = files.HoldSecret(spec, "pass"); err != nil {
				t.Fatal(err)
			}
		}
		use := func() error {
			return o.withSecret(func(s *wallet.Secret) error {
				if s.Mnemonic != mnemonic {
					t.Error("other words")
				}
				return nil
			})
		}
		if err := use(); !errors.Is(err, errLocked) {
			t.Errorf("it is not locked at first: %v", err)
		}
		o.unlockFor(held[0], 10*time.Second)
		time.Sleep(9 * time.Second)
		if err := use(); err != nil {
			t.Error(err)
		}
		o.unlockFor(held[1], 10*time.Second)
		time.Sleep(9 * time.Second) // the first would have ended
		if err := use(); err != nil {
			t.Error(err)
		}
		if until, _ := o.unlockedUntil(); !until.Equal(time.Now().Add(time.Second)) {
			t.Errorf("unlocked until %v", until)
		}
		time.Sleep(2 * time.Second)
		if err := use(); !errors.Is(err, errLocked) {
			t.Errorf("its time is over: %v", err)
		}
		for i, h := range held {
			if err := h.Use(func(*wallet.Secret) error { return nil }); !errors.Is(err, wallet.ErrClosed) {
				t.Errorf("secret %d is in memory: %v", i, err)
			}
		}
	})
}
