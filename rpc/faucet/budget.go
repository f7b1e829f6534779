package faucet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lode/consensus"
)

// Limits are what a faucet pays at most.
type Limits struct {
	Payment consensus.Amount // at once
	Address consensus.Amount // to one address in an hour
	Hour    consensus.Amount // to all in an hour
	Count   int              // payments in an hour
}

// DefaultLimits suit a network where everybody who can reach the faucet is welcome.
func DefaultLimits() Limits {
	return Limits{Payment: 10 * consensus.SatPerCoin, Address: 10 * consensus.SatPerCoin, Hour: 500 * consensus.SatPerCoin, Count: 1000}
}

// errTooMuch is the kind of error for what is beyond the limits for now.
var errTooMuch = errors.New("that is more than the faucet pays")

// budget remembers what was paid in the last hour: at most Limits.Count payments.
type budget struct {
	limits Limits
	paid   []payment // in their order
}

type payment struct {
	at     time.Time
	to     [32]byte
	amount consensus.Amount
}

// take notes a payment, or says why there may be none.
func (b *budget) take(now time.Time, to [32]byte, amount consensus.Amount) error {
	b.paid = slices.DeleteFunc(b.paid, func(p payment) bool { return now.Sub(p.at) >= time.Hour || now.Before(p.at) })
	var all, same consensus.Amount
	for _, p := range b.paid {
		all += p.amount
		if p.to == to {
			same += p.amount
		}
	}
	switch {
	case amount > b.limits.Payment:
		return fmt.Errorf("%w at once: %s coins at most", errTooMuch, b.limits.Payment)
	case same+amount > b.limits.Address:
		return fmt.Errorf("%w to one address in an hour: %s coins", errTooMuch, b.limits.Address)
	case all+amount > b.limits.Hour || len(b.paid) >= b.limits.Count:
		return fmt.Errorf("%w in an hour to all: come back later", errTooMuch)
	}
	b.paid = append(b.paid, payment{now, to, amount})
	return nil
}

// giveBack forgets the last payment to an address, which was not made.
func (b *budget) giveBack(to [32]byte, amount consensus.Amount) {
	for i := len(b.paid) - 1; i >= 0; i-- {
		if b.paid[i].to == to && b.paid[i].amount == amount {
			b.paid = slices.Delete(b.paid, i, i+1)
			return
		}
	}
}
