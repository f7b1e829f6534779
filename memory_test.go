package main

import (
	"math"
	"runtime"
	"testing"
)

// The memory limit gives way while the collector costs too much, and comes back.
func TestMemoryLimitGivesWay(t *testing.T) {
	m := memoryLimit{base: 1000}
	for i, c := range []struct {
		collecting, all float64
		want            int64
	}{
		{0, 0, 1000},
		{0.2, 1, 1000},
		{0.21, 1, 1250},
		{2, 4, 1562},
		{0.1, 1, 1562}, // neither much nor little
		{0.01, 1, 1406},
		{0, 1, 1266},
		{0, 0, 1266}, // nothing was collected
		{0, 1, 1140},
		{0, 1, 1026},
		{0, 1, 1000},
		{0, 1, 1000},
	} {
		if got := m.step(c.collecting, c.all); got != c.want {
			t.Errorf("step %d: %d, want %d", i, got, c.want)
		}
	}
	m = memoryLimit{base: math.MaxInt64 - 1}
	if got := m.step(1, 1); got != math.MaxInt64 {
		t.Errorf("%d after the largest", got)
	}
}

// The runtime knows the metrics by these names.
func TestCollectorIsRead(t *testing.T) {
	var c collector
	runtime.GC()
	c.read()
	if c.all <= 0 || c.live <= 0 || c.collecting < 0 || c.collecting > c.all {
		t.Errorf("%+v", c)
	}
}
