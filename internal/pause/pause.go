// Package pause waits for some time, but no longer than somebody wants that.
package pause

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends: then the error says why. A d of zero or less is
// no wait.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
