package rpc

import "sync"

// shares divide something among users, so that none takes it all.
type shares struct {
	most, perUser int64 // bytes

	mu   sync.Mutex // guards what follows
	used int64
	by   map[string]int64
}

func newShares(most, perUser int64) *shares {
	return &shares{most: most, perUser: perUser, by: make(map[string]int64)}
}

// take gives a user n more, or reports false.
func (s *shares) take(user string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.most-s.used || n > s.perUser-s.by[user] {
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
