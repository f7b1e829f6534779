package p2p

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"lode/consensus"
)

// cutNetwork is twenty stations in two halves between which all links are cut.
type cutNetwork struct {
	*network
	halves [2][]*station
	coins  []*consensus.Tx
}

func newCutNetwork(w *world, t *testing.T) *cutNetwork {
	w.level = slog.LevelWarn
	random := seeded(t)
	c := &cutNetwork{}
	var all []*station
	for i := range 20 {
		all = append(all, w.add(fmt.Sprint("s", i), nil))
	}
	c.coins = rich(w, 24, all...)
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	c.halves = [2][]*station{all[:10], all[10:]}
	c.network = w.network(random, 8, c.halves[0], c.halves[1])
	w.partition(func(a, b string) bool { return c.half(a) != c.half(b) })
	return c
}

func (c *cutNetwork) half(name string) int {
	if slices.ContainsFunc(c.halves[0], func(s *station) bool { return s.name == name }) {
		return 0
	}
	return 1
}

// work has the stations of a half find blocks in turn, each with transactions
// that spend coins and are known to the whole half. It gives the transactions.
func (c *cutNetwork) work(half, blocks int, fee consensus.Amount, coins ...*consensus.Tx) (txs []*consensus.Tx) {
	c.w.t.Helper()
	stations := c.halves[half]
	for i := range blocks {
		var some []*consensus.Tx
		for j, coin := range coins[i*len(coins)/blocks : (i+1)*len(coins)/blocks] {
			tx := spend(coin, fee)
			child := spend(tx, fee)
			stations[j%len(stations)].submit(tx)
			c.w.everywhere("in the half", stations, tx)
			stations[(j+5)%len(stations)].submit(child)
			some = append(some, tx, child)
		}
		c.w.everywhere("in the half", stations, some...)
		block := stations[i%len(stations)].mineHere(c.w, byte(100*half+i))
		if len(block.Txs) != 1+len(some) {
			c.w.t.Errorf("half %d, block %d has %d transactions, want %d and the coinbase", half, i, len(block.Txs), len(some))
		}
		c.w.agree(block.Header.Hash(), stations...)
		txs = append(txs, some...)
	}
	return txs
}

// Two halves of a network mine for themselves, with different transactions, some
// of which spend the same coins. When the cut heals the longer chain holds
// everywhere; what the other one had confirmed waits in every pool again, and
// nothing of what is spent otherwise now.
func TestHalvesHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := newCutNetwork(w, t)
		only0, only1, both := c.coins[:6], c.coins[6:14], c.coins[14:20]
		reverted := c.work(0, 3, 2000, only0...)
		loser := c.work(0, 1, 2000, both...)
		kept := c.work(1, 4, 1000, only1...)
		winner := c.work(1, 1, 1000, both...)
		// What nobody has confirmed, of which each half knows its own.
		waiting := []*consensus.Tx{spend(c.coins[20], 1000), spend(c.coins[21], 1000)}
		doubled := spend(loser[1], 1000)
		c.halves[0][3].submit(waiting[0])
		c.halves[0][4].submit(doubled)
		c.halves[1][3].submit(waiting[1])
		w.everywhere("in the half", c.halves[0], waiting[0], doubled)
		w.everywhere("in the half", c.halves[1], waiting[1])
		longer := c.halves[1][0].ledger.Tip().Hash

		w.partition(nil)
		w.agree(longer, c.stations...)
		c.awaitLinks(c.stations...)
		w.sameCoins(c.stations...)
		w.everywhere("reverted transactions are back", c.stations, reverted...)
		for _, s := range c.stations {
			pool := s.unconfirmed()
			for _, tx := range slices.Concat(kept, winner, loser, []*consensus.Tx{doubled}) {
				if _, ok := pool[tx.TxID()]; ok {
					t.Errorf("%s has a transaction that is confirmed, or cannot be", s.name)
				}
			}
			own := waiting[c.half(s.name)]
			if _, ok := pool[own.TxID()]; !ok || len(pool) != len(reverted)+1 {
				t.Errorf("%s has %d unconfirmed transactions, want %d", s.name, len(pool), len(reverted)+1)
			}
		}

		for i := range 2 { // a miner of either half confirms what that half knows
			block := c.halves[i][9].mineHere(w, byte(7+i))
			if want := 1 + 1 + (1-i)*len(reverted); len(block.Txs) != want {
				t.Errorf("a block of %d transactions, want %d", len(block.Txs), want)
			}
			w.agree(block.Header.Hash(), c.stations...)
		}
		w.until("nothing is left", func() bool {
			return !slices.ContainsFunc(c.stations, func(s *station) bool { return len(s.unconfirmed()) > 0 })
		})
		w.sameCoins(c.stations...)
		w.nobodyBlamed()
	})
}
