package chain

import (
	"errors"
	"io"

	"lode/consensus"
)

// appendUndo writes the coins that a block spent: their number, then for each
// twice its height plus one if from a coinbase, its amount, its key; and a
// SHA-256d over the block's hash and all of it.
func appendUndo(b []byte, block consensus.Hash, spent []consensus.Coin) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(spent)))
	for i := range spent {
		b = appendCoin(b, &spent[i])
	}
	sum := consensus.DoubleSHA256(append(block[:], b...))
	return append(b, sum[:]...)
}

// readUndo is the inverse of appendUndo.
func readUndo(b []byte, block consensus.Hash) ([]consensus.Coin, error) {
	if len(b) < 32 {
		return nil, io.ErrUnexpectedEOF
	}
	b, sum := b[:len(b)-32], consensus.Hash(b[len(b)-32:])
	if consensus.DoubleSHA256(append(block[:], b...)) != sum {
		return nil, errors.New("checksum of undo data does not match")
	}
	d := consensus.NewDecoder(b)
	spent := make([]consensus.Coin, d.Count(minCoinSize))
	for i := range spent {
		spent[i] = decodeCoin(d)
	}
	return spent, d.Finish()
}

// minCoinSize is the least that a coin takes in its compact form.
const minCoinSize = 1 + 1 + 32

// appendCoin is the compact form of a coin.
func appendCoin(b []byte, c *consensus.Coin) []byte {
	code := uint64(c.Height) << 1
	if c.Coinbase {
		code |= 1
	}
	b = consensus.AppendCompactSize(b, code)
	b = consensus.AppendCompactSize(b, uint64(c.Value))
	return append(b, c.Key[:]...)
}

func decodeCoin(d *consensus.Decoder) consensus.Coin {
	code := d.CompactSize()
	c := consensus.Coin{Height: uint32(code >> 1), Coinbase: code&1 == 1, Value: consensus.Amount(d.CompactSize())}
	c.Key = d.Hash()
	return c
}
