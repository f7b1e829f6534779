package rpc

import "sync"

// shares divide something among users, so that no number of them leaves nothing to
// another: what one user may not take is kept for the others, for each as much.
type shares struct {
	most, perUser int64
	others        int   // users beside one
	kept          int64 // for each of them

	mu   sync.Mutex // guards what follows
	used int64
	by   map[string]int64
}

func newShares(most, perUser int64, users int) *shares {
	s := &shares{most: most, perUser: perUser, others: max(users-1, 0), by: make(map[string]int64)}
	if s.others > 0 {
		s.kept = (most - perUser) / int64(s.others)
	}
	return s
}

// take gives a user n more, or reports false.
func (s *shares) take(user string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := int64(s.others) * s.kept
	for other, used := range s.by {
		if other != user {
			keep -= min(used, s.kept)
		}
	}
	if n > s.perUser-s.by[user] || n > s.most-s.used-keep {
		return false
	}
	s.used += n
	s.by[user] += n
	return true
}

// give takes n back.
func (s *shares) give(user string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
	if s.by[user] -= n; s.by[user] == 0 {
		delete(s.by, user)
	}
}
