package rpc

import (
	"slices"
	"sync"
	"time"
)

// running is the calls that are being answered. There are as many as slots at most.
type running struct {
	mu   sync.Mutex // guards what follows
	last uint64
	list map[uint64]runningCall
}

type runningCall struct {
	number uint64
	method string
	since  time.Time
}

// begin notes a call; the result ends it.
func (r *running) begin(method string, now time.Time) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = make(map[uint64]runningCall)
	}
	r.last++
	number := r.last
	r.list[number] = runningCall{number, method, now}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.list, number)
	}
}

// calls lists what is being answered, in the order of arrival.
func (r *running) calls() []runningCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]runningCall, 0, len(r.list))
	for _, c := range r.list {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b runningCall) int { return int(int64(a.number) - int64(b.number)) })
	return list
}
