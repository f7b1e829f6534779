package p2p

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A message occupies the line for as long as its bytes take, then travels; the
// other direction is free meanwhile.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1000 // bytes on the line
		a, b := Line{Latency: 50 * time.Millisecond, Rate: 10 * size}.Pipe(&net.TCPAddr{}, &net.TCPAddr{})
		start := time.Now()
		after := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(start); got != want {
				t.Errorf("%s after %v, want %v", what, got, want)
			}
		}
		go func() {
			for i := range 3 {
				_ = a.WriteMessage(cmdBlock, make([]byte, size-FrameSize))
				after("sent", time.Duration(i+1)*100*time.Millisecond)
			}
		}()
		go func() { _ = b.WriteMessage(cmdVerack, nil) }()
		if _, _, err := a.ReadMessage(); err != nil {
			t.Error(err)
		}
		after("read by a", 50*time.Millisecond+time.Second*FrameSize/(10*size))
		for i := range 3 {
			if _, payload, err := b.ReadMessage(); err != nil || len(payload) != size-FrameSize {
				t.Error(len(payload), err)
			}
			after("read by b", time.Duration(i+1)*100*time.Millisecond+50*time.Millisecond)
		}
	})
}

// Who does not read stops the other side, after as many bytes as TCP would take.
func TestLineWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Line{}.Pipe(&net.TCPAddr{}, &net.TCPAddr{})
		const size = 1 << 20
		sent := 0
		ended := make(chan error)
		go func() {
			for {
				if err := a.WriteMessage(cmdBlock, make([]byte, size)); err != nil {
					ended <- err
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		if sent != pipeWindow/size {
			t.Errorf("%d messages were taken", sent)
		}
		before := sent
		if _, _, err := b.ReadMessage(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if sent != before+1 {
			t.Errorf("%d messages were taken after one was read", sent-before)
		}
		_ = b.Close("")
		if err := <-ended; !errors.Is(err, errClosed) {
			t.Error(err)
		}
		if _, _, err := b.ReadMessage(); !errors.Is(err, errClosed) {
			t.Error(err)
		}
	})
}
