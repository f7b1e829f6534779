package chain

import (
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"lode/consensus"
	"lode/wallet/silent"
)

// SilentTweak is what a receiver of silent payments (BIP352) needs to know of a transaction
// beside its outputs.
type SilentTweak struct {
	Index uint32 // of the transaction in its block
	Tweak silent.PublicKey
}

// noTweak stands for a transaction that cannot pay silently.
const noTweak = 0

// changeSilentIndex keeps, for every block of the active chain with more than a coinbase, the
// tweaks of the other transactions in their order: 33 bytes, or one (noTweak).
func changeSilentIndex(b *indexBatch, block *indexedBlock, revert bool) error {
	if len(block.Txs) < 2 {
		return nil
	}
	key := silentKey(block.Header.Hash())
	if revert {
		b.Delete(key)
		return nil
	}
	tweaks, err := silentTweaks(block)
	if err != nil {
		return err
	}
	b.Put(key, tweaks)
	return nil
}

// silentTweaks works the tweaks of a block out, on all cores: each is some points to decode
// and one to multiply.
func silentTweaks(block *indexedBlock) ([]byte, error) {
	txs, spent := block.Txs[1:], block.spent
	parts := make([][]byte, len(txs))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	const share = 32 // transactions that one goroutine takes
	for from := 0; from < len(txs); from += share {
		some, first := txs[from:min(from+share, len(txs))], spent
		for _, tx := range some {
			if len(spent) < len(tx.In) {
				return nil, fmt.Errorf("%w: undo data of the block at height %d", errCorrupt, block.height)
			}
			spent = spent[len(tx.In):]
		}
		group.Go(func() error {
			for i, tx := range some {
				parts[from+i] = []byte{noTweak}
				if tweak, ok := silent.TweakOf(tx, first[:len(tx.In)]); ok {
					parts[from+i] = tweak[:]
				}
				first = first[len(tx.In):]
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return all, nil
}

func silentKey(block consensus.Hash) []byte { return append([]byte{keySilent}, block[:]...) }

// SilentTweaks gives the tweaks of those transactions of a block of the active chain that can
// pay silently, in their order. The error is of kind ErrNoIndex without the index of silent
// payments, ErrNotFound if that does not have the block (yet, see IndexReady, or any more), and
// else ErrFatal.
func (c *Chain) SilentTweaks(block *consensus.Block) (list []SilentTweak, err error) {
	x, err := c.keptIndex(SilentIndex)
	if err != nil || len(block.Txs) < 2 {
		return nil, err
	}
	hash := block.Header.Hash()
	var value []byte
	err = x.use(func() (err error) {
		value, err = c.store.value(silentKey(hash))
		return err
	})
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("%w: the tweaks of block %s", ErrNotFound, hash)
	}
	d := consensus.NewDecoder(value)
	for i := 1; i < len(block.Txs) && d.Err() == nil; i++ {
		first := d.Uint8()
		if first == noTweak {
			continue
		}
		h := d.Hash()
		list = append(list, SilentTweak{uint32(i), silent.PublicKey(append([]byte{first}, h[:]...))})
	}
	if err := d.Finish(); err != nil {
		return nil, c.fail(fmt.Errorf("%w: %s of block %s: %w", errCorrupt, SilentIndex, hash, err))
	}
	return list, nil
}
