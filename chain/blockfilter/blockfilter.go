// Package blockfilter is BIP158's basic filter: a small set that says of every script
// that a block pays to or spends from that it may be there. Who has it need fetch
// those blocks alone that concern him.
//
// A filter is kept and sent as its bytes: the number of elements, as a compact size,
// and then the elements' hashes, sorted and in Golomb-Rice code.
package blockfilter

import (
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/btcutil/v2/gcs"

	"lode/consensus"
)

// The parameters of the basic filter: a script that is not in a block matches its
// filter once in inverseRate times.
const (
	remainderBits = 19
	inverseRate   = 784_931
)

// Basic is the number of the basic filter's type on the wire (BIP157), and BasicName its
// name in Bitcoin Core's calls.
const (
	Basic     = 0
	BasicName = "basic"
)

const opReturn = 0x6a

// Scripts lists what a block's filter is to match: the scripts of its outputs but those
// that begin with OP_RETURN, and the scripts that it spends, each once. The order means
// nothing.
func Scripts(block *consensus.Block, spent [][]byte) [][]byte {
	seen := make(map[string]struct{}, len(spent)+2*len(block.Txs))
	var list [][]byte
	add := func(script []byte) {
		if _, ok := seen[string(script)]; !ok && len(script) > 0 {
			seen[string(script)] = struct{}{}
			list = append(list, script)
		}
	}
	for _, tx := range block.Txs {
		for i := range tx.Out {
			if script := tx.Out[i].Script; len(script) > 0 && script[0] != opReturn {
				add(script)
			}
		}
	}
	for _, script := range spent {
		add(script)
	}
	return list
}

// Build makes the filter of the block of that hash for scripts that differ from each
// other, see Scripts.
func Build(block consensus.Hash, scripts [][]byte) ([]byte, error) {
	filter, err := gcs.BuildGCSFilter(remainderBits, inverseRate, keyOf(block), scripts)
	if err != nil {
		return nil, fmt.Errorf("the filter of block %s: %w", block, err)
	}
	return filter.NBytes()
}

// keyOf is the key of the hash function: the first half of the block's hash.
func keyOf(block consensus.Hash) [gcs.KeySize]byte { return [gcs.KeySize]byte(block[:gcs.KeySize]) }

// Match reports whether a filter matches any of some scripts. The filter must be one of
// Build: what strangers send is not safe here.
func Match(filter []byte, block consensus.Hash, scripts [][]byte) (bool, error) {
	f, err := gcs.FromNBytes(remainderBits, inverseRate, filter)
	if err != nil {
		return false, fmt.Errorf("the filter of block %s: %w", block, err)
	}
	if f.N() == 0 || len(scripts) == 0 {
		return false, nil
	}
	return f.MatchAny(keyOf(block), slices.Clone(scripts))
}

// HashOf is a filter's hash.
func HashOf(filter []byte) consensus.Hash { return consensus.DoubleSHA256(filter) }

// HeaderOf is the header of a filter with that hash, over the header of the block
// before; that of the first block is over zero.
func HeaderOf(hash, before consensus.Hash) consensus.Hash {
	return consensus.DoubleSHA256(append(hash[:], before[:]...))
}
