package main

import (
	"strings"
	"testing"
)

func TestPlacesFit(t *testing.T) {
	all := places{outbound: 19, inbound: 115, rpc: 256, pool: 4096}
	for _, test := range []struct {
		name  string
		limit int
		want  places
		got   places
	}{
		{"a usual limit", 1 << 20, all, all},
		{"exactly enough", all.descriptors(), all, all},
		{"one too few: the pool's go first", all.descriptors() - 1, all, places{19, 115, 256, 4095, 0}},
		{"1024 with a pool", 1024, all, places{19, 115, 256, 295, 0}},
		{"1024 without one", 1024, places{19, 115, 256, 0, 0}, places{19, 115, 256, 0, 0}},
		{"no room for a pool: then inbound peers", 650, all, places{19, 74, 256, 0, 0}},
		{"then callers", 400, all, places{19, 0, 161, 0, 0}},
		{"then outbound peers", 235, all, places{11, 0, 4, 0, 0}},
		{"the least", 232, all, places{8, 0, 4, 0, 0}},
		{"the least of a node that looks for none", 227, places{3, 115, 256, 0, 0}, places{3, 0, 4, 0, 0}},
	} {
		got, err := test.want.fit(test.limit)
		if err != nil || got != test.got {
			t.Errorf("%s: %+v (%v), want %+v", test.name, got, err, test.got)
		}
		if n := got.descriptors(); n > test.limit {
			t.Errorf("%s: %d descriptors of %d", test.name, n, test.limit)
		}
	}
	if _, err := all.fit(231); err == nil || !strings.Contains(err.Error(), "may open 231 files") || !strings.Contains(err.Error(), "needs 232") {
		t.Errorf("below the least: %v", err)
	}
}
