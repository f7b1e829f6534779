package walletrpc

import (
	"context"
	"fmt"
	"maps"

	"lode/consensus"
	"lode/wallet"
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

// Hold takes the turn of a wallet, as a call does that takes long, until release.
func (m *Manager) Hold(name string) (release func()) {
	m.mu.Lock()
	o := m.wallets[name]
	m.mu.Unlock()
	<-o.turn
	return o.unlock
}

// UpTo gives the block up to which a wallet is read.
func (m *Manager) UpTo(name string) consensus.Hash {
	defer m.Hold(name)()
	return m.wallets[name].tip
}

// PanicIn has a scan of a wallet panic with its argument, as a mistake of this program would.
func (m *Manager) PanicIn(name string, with any) {
	defer m.Hold(name)()
	_, _ = m.wallets[name].work(context.Background(), true, 0, func() {}, func(context.Context, wallet.Progress) error { panic(with) })
}

// Loading reports whether a call is about to load a wallet.
func (m *Manager) Loading(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.coming[name]
}
