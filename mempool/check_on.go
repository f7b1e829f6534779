//go:build check

package mempool

// mostAsserted is how large a graph may be, in transactions, to be verified at every
// change.
const mostAsserted = 500

// assertWhole makes sure that a graph is what it should be: in builds with the tag
// check, at every change.
func assertWhole(g *Graph) {
	if g.Len() > mostAsserted {
		return
	}
	if err := g.Verify(); err != nil {
		panic(err)
	}
}
