package rpc

import "context"

const maxRequests = 64

// maxLongPolls leaves room for others to connect.
func (c *Config) maxLongPolls() int { return max(c.MaxConnections/2, 1) }

// slot is the place of one HTTP request among those that are worked on at once.
type slot struct{ held, waiting chan struct{} }

type slotKey struct{}

// take gives a request a place, or false if there is none.
func (s *Server) take(ctx context.Context) (*slot, context.Context, bool) {
	select {
	case s.slots <- struct{}{}:
		sl := &slot{s.slots, s.waiting}
		return sl, context.WithValue(ctx, slotKey{}, sl), true
	default:
		return nil, ctx, false
	}
}

// release gives the place back.
func (sl *slot) release() { <-sl.held }

// waits moves the request of a call to a place among those that wait for
// something to happen, of which there may be more, so that they keep nobody from
// being answered. It stays there. False means that too many wait.
func waits(ctx context.Context) bool {
	sl, ok := ctx.Value(slotKey{}).(*slot)
	if !ok || sl.held == sl.waiting {
		return true
	}
	select {
	case sl.waiting <- struct{}{}:
		<-sl.held
		sl.held = sl.waiting
		return true
	default:
		return false
	}
}
