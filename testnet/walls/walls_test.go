package main

import (
	"slices"
	"strings"
	"testing"
)

// TestLargestKnot: a knot is files that all reach each other, by whichever way.
//
//	a -> b -> c -> a     d -> a     e <-> f     g
func TestLargestKnot(t *testing.T) {
	refs := map[string]map[string]bool{
		"a": {"a": true, "b": true}, "b": {"c": true}, "c": {"a": true, "e": true}, "d": {"a": true}, "e": {"f": true}, "f": {"e": true},
	}
	if knot := largestKnot([]string{"g", "f", "e", "d", "c", "b", "a"}, refs); !slices.Equal(knot, []string{"a", "b", "c"}) {
		t.Errorf("the largest knot is %v", knot)
	}
	delete(refs["c"], "a")
	if knot := largestKnot([]string{"a", "b", "c", "d", "e", "f", "g"}, refs); !slices.Equal(knot, []string{"e", "f"}) {
		t.Errorf("the largest knot is %v", knot)
	}
	if knot := largestKnot([]string{"a", "b"}, map[string]map[string]bool{"a": {"a": true, "b": true}}); len(knot) > 0 {
		t.Errorf("files that do not refer to each other are a knot: %v", knot)
	}
}

// limits are the most methods of a type and the most files in a knot, by package: what
// was reached is not lost again.
var limits = map[string]struct{ methods, knot int }{
	"lode/chain/headertree": {60, 3},
}

// TestWallsStand holds packages that have walls to them.
func TestWallsStand(t *testing.T) {
	var patterns []string
	for path := range limits {
		patterns = append(patterns, path)
	}
	measures, err := countAll(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range measures {
		if limit := limits[m.path]; m.methods > limit.methods || len(m.knot) > limit.knot {
			t.Errorf("%s: %d methods on %s, want %d at most, and %d files in one knot, want %d at most: %s",
				m.path, m.methods, m.typ, limit.methods, len(m.knot), limit.knot, strings.Join(m.knot, " "))
		}
	}
}
