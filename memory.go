package main

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"lode/p2p"
)

const (
	// signatureMemory is what the cache of valid signatures takes, in bytes, and
	// serviceMemory, what RPC, the pool and the explorer may take at a time.
	signatureMemory = 32 << 20
	serviceMemory   = 128 << 20
	// memoryTick is how often the collector is looked at.
	memoryTick = 2 * time.Second
)

// keepMemory sets a memory limit for the garbage collector, until ctx ends: what is
// in memory now, such as the index of headers, the caches and the limits, and 30 %.
// Without it the collector lets the heap grow to twice what is in use before it
// begins. Where the user has set one (GOMEMLIMIT) that holds.
func (n *nodeConfig) keepMemory(ctx context.Context) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	caches := n.cache + int64(n.policy.MaxMemory) + signatureMemory + serviceMemory + p2p.MaxMemory
	var c collector
	c.read()
	limit := memoryLimit{base: (c.live + caches) / 10 * 13}
	debug.SetMemoryLimit(limit.step(0, 0))
	defer debug.SetMemoryLimit(math.MaxInt64)
	n.log.Debug("memory limit", "bytes", limit.base)
	ticker := time.NewTicker(memoryTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			before := c
			c.read()
			debug.SetMemoryLimit(limit.step(c.collecting-before.collecting, c.all-before.all))
		}
	}
}

// memoryLimit is a limit that gives way: it must never cost more than a fifth of the
// processors. It holds no clock.
//
//	state   begins with                                     the limit
//	at base New                                             base
//	raised  the collector took more than maxCollecting      a quarter higher each step
//	        of the processor time since the last step
//	        less than minCollecting                         a tenth lower each step, down to base
type memoryLimit struct {
	base  int64 // bytes
	limit int64
}

const (
	maxCollecting = 0.20
	minCollecting = 0.05
)

// step gives the limit, after the collector has taken so many of all seconds of
// processor time since the step before.
func (m *memoryLimit) step(collecting, all float64) int64 {
	m.limit = max(m.limit, m.base)
	switch {
	case all <= 0:
	case collecting/all > maxCollecting:
		m.limit += min(m.limit/4, math.MaxInt64-m.limit)
	case collecting/all < minCollecting:
		m.limit = max(m.base, m.limit-m.limit/10)
	}
	return m.limit
}

// collector is what the runtime tells of the garbage collector. Its processor times
// are brought up to date with each collection.
type collector struct {
	collecting, all float64 // seconds since the start, of all processors
	live            int64   // bytes that were in use after the last collection
}

func (c *collector) read() {
	list := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}, // of processors that had nothing else to do
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(list)
	c.collecting, c.all = list[0].Value.Float64()-list[1].Value.Float64(), list[2].Value.Float64()
	c.live = int64(list[3].Value.Uint64())
}
