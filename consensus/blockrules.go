package consensus

import "bytes"

// CheckBlock applies the rules of a block that need nothing but itself.
func (r *Rules) CheckBlock(b *Block) (*CheckedBlock, error) { return r.CheckHashed(b.Hashed()) }

// CheckHashed is CheckBlock for a block whose hash is known.
func (r *Rules) CheckHashed(h HashedBlock) (*CheckedBlock, error) {
	countCheck()
	if err := r.CheckWorkOf(&h.block.Header, h.hash); err != nil {
		return nil, err
	}
	ids := h.block.TxIDs()
	if err := r.checkUnsolved(h.block, ids); err != nil {
		return nil, err
	}
	return &CheckedBlock{h.block, h.hash, ids}, nil
}

// checkUnsolved is CheckBlock without the proof of work, for blocks that are not
// mined yet.
func (r *Rules) checkUnsolved(b *Block, ids []Hash) error {
	if err := checkMerkleRoot(b, ids, r.trace); err != nil {
		return err
	}
	return r.checkBody(b, ids)
}

// checkMerkleRoot comes before every rule about the transactions: until it has
// passed they may not be those that the miner meant.
func checkMerkleRoot(b *Block, ids []Hash, t *Trace) error {
	root, mutated := MerkleRoot(ids)
	if t != nil {
		t.Rule(ruleMerkleRoot, "header", b.MerkleRoot, "transactions", len(ids), "root", root)
	}
	if root != b.MerkleRoot {
		return broken(ErrMerkleRoot, "hashMerkleRoot mismatch")
	}
	if t != nil {
		t.Rule(ruleRepeatedTx, "repeated", mutated)
	}
	if mutated {
		return broken(ErrDuplicateTx, "duplicate transaction") // CVE-2012-2459
	}
	return nil
}

func (r *Rules) checkBody(b *Block, ids []Hash) error {
	if t := r.trace; t != nil {
		t.Rule(ruleBlockLength, "transactions", len(b.Txs), "stripped size", b.StrippedSize(), "limit", r.MaxBlockWeight/WitnessScale)
	}
	if len(b.Txs) == 0 || b.StrippedSize()*WitnessScale > r.MaxBlockWeight {
		return broken(ErrBlockLength, "size limits failed")
	}
	if t := r.trace; t != nil {
		t.Rule(ruleCoinbaseFirst, "first is coinbase", b.Txs[0].IsCoinbase())
	}
	if !b.Txs[0].IsCoinbase() {
		return broken(ErrCoinbaseMissing, "first tx is not coinbase")
	}
	if t := r.trace; t != nil {
		t.Rule(ruleCoinbaseOne, "other transactions", len(b.Txs)-1)
	}
	for _, tx := range b.Txs[1:] {
		if tx.IsCoinbase() {
			return broken(ErrCoinbaseMany, "more than one coinbase")
		}
	}
	cost := 0
	for i, tx := range b.Txs {
		if err := r.CheckTx(tx); err != nil {
			return inTx(err, ids[i])
		}
		cost += tx.SigopsCost()
	}
	if t := r.trace; t != nil {
		t.Rule(ruleSigops, "cost", cost, "limit", r.MaxBlockSigopsCost)
	}
	if cost > r.MaxBlockSigopsCost {
		return broken(ErrBlockSigops, "out-of-bounds SigOpCount")
	}
	return nil
}

// CheckBlockAfter applies the rules of a block that need the headers before it
// but no coins. s is the state before it.
func (r *Rules) CheckBlockAfter(s *State, b *CheckedBlock) error {
	return r.checkAfter(s, b.block, b.ids)
}

func (r *Rules) checkAfter(s *State, b *Block, ids []Hash) error {
	height, median, weight := s.Height+1, s.MedianTime(), r.BlockWeightLimit(s)
	if t := r.trace; t != nil {
		t.Rule(ruleBlockLengthNow, "stripped size", b.StrippedSize(), "limit", weight/WitnessScale)
	}
	if b.StrippedSize()*WitnessScale > weight { // CheckBlock knew no upgrades
		return broken(ErrBlockLength, "size limits failed")
	}
	for i, tx := range b.Txs {
		if err := r.checkFinal(tx, ids[i], height, median); err != nil {
			return err
		}
	}
	if t := r.trace; t != nil {
		t.Rule(ruleCoinbaseHeight, "script", HexBytes(b.Txs[0].In[0].ScriptSig), "height", height, "want", HexBytes(heightScript(height)))
	}
	if !bytes.HasPrefix(b.Txs[0].In[0].ScriptSig, heightScript(height)) { // BIP34
		return broken(ErrCoinbaseHeight, "block height mismatch in coinbase")
	}
	if err := checkWitnessCommitment(b, r.trace); err != nil {
		return err
	}
	if t := r.trace; t != nil {
		t.Rule(ruleBlockWeight, "weight", b.Weight(), "limit", weight)
	}
	// Only now: before, anyone could have made the witness too heavy.
	if b.Weight() > weight {
		return broken(ErrBlockWeight, "weight limit failed")
	}
	return nil
}

// checkFinal makes sure that the lock time of tx allows it (BIP113).
func (r *Rules) checkFinal(tx *Tx, id Hash, height, median uint32) error {
	if t := r.trace; t != nil {
		t.Rule(ruleLockTime, "lock time", tx.LockTime, "height", height, "median time", median)
	}
	if !tx.IsFinal(height, median) {
		return inTx(broken(ErrNonFinal, "non-final transaction"), id)
	}
	return nil
}

// checkWitnessCommitment makes sure that the witnesses are those that the miner
// meant (BIP141).
func checkWitnessCommitment(b *Block, t *Trace) error {
	at, ok := b.WitnessCommitmentIndex()
	if !ok {
		if t != nil {
			t.Rule(ruleNoWitness, "commitment", "none")
		}
		for _, tx := range b.Txs {
			if tx.HasWitness() {
				return broken(ErrWitness, "unexpected witness data found")
			}
		}
		return nil
	}
	stack := b.Txs[0].In[0].Witness
	if t != nil {
		t.Rule(ruleReservedValue, "elements", len(stack))
	}
	if len(stack) != 1 || len(stack[0]) != 32 {
		return broken(ErrReservedValue, "invalid witness reserved value size")
	}
	want := WitnessCommitment(b.WitnessRoot(), [32]byte(stack[0]))
	if t != nil {
		t.Rule(ruleCommitment, "output", HexBytes(b.Txs[0].Out[at].Script), "want", HexBytes(want))
	}
	// What follows the 38 bytes has no meaning (BIP141).
	if !bytes.HasPrefix(b.Txs[0].Out[at].Script, want) {
		return broken(ErrCommitment, "witness merkle commitment mismatch")
	}
	return nil
}

// Subsidy is what the block at a height may create, in sat, besides its fees.
func (r *Rules) Subsidy(height uint32) Amount {
	halvings := height / r.HalvingInterval
	if halvings >= 63 {
		return 0
	}
	return r.InitialSubsidy >> halvings
}
