package dnsseed

import "time"

// Schedule says when the seeds are asked. It is stepped by looks at how many outbound
// peers there are:
//
//	peers     last asked                what
//	few       never                     ask
//	few       longer ago than the wait  ask; the wait doubles, up to maxWait
//	few       else                      nothing
//	enough                              the wait is the first one again
type Schedule struct {
	asked time.Time
	wait  time.Duration
}

const (
	// enoughPeers is how many peers a node needs to find others by itself, as in Bitcoin Core.
	enoughPeers = 2
	firstWait   = 30 * time.Second
	maxWait     = 10 * time.Minute
)

// Step looks at a time, and reports whether the seeds are to be asked.
func (s *Schedule) Step(now time.Time, peers int) bool {
	if peers >= enoughPeers {
		s.wait = firstWait
		return false
	}
	if !s.asked.IsZero() && now.Sub(s.asked) < s.wait {
		return false
	}
	s.asked, s.wait = now, min(max(2*s.wait, firstWait), maxWait)
	return true
}
