//go:build check

package chain

// With the build tag check a ledger makes sure of its tree of headers after every
// change of the tip or of what is known to be invalid, and panics where it is not
// what it must be. It takes as long as there are headers.
func (c *Chain) assert() {
	if len(c.tree.Active()) == 0 {
		return
	}
	if err := c.tree.Check(); err != nil {
		panic(err)
	}
}
