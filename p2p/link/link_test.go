package link

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestLine(t *testing.T) {
	t0 := time.Unix(1_900_000_000, 0)
	chances := []float64{}
	l := line{chance: func() float64 {
		if len(chances) == 0 {
			return 0.99
		}
		c := chances[0]
		chances = chances[1:]
		return c
	}}
	sends := func(after time.Duration, n int, want time.Duration) {
		t.Helper()
		if got := l.send(t0.Add(after), n).Sub(t0); got != want {
			t.Errorf("%d bytes at %v arrive at %v, want %v", n, after, got, want)
		}
	}
	sends(0, 1000, 0)

	l.Latency, l.Rate = 100*time.Millisecond, 8000 // a byte a millisecond
	sends(0, 50, 150*time.Millisecond)
	sends(0, 50, 200*time.Millisecond) // behind the first
	sends(time.Second, 10, 1110*time.Millisecond)

	l.Rate, l.Jitter = 0, 100*time.Millisecond
	chances = []float64{0.5}
	sends(2*time.Second, 0, 2150*time.Millisecond)
	chances = []float64{0}
	sends(2*time.Second, 0, 2150*time.Millisecond) // would overtake

	l.Jitter, l.Loss = 0, 0.1
	chances = []float64{0, 0.05, 0.05, 0.5, 0.5} // the first of two segments is lost twice
	sends(3*time.Second, segment+1, 3*time.Second+100*time.Millisecond+3*leastRetry)
	l.Loss = 1
	chances = []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if got := l.send(t0.Add(time.Hour), 1); got.After(t0.Add(time.Hour + time.Minute)) {
		t.Errorf("a segment that is always lost arrives at %v", got)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Config{
		"latency=50ms":                          {Latency: 50 * time.Millisecond},
		"latency=50,jitter=1s,loss=1.5%,rate=2": {50 * time.Millisecond, time.Second, 0.015, 2_000_000},
		"rate=0.008mbit":                        {Rate: 8000},
		"loss=0":                                {},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); !got.IsZero() && (err != nil || again != got) {
			t.Errorf("%s is printed as %s, and read as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "latency", "latency=-1ms", "latency=2h", "loss=51", "loss=NaN", "rate=0.001", "rate=1e300", "speed=5", "latency=5ms,"} {
		if c, err := Parse(text); !errors.Is(err, ErrConfig) {
			t.Errorf("%q is read as %+v, %v", text, c, err)
		}
	}
}

// pipe is a connection in memory whose first end sends over a link.
func pipe(t *testing.T, c Config) (slow, far net.Conn) {
	a, b := net.Pipe()
	slow = New(a, c)
	t.Cleanup(func() { slow.Close(); b.Close(); time.Sleep(2 * lingers) })
	return slow, b
}

func TestDelayedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, far := pipe(t, Config{Latency: 100 * time.Millisecond, Jitter: time.Millisecond})
		began := time.Now()
		for _, text := range []string{"one", "two", "three"} {
			if n, err := slow.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
		}
		if passed := time.Since(began); passed != 0 {
			t.Errorf("writing took %v", passed)
		}
		b := make([]byte, 11)
		if _, err := io.ReadFull(far, b); err != nil || string(b) != "onetwothree" {
			t.Errorf("%q, %v", b, err)
		}
		if passed := time.Since(began); passed < 100*time.Millisecond || passed > 101*time.Millisecond {
			t.Errorf("arrived after %v", passed)
		}
		go far.Write([]byte("back"))
		began = time.Now()
		if _, err := io.ReadFull(slow, b[:4]); err != nil || time.Since(began) != 0 {
			t.Errorf("what is read is delayed: %v after %v", err, time.Since(began))
		}
	})
}

func TestRateHoldsBackTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, far := pipe(t, Config{Rate: 8_000_000}) // 1 MB a second
		go io.Copy(io.Discard, far)
		began := time.Now()
		if _, err := slow.Write(make([]byte, 3*window)); err != nil {
			t.Fatal(err)
		}
		if passed := time.Since(began); passed < 7*time.Second || passed > 9*time.Second { // all but the window
			t.Errorf("writing 12 MiB took %v", passed)
		}
	})
}

func TestWhatWasWrittenBeforeCloseArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, far := pipe(t, Config{Latency: time.Second})
		reads := make(chan error)
		go func() { _, err := slow.Read(make([]byte, 1)); reads <- err }()
		synctest.Wait()
		slow.Write([]byte("farewell"))
		if err := slow.Close(); err != nil {
			t.Error(err)
		}
		if err := <-reads; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read that waits ends with %v", err)
		}
		if _, err := slow.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing after the end: %v", err)
		}
		if b, err := io.ReadAll(far); string(b) != "farewell" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, _ := pipe(t, Config{Latency: time.Hour})
		slow.SetWriteDeadline(time.Now().Add(time.Second))
		began := time.Now()
		if n, err := slow.Write(make([]byte, 2*window)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%d bytes in %v: %v", n, time.Since(began), err)
		}
		slow.SetDeadline(time.Time{})
	})
}

func TestFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, far := pipe(t, Config{Latency: time.Second})
		far.Close()
		slow.Write([]byte("lost"))
		time.Sleep(2 * time.Second)
		if _, err := slow.Write([]byte("more")); err == nil {
			t.Error("writing to a connection that has failed succeeds")
		}
	})
}
