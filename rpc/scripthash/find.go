package scripthash

import (
	"context"
	"errors"

	"lode/chain"
	"lode/consensus"
)

// Find finds a transaction, of the mempool or of the chain. block is zero for one of
// the mempool. The index of transactions follows the tip from behind, and a block may
// have taken the transaction out of the mempool just now: so it waits for the index
// before it says that there is none. The errors are those of chain.FindTx.
func (x *Index) Find(ctx context.Context, id consensus.Hash) (tx *consensus.Tx, block consensus.Hash, err error) {
	if e, ok := x.Pooled(id); ok {
		return e.Tx, block, nil
	}
	tx, block, err = x.ledger.FindTx(id)
	if !errors.Is(err, chain.ErrNoTx) {
		return tx, block, err
	}
	if _, err := x.ledger.IndexReady(ctx, chain.TxIndex); err != nil {
		return nil, block, err
	}
	if tx, block, err = x.ledger.FindTx(id); errors.Is(err, chain.ErrNoTx) {
		if e, ok := x.Pooled(id); ok { // a reorganization has brought it back
			return e.Tx, consensus.Hash{}, nil
		}
	}
	return tx, block, err
}
