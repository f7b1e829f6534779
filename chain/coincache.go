package chain

import (
	"fmt"
	"maps"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"lode/consensus"
)

// coinCache is the coins at the tip, as far as they differ from those in the
// database, and others that were looked up. Its methods need Chain.mu: coin and
// find for reading, the others for writing.
type coinCache struct {
	store   *store
	entries map[consensus.OutPoint]cachedCoin
	changed int // how many of them the database does not have like this
}

// cachedCoin is a coin without a pointer, so that the garbage collector need not
// look at it, and in few bytes.
type cachedCoin struct {
	value    consensus.Amount
	key      [32]byte
	height   uint32
	coinbase bool
	state    coinState
}

type coinState byte

const (
	coinSpent   coinState = 1 << iota // it is gone; only with coinChanged
	coinChanged                       // the database does not have it like this
	coinFresh                         // the database does not have it at all; only with coinChanged
)

func (e *cachedCoin) has(s coinState) bool { return e.state&s != 0 }

func (e *cachedCoin) coin() consensus.Coin {
	return consensus.Coin{Value: e.value, Key: e.key, Height: e.height, Coinbase: e.coinbase}
}

// entrySize is about how many bytes a coin takes in the map: key, value and a
// byte of control, in tables that are between half full and full.
const entrySize = (int64(unsafe.Sizeof(consensus.OutPoint{})+unsafe.Sizeof(cachedCoin{})) + 1) * 4 / 3

func newCoinCache(s *store) *coinCache {
	return &coinCache{store: s, entries: make(map[consensus.OutPoint]cachedCoin)}
}

// size is about how many bytes of memory the cache takes.
func (c *coinCache) size() int64 { return int64(len(c.entries)) * entrySize }

// find looks a coin up in the cache alone; known is false if only the database
// can tell.
func (c *coinCache) find(o consensus.OutPoint) (coin consensus.Coin, there, known bool) {
	e, ok := c.entries[o]
	if !ok {
		return consensus.Coin{}, false, false
	}
	return e.coin(), !e.has(coinSpent), true
}

// coin looks a coin up; an error is one of the database.
func (c *coinCache) coin(o consensus.OutPoint) (consensus.Coin, bool, error) {
	if coin, there, known := c.find(o); known {
		return coin, there, nil
	}
	if c.store == nil { // see UseSnapshot
		return consensus.Coin{}, false, nil
	}
	return c.store.coin(o)
}

// keep remembers what the database said about a coin that is there.
func (c *coinCache) keep(o consensus.OutPoint, coin consensus.Coin) {
	c.entries[o] = cachedCoin{coin.Value, coin.Key, coin.Height, coin.Coinbase, 0}
}

// remove spends a coin, which must be there.
func (c *coinCache) remove(o consensus.OutPoint) {
	e, ok := c.entries[o]
	if ok && e.has(coinFresh) {
		delete(c.entries, o) // nobody else will ever know
		c.changed--
		return
	}
	if !ok || !e.has(coinChanged) {
		c.changed++
	}
	c.entries[o] = cachedCoin{state: coinSpent | coinChanged}
}

// add makes a coin, which must not be there.
func (c *coinCache) add(o consensus.OutPoint, coin consensus.Coin) {
	e, ok := c.entries[o]
	state := coinChanged
	// If the database had it, the cache would know that it is spent since.
	if !ok || e.has(coinFresh) {
		state |= coinFresh
	}
	if !ok || !e.has(coinChanged) {
		c.changed++
	}
	c.entries[o] = cachedCoin{coin.Value, coin.Key, coin.Height, coin.Coinbase, state}
}

// apply makes the changes of a view that stands on the cache.
func (c *coinCache) apply(v *consensus.View) {
	removed, added := v.Changes()
	for o := range removed {
		c.remove(o)
	}
	for o, coin := range added {
		c.add(o, coin)
	}
}

// read looks up, on all cores and at once, what the blocks will spend and is not
// in the cache yet.
func (c *coinCache) read(blocks []*consensus.CheckedBlock) error {
	wanted := make(map[consensus.OutPoint]struct{})
	made := make(map[consensus.Hash]struct{})
	for _, b := range blocks {
		ids := b.IDs()
		for n, tx := range b.Block().Txs {
			made[ids[n]] = struct{}{}
			for _, in := range tx.In {
				if _, known := c.entries[in.PrevOut]; !known && n > 0 {
					wanted[in.PrevOut] = struct{}{}
				}
			}
		}
	}
	maps.DeleteFunc(wanted, func(o consensus.OutPoint, _ struct{}) bool {
		_, here := made[o.TxID]
		return here
	})
	const few = 16 // look-ups that are not worth a goroutine
	if len(wanted) < few {
		return nil
	}
	type found struct {
		o    consensus.OutPoint
		coin consensus.Coin
	}
	const readers = 8 // as many as a disk likes to have waiting
	todo, results := make(chan consensus.OutPoint, len(wanted)), make(chan found, len(wanted))
	for o := range wanted {
		todo <- o
	}
	close(todo)
	var group errgroup.Group
	for range readers {
		group.Go(func() error {
			for o := range todo {
				coin, ok, err := c.store.coin(o)
				if err != nil {
					return fmt.Errorf("coin %s: %w", o, err)
				}
				if ok {
					results <- found{o, coin}
				}
			}
			return nil
		})
	}
	err := group.Wait()
	close(results)
	for f := range results {
		c.keep(f.o, f.coin)
	}
	return err
}

// write writes what is in b, the coins that have changed and the tip to which
// they belong, so that all of it survives a power cut. If that is more than about
// limit bytes it takes several batches, of which the first says that the coins
// are on their way from the tip on record to this one.
func (c *coinCache) write(b *batch, tip consensus.Hash, limit int) error {
	moving := false
	for o, e := range c.entries {
		switch {
		case !e.has(coinChanged):
			continue
		case e.has(coinSpent):
			b.Delete(coinKey(o))
		default:
			coin := e.coin()
			b.putCoin(o, &coin)
		}
		if len(b.Dump()) < limit {
			continue
		}
		if !moving {
			b.putHash(keyMoving, tip)
		}
		if err := c.store.write(b, !moving); err != nil {
			return err
		}
		moving = true
		b.Reset()
	}
	b.putHash(keyTip, tip)
	b.Delete([]byte{keyMoving})
	if err := c.store.write(b, true); err != nil {
		return err
	}
	c.saved()
	return nil
}

// saved notes that the database has all coins as they are.
func (c *coinCache) saved() {
	for o, e := range c.entries {
		if e.has(coinSpent) {
			delete(c.entries, o)
		} else if e.state != 0 {
			e.state = 0
			c.entries[o] = e
		}
	}
	c.changed = 0
}

// coins is the cache as a consensus.CoinSource, which keeps what it looks up.
// The first error of the database sticks; whoever used it must look at err
// before it believes a miss.
type coins struct {
	cache *coinCache
	err   error
}

// Coin looks a coin up.
func (c *coins) Coin(o consensus.OutPoint) (consensus.Coin, bool) {
	if coin, there, known := c.cache.find(o); known {
		return coin, there
	}
	coin, ok, err := c.cache.store.coin(o)
	switch {
	case err != nil && c.err == nil:
		c.err = fmt.Errorf("coin %s: %w", o, err)
	case ok:
		c.cache.keep(o, coin)
	}
	return coin, ok
}

// CacheSizes is how many bytes of memory the database and the coins above it may
// take.
func (c *Chain) CacheSizes() (database, coins int64) { return databaseCache, c.cacheLimit }
