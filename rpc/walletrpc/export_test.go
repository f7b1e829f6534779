package walletrpc

import (
	"fmt"
	"maps"
)

// Fill has m think that as many wallets are loaded as may be, until undo: to make them
// would take long.
func (m *Manager) Fill() (undo func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := maps.Clone(m.wallets)
	for i := 0; len(m.wallets) < maxWallets; i++ {
		m.wallets[fmt.Sprint("none-", i)] = nil
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.wallets = before
	}
}
