package miner

import (
	"context"
	"errors"
	"testing"

	"lode/consensus"
)

func TestSearchHeader(t *testing.T) {
	target, _ := consensus.TargetFromBits(0x1f00ffff) // 65,000 hashes
	h := consensus.Header{Version: 4, Time: 1_800_000_000}
	if err := SearchHeader(t.Context(), &h, &target, nil); err != nil || !h.Hash().MeetsTarget(&target) {
		t.Errorf("hash %s (%v)", h.Hash(), err)
	}
	none := consensus.Target{1}
	ctx, stop := context.WithCancel(t.Context())
	before := h
	if err := SearchHeader(ctx, &h, &none, func(uint64) { stop() }); !errors.Is(err, context.Canceled) || h != before {
		t.Errorf("when it is stopped: %v", err)
	}
}
