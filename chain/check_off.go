//go:build !check

package chain

func (c *Chain) assert() {}
