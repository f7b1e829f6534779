package walletrpc

import (
	"context"
	"maps"

	"lode/rpc"
	"lode/wallet"
)

// calls are functions by the names of their methods.
type calls = map[string]rpc.WalletCall

// Calls lists the calls that a Manager answers.
func (m *Manager) Calls() map[string]rpc.WalletCall {
	all := make(calls)
	for _, some := range []calls{
		m.fileCalls(), m.stateCalls(), m.addressCalls(), m.historyCalls(), m.sendCalls(), m.psbtCalls(), m.descriptorCalls(), m.secretCalls(),
	} {
		maps.Copy(all, some)
	}
	return all
}

// call is a call to one wallet, which has its turn.
type call struct {
	ctx context.Context
	m   *Manager
	o   *open
	w   *wallet.Wallet
	a   *rpc.Args
}

// on has a call answered by the wallet that it is for, which knows of all that has
// happened by then.
func (m *Manager) on(f func(c *call) (any, error)) rpc.WalletCall {
	return m.serve(true, f)
}

// asIs is on for calls that need not know what has happened.
func (m *Manager) asIs(f func(c *call) (any, error)) rpc.WalletCall {
	return m.serve(false, f)
}

func (m *Manager) serve(fresh bool, f func(c *call) (any, error)) rpc.WalletCall {
	return func(ctx context.Context, at rpc.WalletPath, a *rpc.Args) (result any, err error) {
		o, err := m.find(at)
		if err != nil {
			return nil, err
		}
		if err := o.lock(ctx); err != nil {
			return nil, err
		}
		defer o.unlock()
		if fresh {
			if err := o.fresh(ctx); err != nil {
				return nil, walletError(err)
			}
		}
		result, err = f(&call{ctx, m, o, o.w, a})
		if err == nil {
			if err = o.w.Save(); err != nil {
				err = fail(codeWallet, "The call was carried out, but what it noted could not be written down: look at the wallet before you repeat it: %v", err)
			}
		}
		o.tellTouched()
		return result, walletError(err)
	}
}

// playground reports whether coins of the network have no value.
func (m *Manager) playground() bool { return m.cfg.Spec.Defaults.Playground }

// Coins in JSON.
type coins = rpc.Coins

// blockJSON is the block up to which a wallet has looked.
type blockJSON struct {
	Hash   string `json:"hash"`
	Height uint32 `json:"height"`
}

func (c *call) lastBlock() blockJSON {
	_, tip := c.w.Scanned()
	return blockJSON{tip.Hash.String(), tip.Height}
}
