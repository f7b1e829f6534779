package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseEndsWithItsTimeOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			d, want time.Duration
			err     error
		}{
			{time.Second, time.Second, nil},
			{time.Hour, time.Minute, context.DeadlineExceeded},
			{0, 0, nil},
			{-time.Second, 0, nil},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began := time.Now()
			err := For(ctx, tc.d)
			if took := time.Since(began); took != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("For(%v) took %v, error %v; want %v, %v", tc.d, took, err, tc.want, tc.err)
			}
			cancel()
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := For(ended, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: got %v", err)
		}
	})
}
