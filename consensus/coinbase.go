package consensus

// CoinbaseScript is a script for the coinbase of the block at a height: the
// push of the height that BIP34 wants, and a push of extra, of 1 to 75 bytes.
func CoinbaseScript(height uint32, extra []byte) []byte {
	return append(append(heightScript(height), byte(len(extra))), extra...)
}

// NewCoinbase is a coinbase with the given script and outputs that is ready to
// commit to the witnesses of a block, see Block.Seal.
func NewCoinbase(script []byte, outs []TxOut) *Tx {
	return &Tx{
		Version: 2,
		In:      []TxIn{{PrevOut: OutPoint{Index: nullIndex}, ScriptSig: script, Sequence: sequenceFinal, Witness: [][]byte{make([]byte, 32)}}},
		Out:     outs,
	}
}

// Seal makes the coinbase of b commit to the witnesses (BIP141) by one more
// output, and the header commit to the transactions.
func (b *Block) Seal() {
	coinbase := b.Txs[0].Clone()
	coinbase.Out = append(coinbase.Out, TxOut{Script: WitnessCommitment(b.WitnessRoot(), [32]byte{})})
	b.Txs[0] = coinbase
	b.MerkleRoot, _ = MerkleRoot(b.TxIDs())
}
