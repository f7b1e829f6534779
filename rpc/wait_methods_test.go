package rpc_test

import (
	"testing"
	"time"
)

func TestWaitForBlock(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 3)
	tip := func() object { return object{"hash": n.chain.Tip().Hash, "height": n.chain.Tip().Height} }
	first, _ := n.chain.HashAt(1)

	// What is there already, and what does not come.
	same(t, ok[any](n, "waitforblock", n.chain.Tip().Hash), tip())
	same(t, ok[any](n, "waitforblockheight", 2), tip())
	same(t, ok[any](n, "waitfornewblock", 0, first), tip())
	same(t, ok[any](n, "waitforblock", first, 1), tip())
	same(t, ok[any](n, "waitforblockheight", 4, 1), tip())
	same(t, ok[any](n, "waitfornewblock", 1), tip())
	for _, call := range [][]any{{"waitfornewblock", -1}, {"waitforblock", first, -1}, {"waitforblockheight", 1, -1}} {
		n.refused(-1, "Negative timeout", call[0].(string), call[1:]...)
	}

	// What comes.
	next := n.template()
	solve(next)
	for _, call := range [][]any{{"waitfornewblock", 0, n.chain.Tip().Hash}, {"waitforblock", next.Header.Hash()}, {"waitforblockheight", 4}} {
		answer := make(chan any, 1)
		go func() { answer <- ok[any](n, call[0].(string), call[1:]...) }()
		defer func() {
			select {
			case got := <-answer:
				same(t, got, tip())
			case <-time.After(time.Minute):
				t.Errorf("%v does not end", call)
			}
		}()
	}
	same(t, ok[any](n, "submitblock", hexBlock(next)), nil)
}
