package chain

// HeadersFrom lists the headers at a height and above, at most limit of them: that of
// the active chain at the height, and all that come after it, parents before children.
func (c *Chain) HeadersFrom(height uint32, limit int) (list []HeaderInfo) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	first, ok := c.tree.At(height)
	if !ok {
		return nil
	}
	for _, n := range first.Descendants() {
		if len(list) == limit {
			break
		}
		list = append(list, c.info(n))
	}
	return list
}
