// Package faucet gives coins without value to whoever asks, on a network for playing: from a
// wallet of its own, within limits by address and by hour. Where blocks can be mined at will, it
// mines what it lacks.
package faucet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// Calls makes Bitcoin Core's calls to the faucet's wallet, the only one there.
type Calls interface {
	Call(ctx context.Context, method string, args ...any) (json.RawMessage, error)
}

// Config is what a faucet works with.
type Config struct {
	Spec   *consensus.Spec
	Wallet Calls
	Limits Limits
	Mine   func(ctx context.Context, script []byte, count int) error // nil where nobody mines at once
	Now    func() time.Time
	Log    *slog.Logger
}

// Faucet pays. It may be used from several goroutines.
type Faucet struct {
	cfg  Config
	slot chan struct{} // one payment is made at a time

	mu      sync.Mutex // guards what follows
	budget  budget
	address string // where the faucet is paid; empty before it is known
}

// New prepares a faucet.
func New(cfg Config) *Faucet {
	return &Faucet{cfg: cfg, slot: make(chan struct{}, 1), budget: budget{limits: cfg.Limits}}
}

// Name is that of the faucet's wallet.
const Name = "faucet"

// errEmpty is the kind of error for a faucet without coins.
var errEmpty = errors.New("the faucet is empty")

// Address is where coins for the faucet are paid to.
func (f *Faucet) Address(ctx context.Context) (string, error) {
	f.mu.Lock()
	address := f.address
	f.mu.Unlock()
	if address != "" {
		return address, nil
	}
	raw, err := f.cfg.Wallet.Call(ctx, "getnewaddress")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, &address); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.address == "" {
		f.address = address
	}
	return f.address, nil
}

// Balance is what the faucet can spend, in coins.
func (f *Faucet) Balance(ctx context.Context) (json.Number, error) {
	raw, err := f.cfg.Wallet.Call(ctx, "getbalance")
	return json.Number(raw), err
}

// Pay pays an address. The error is of kind errTooMuch beyond the limits, and of kind errEmpty
// if there are no coins, nor can be mined.
func (f *Faucet) Pay(ctx context.Context, to string, amount consensus.Amount) (txid string, err error) {
	key, err := consensus.ParseAddress(f.cfg.Spec.Defaults.AddressPrefix, to)
	if err != nil {
		return "", err
	}
	select {
	case f.slot <- struct{}{}:
		defer func() { <-f.slot }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	f.mu.Lock()
	err = f.budget.take(f.cfg.Now(), key, amount)
	f.mu.Unlock()
	if err != nil {
		return "", err
	}
	txid, err = f.send(ctx, to, amount)
	if err != nil {
		f.mu.Lock()
		f.budget.giveBack(key, amount)
		f.mu.Unlock()
	}
	return txid, err
}

// send pays, and mines what is missing for it.
func (f *Faucet) send(ctx context.Context, to string, amount consensus.Amount) (txid string, err error) {
	have, err := f.coins(ctx)
	if err != nil {
		return "", err
	}
	const forFees = consensus.SatPerCoin / 100
	if have < amount+forFees {
		if err := f.fill(ctx); err != nil {
			return "", err
		}
	}
	raw, err := f.cfg.Wallet.Call(ctx, "sendtoaddress", to, json.Number(amount.String()))
	if err != nil {
		return "", fmt.Errorf("the faucet's wallet: %w", err)
	}
	return txid, json.Unmarshal(raw, &txid)
}

// coins is what the wallet can spend.
func (f *Faucet) coins(ctx context.Context) (consensus.Amount, error) {
	balance, err := f.Balance(ctx)
	if err != nil {
		return 0, err
	}
	return wallet.ParseAmount(balance.String())
}

// fill mines until a coinbase of the faucet can be spent.
func (f *Faucet) fill(ctx context.Context) error {
	address, err := f.Address(ctx)
	if err != nil {
		return err
	}
	if f.cfg.Mine == nil {
		return fmt.Errorf("%w: pay coins to %s", errEmpty, address)
	}
	key, err := consensus.ParseAddress(f.cfg.Spec.Defaults.AddressPrefix, address)
	if err != nil {
		return err
	}
	f.cfg.Log.Info("the faucet mines coins for itself", "blocks", f.cfg.Spec.Rules.Maturity+1)
	return f.cfg.Mine(ctx, consensus.TaprootScript(key), int(f.cfg.Spec.Rules.Maturity)+1)
}

// OpenWallet loads the faucet's wallet, or makes it.
func OpenWallet(ctx context.Context, calls Calls) error {
	raw, err := calls.Call(ctx, "listwallets")
	if err != nil {
		return err
	}
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil || len(names) > 0 {
		return err
	}
	if _, err = calls.Call(ctx, "loadwallet", Name); err == nil {
		return nil
	}
	_, err = calls.Call(ctx, "createwallet", Name)
	return err
}
