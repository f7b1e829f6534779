//go:build check

package consensus

import "sync/atomic"

// With the build tag check the dear steps are counted, so that a test can tell whether
// a block goes through one of them twice.
var (
	HashedHeaders atomic.Int64 // calls of Header.Hash
	CheckedBlocks atomic.Int64 // calls of CheckBlock and CheckHashed
)

func countHash()  { HashedHeaders.Add(1) }
func countCheck() { CheckedBlocks.Add(1) }
