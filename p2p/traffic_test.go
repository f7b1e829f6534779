package p2p

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

// Bytes count when they come, and those of a message that was not understood, or not
// kept, as well.
func TestTrafficOfWhatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		f := newFramed(ours, regtest(t))
		defer f.Close("")
		read := make(chan error)
		go func() {
			for {
				_, _, err := f.ReadMessage()
				if read <- err; err != nil && !errors.Is(err, errChecksum) {
					return
				}
			}
		}()
		unknown := frame(t, "badmsg", []byte{1, 'd'})
		_, _ = theirs.Write(unknown[:12])
		synctest.Wait()
		if got := f.came(); got != 12 {
			t.Errorf("of half a message %d bytes", got)
		}
		_, _ = theirs.Write(unknown[12:])
		if err := <-read; err != nil || f.lastSize() != 2 {
			t.Errorf("an unknown message of %d bytes, %v", f.lastSize(), err)
		}
		unknown[frameSize-1] ^= 1
		_, _ = theirs.Write(unknown)
		if err := <-read; !errors.Is(err, errChecksum) || f.lastSize() != 2 {
			t.Errorf("a changed message of %d bytes, %v", f.lastSize(), err)
		}
		_ = f.Close("")
		<-read
		synctest.Wait()
	})
}
