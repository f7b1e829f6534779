//go:build unix

package wallet

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lode/consensus"
)

// busyFiles names, in the environment, the wallet that a copy of this test works on until it is
// killed.
const busyFiles = "LODE_TEST_BUSY_WALLET"

// TestKilledAtAnyInstant: a process that hands out addresses and changes the passphrase, over
// and over, is killed at random instants. Each time the wallet opens with what it held before
// or after a step, without a word of damage, and every address that was said is there.
func TestKilledAtAnyInstant(t *testing.T) {
	if secret := os.Getenv(busyFiles); secret != "" {
		beBusy(t, FilesOf(secret))
		return
	}
	t.Parallel()
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	files := FilesOf(filepath.Join(t.TempDir(), "w.age"))
	mnemonic, err := NewMnemonic(12)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Create(t.Context(), files, spec, CreateOptions{Mnemonic: mnemonic, Passphrase: "0", WorkFactor: testWorkFactor})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	said := make(map[string]bool)
	for round := range 6 {
		killWhileBusy(t, files, said)
		w, err := Open(t.Context(), files, spec)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if notices := w.Notices(); len(notices) > 0 {
			t.Fatalf("round %d: %s", round, notices)
		}
		have := make(map[string]bool)
		list, err := w.Addresses()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			have[a.Address] = true
		}
		for a := range said {
			if !have[a] {
				t.Errorf("round %d: address %s was handed out and is not known any more", round, a)
			}
		}
		_, zero := files.OpenSecret(spec, "0")
		s, one := files.OpenSecret(spec, "1")
		if (zero == nil) == (one == nil) || s != nil && s.Mnemonic != mnemonic {
			t.Errorf("round %d: with one passphrase %v, with the other %v", round, zero, one)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(said) == 0 {
		t.Error("no process came as far as an address")
	}
}

// killWhileBusy starts a copy of this test, kills it some time after its first address, and
// notes the addresses that it said.
func killWhileBusy(t *testing.T, files Files, said map[string]bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledAtAnyInstant$", "-test.parallel=1")
	cmd.Env = append(os.Environ(), busyFiles+"="+files.Secret)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var address string
		if n, _ := fmt.Sscanf(lines.Text(), "said %s", &address); n != 1 {
			continue
		}
		said[address] = true
		if timer == nil {
			timer = time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, cancel) // Kill
		}
	}
	if err := cmd.Wait(); err == nil || ctx.Err() == context.DeadlineExceeded {
		t.Fatalf("it was not killed: %v", err)
	}
}

// beBusy says each address once it is written down.
func beBusy(t *testing.T, files Files) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		w, err := Open(t.Context(), files, spec)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Receive(AddressOptions{New: true, BeyondGap: true})
		if err == nil {
			err = w.Save()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("said", a.Address)
		for _, passphrase := range []string{"0", "1"} {
			if s, err := files.OpenSecret(spec, passphrase); err == nil {
				other := map[string]string{"0": "1", "1": "0"}[passphrase]
				if err := files.ChangePassphrase(s, other, testWorkFactor); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
