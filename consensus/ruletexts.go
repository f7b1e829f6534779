package consensus

import "fmt"

// The rules as a trace names them, in the order in which a block meets them. The rules
// of headers:
var (
	ruleWork    = &Rule{ErrHighHash, "the hash is at most the target that the header states, which is at most the limit of the network", "Bitcoin"}
	ruleBits    = &Rule{ErrDiffBits, "the target is the one that follows from the blocks before", "aserti3-2d, or the chainspec's fixed difficulty"}
	ruleTimeOld = &Rule{ErrTimeTooOld, "the time is above the median of the last 11 blocks", "BIP113"}
	ruleTimeNew = &Rule{ErrTimeTooNew, "the time is not too far ahead of this node's clock", "this node's own, no part of the chain's rules"}
	ruleVersion = &Rule{ErrVersion, "the version, read as signed, is at least 4", "BIP34, BIP65, BIP66"}
)

// Of blocks.
var (
	ruleMerkleRoot     = &Rule{ErrMerkleRoot, "the merkle root in the header is that of the transactions", "Bitcoin"}
	ruleRepeatedTx     = &Rule{ErrDuplicateTx, "no other list of transactions has the same merkle root", "CVE-2012-2459"}
	ruleBlockLength    = &Rule{ErrBlockLength, "there is a transaction, and four times the size without witnesses is within the weight of a block", "BIP141"}
	ruleCoinbaseFirst  = &Rule{ErrCoinbaseMissing, "the first transaction is a coinbase", "Bitcoin"}
	ruleCoinbaseOne    = &Rule{ErrCoinbaseMany, "no other transaction is a coinbase", "Bitcoin"}
	ruleSigops         = &Rule{ErrBlockSigops, "four times the signature operations in all scripts are within the limit", "BIP141"}
	ruleBlockLengthNow = &Rule{ErrBlockLength, "likewise for the weight that upgrades leave at this height", "the chainspec's upgrades"}
	ruleLockTime       = &Rule{ErrNonFinal, "the lock time of each transaction is over", "BIP113"}
	ruleCoinbaseHeight = &Rule{ErrCoinbaseHeight, "the script of the coinbase begins with the height", "BIP34"}
	ruleNoWitness      = &Rule{ErrWitness, "there is no witness where the coinbase commits to none", "BIP141"}
	ruleReservedValue  = &Rule{ErrReservedValue, "the witness of the coinbase is one value of 32 bytes", "BIP141"}
	ruleCommitment     = &Rule{ErrCommitment, "the coinbase commits to these witnesses", "BIP141"}
	ruleBlockWeight    = &Rule{ErrBlockWeight, "the weight is within the limit", "BIP141"}
	ruleFees           = &Rule{ErrFeeSum, "the fees together are no more money than there may be", "Bitcoin"}
	ruleCoinbaseAmount = &Rule{ErrCoinbaseAmount, "the coinbase pays at most subsidy and fees", "Bitcoin"}
	ruleOverwrite      = &Rule{ErrOverwrite, "no transaction makes a coin that is still there; looked at only once another rule is broken", "BIP30"}
)

// Of transactions.
var (
	ruleInputs         = &Rule{ErrNoInputs, "there is an input", "Bitcoin"}
	ruleOutputs        = &Rule{ErrNoOutputs, "there is an output", "Bitcoin"}
	ruleTxSize         = &Rule{ErrTxOversize, "a block has room for it", "BIP141"}
	ruleNotNegative    = &Rule{ErrNegativeOutput, "no output is below zero", "CVE-2010-5139"}
	ruleOutputMoney    = &Rule{ErrOutputTooLarge, "no output is more money than there may be", "CVE-2010-5139"}
	ruleOutputsMoney   = &Rule{ErrOutputsTooLarge, "the outputs together are no more money than there may be", "CVE-2010-5139"}
	ruleInputsOnce     = &Rule{ErrDuplicateInputs, "no coin is spent twice in it", "CVE-2018-17144"}
	ruleCoinbaseLength = &Rule{ErrCoinbaseLength, "the script of a coinbase has 2 to 100 bytes", "Bitcoin"}
	ruleNullInput      = &Rule{ErrNullInput, "only a coinbase has an input that spends nothing", "Bitcoin"}
	ruleOutputType     = &Rule{ErrOutputType, "each output is Taproot or OP_RETURN", "Lode's own; BIP341"}
	ruleCoins          = &Rule{ErrMissingInputs, "each coin that is spent is there", "Bitcoin"}
	ruleMature         = &Rule{ErrImmature, "a coinbase is old enough to be spent", "Bitcoin"}
	ruleInputMoney     = &Rule{ErrInputRange, "the coins together are no more money than there may be", "CVE-2010-5139"}
	ruleBelowOutputs   = &Rule{ErrBelowOutputs, "no more goes out than comes in", "Bitcoin"}
	ruleSequence       = &Rule{ErrNonFinal, "the coins are as old as the sequence numbers want", "BIP68"}
)

// Of spending one coin.
var (
	ruleKeyTrue         = &Rule{ErrScriptFalse, "the key is not zero, which Bitcoin reads as false", "BIP141"}
	ruleScriptSig       = &Rule{ErrScriptSigNotEmpty, "the scriptSig is empty", "BIP141"}
	ruleWitness         = &Rule{ErrWitnessEmpty, "there is a witness", "BIP141"}
	ruleControlSize     = &Rule{ErrControlSize, "a control block has 33 bytes and up to 128 times 32", "BIP341"}
	ruleControlProof    = &Rule{ErrWitnessMismatch, "the control block proves that the key commits to the script", "BIP341"}
	ruleKeyPath         = &Rule{ErrScriptPath, "the coin is spent through its key, not through a script", "Lode's own; BIP341"}
	ruleSigSize         = &Rule{ErrSigSize, "a signature has 64 bytes, or 65 with its hash type", "BIP341"}
	ruleHashTypeWritten = &Rule{ErrSigHashType, "a hash type that is written out is not the default", "BIP341"}
	ruleHashType        = &Rule{ErrSigHashType, "the hash type is one of seven, and SINGLE has an output of its own", "BIP341"}
	ruleSignature       = &Rule{ErrSig, "the signature is the key's, for this transaction", "BIP340"}
)

// hex32 is a value that is written as eight hexadecimal digits.
type hex32 uint32

// String implements fmt.Stringer.
func (h hex32) String() string { return fmt.Sprintf("%08x", uint32(h)) }

// hexByte is a value that is written as two hexadecimal digits.
type hexByte byte

// String implements fmt.Stringer.
func (h hexByte) String() string { return fmt.Sprintf("%02x", byte(h)) }

// missingText is what a trace says of a coin that is not there.
func missingText(o OutPoint, ok bool) string {
	if ok {
		return "none"
	}
	return o.String()
}

// RelativeLocks counts the inputs of tx whose sequence number wants an age of the coin
// (BIP68), by height and by time.
func RelativeLocks(tx *Tx, coins []Coin) string {
	if tx.Version < 2 {
		return "none"
	}
	heights, times := 0, 0
	for i := range coins {
		switch seq := tx.In[i].Sequence; {
		case seq&sequenceDisable != 0:
		case seq&sequenceIsTime == 0:
			heights++
		default:
			times++
		}
	}
	return fmt.Sprintf("%d by height, %d by time", heights, times)
}
