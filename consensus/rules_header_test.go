package consensus_test

import (
	"lode/consensus"
	"lode/consensus/internal/testchain"
)

var headerRules = []ruleCase{
	{"nothing special", "", "", header(func(*testchain.Chain, *consensus.Header) {})},

	// Proof of work.
	{"hash above its target", consensus.ErrHighHash, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		limit := c.Rules.Limit()
		for b.Header.Hash().MeetsTarget(&limit) {
			b.Nonce++
		}
		return b
	}},
	{"target above the limit", consensus.ErrHighHash, "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Bits = 0x2100ffff })},
	{"target of zero", consensus.ErrHighHash, "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Bits = 0x20000000 })},
	{"negative target", consensus.ErrHighHash, "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Bits = 0x20ffffff })},
	{"target of more than 256 bits", consensus.ErrHighHash, "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Bits = 0xff7fffff })},
	{"harder than it must be", consensus.ErrDiffBits, "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Bits = 0x207ffffe })},

	// Time.
	{"one second above the median", "", "", header(func(c *testchain.Chain, h *consensus.Header) { h.Time = c.State.MedianTime() + 1 })},
	{"the median itself", consensus.ErrTimeTooOld, "", header(func(c *testchain.Chain, h *consensus.Header) { h.Time = c.State.MedianTime() })},
	{"as late as may be", "", "", header(func(c *testchain.Chain, h *consensus.Header) { c.Latest = h.Time })},
	{"a second too late", consensus.ErrTimeTooNew, "", header(func(c *testchain.Chain, h *consensus.Header) { c.Latest = h.Time - 1 })},

	// Version, which is signed.
	{"version 4", "", "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Version = 4 })},
	{"largest version", "", "", header(func(_ *testchain.Chain, h *consensus.Header) { h.Version = 0x7fffffff })},
	{"version 3", consensus.ErrVersion, "bad-version(0x00000003)", header(func(_ *testchain.Chain, h *consensus.Header) { h.Version = 3 })},
	{"version -1", consensus.ErrVersion, "bad-version(0xffffffff)", header(func(_ *testchain.Chain, h *consensus.Header) { h.Version = -1 })},
}
