package p2p

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
)

// capturedCommands reads a file of captured messages as Bitcoin Core's tools do.
func capturedCommands(t *testing.T, path string) (commands []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		if len(b) < 8+commandSize+4 {
			t.Fatalf("%s ends with %x", path, b)
		}
		name, err := parseCommand([commandSize]byte(b[8:]))
		if err != nil {
			t.Fatal(err)
		}
		size := int(binary.LittleEndian.Uint32(b[8+commandSize:]))
		if b = b[8+commandSize+4:]; len(b) < size {
			t.Fatalf("%s ends within %s", path, name)
		}
		if _, err := decodeMessage(name, b[:size]); err != nil {
			t.Error(err)
		}
		commands, b = append(commands, name), b[size:]
	}
	return commands
}

// Every message that comes and goes is written down, if that is wanted, and what cannot
// be written does not hold up anything.
func TestMessagesAreCaptured(t *testing.T) {
	for _, on := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			dir := t.TempDir()
			s := w.add("s", func(c *Config) { c.Dir, c.Capture = dir, on })
			a := w.call(s, "203.0.113.1:1")
			a.shake(ProtocolVersion)
			a.stillThere()
			from := filepath.Join(dir, captureDir, "203.0.113.1_1")
			if !on {
				if _, err := os.Stat(filepath.Join(dir, captureDir)); err == nil {
					t.Error("captured though nobody wants it")
				}
				return
			}
			in, out := capturedCommands(t, filepath.Join(from, capturedIn)), capturedCommands(t, filepath.Join(from, capturedOut))
			if want := []string{cmdVersion, cmdWTxIDRelay, cmdSendAddrV2, cmdSendAddrURL, cmdVerack, cmdPing}; !slices.Equal(in, want) {
				t.Errorf("received %v, want %v", in, want)
			}
			if len(out) < 7 || out[0] != cmdVersion || !slices.Contains(out, cmdPong) {
				t.Errorf("sent %v", out)
			}
			if err := os.Truncate(filepath.Join(from, capturedIn), maxCaptured); err != nil { // a sparse file
				t.Fatal(err)
			}
			a.stillThere()
			if info, err := os.Stat(filepath.Join(from, capturedIn)); err != nil || info.Size() != maxCaptured {
				t.Errorf("the file is longer than it may be: %v, %v", info.Size(), err)
			}
			if len(w.complaints.lines()) != 1 {
				t.Errorf("complaints: %v", w.complaints.lines())
			}
		})
	}
}
