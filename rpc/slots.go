package rpc

import "context"

// DefaultConnections bounds how many callers may be connected: each takes a file
// descriptor, and a ledger that gets none any more fails.
const DefaultConnections = 256

const maxRequests = 64

// maxLongPolls leaves room for others to connect.
func (c *Config) maxLongPolls() int64 { return max(int64(c.MaxConnections)/2, 1) }

// newSlots shares places among users: where there are several, a quarter is for
// those beside the one who has most, and as much as half so that each has a place.
func newSlots(most int64, users int) *shares {
	if users > 1 {
		return newShares(most, most-max(most/4, min(most/2, int64(users-1))), users)
	}
	return newShares(most, most, users)
}

// slot is the place of one HTTP request among those that are worked on at once.
type slot struct {
	user          string
	held, waiting *shares
}

type slotKey struct{}

// take gives a request of a user a place, or false if there is none.
func (s *Server) take(ctx context.Context, user string) (*slot, context.Context, bool) {
	if !s.working.take(user, 1) {
		return nil, ctx, false
	}
	sl := &slot{user, s.working, s.waiting}
	return sl, context.WithValue(ctx, slotKey{}, sl), true
}

// release gives the place back.
func (sl *slot) release() { sl.held.give(sl.user, 1) }

// waits moves the request of a call to a place among those that wait for
// something to happen, of which there may be more, so that they keep nobody from
// being answered. It stays there. False means that too many wait.
func waits(ctx context.Context) bool {
	sl, ok := ctx.Value(slotKey{}).(*slot)
	if !ok || sl.held == sl.waiting {
		return true
	}
	if !sl.waiting.take(sl.user, 1) {
		return false
	}
	sl.held.give(sl.user, 1)
	sl.held = sl.waiting
	return true
}
