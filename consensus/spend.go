package consensus

import (
	"crypto/sha256"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// annexTag is the first byte of an annex (BIP341).
const annexTag = 0x50

// SpendCheck is what must still be verified for one input: that its witness
// spends its coin. The rules only collect these; whoever runs them may do so on
// all cores and may skip what it saw succeed before.
type SpendCheck struct {
	Tx    *Tx
	TxID  Hash
	Input int
	Key   [32]byte // of the coin
	hash  *SigHasher
}

// SpendChecks collects the checks of all inputs of tx, which spends coins, one
// for each input.
func SpendChecks(tx *Tx, id Hash, coins []Coin) []SpendCheck {
	spent := make([]TxOut, len(coins))
	for i := range coins {
		spent[i] = coins[i].Output()
	}
	hasher := NewSigHasher(tx, spent)
	checks := make([]SpendCheck, len(coins))
	for i := range checks {
		checks[i] = SpendCheck{tx, id, i, coins[i].Key, hasher}
	}
	return checks
}

// Signature is one BIP340 signature to verify.
type Signature struct {
	Key     [32]byte
	Message Hash
	Sig     [64]byte
}

// Signature is what c comes down to once its form was checked. Errors are of
// the kinds that Bitcoin Core's script verification gives.
func (c *SpendCheck) Signature() (Signature, error) {
	in, t := &c.Tx.In[c.Input], c.hash.trace
	stack := in.Witness
	if t != nil {
		t.Rule(ruleKeyTrue, "input", c.Input, "key", HexBytes(c.Key[:]))
	}
	if isFalse(c.Key) {
		// The output script leaves its key on the stack, where Bitcoin reads
		// zero and negative zero as "false" before it looks at the witness.
		return Signature{}, c.fail(ErrScriptFalse)
	}
	if t != nil {
		t.Rule(ruleScriptSig, "input", c.Input, "scriptSig", HexBytes(in.ScriptSig))
	}
	if len(in.ScriptSig) > 0 {
		return Signature{}, c.fail(ErrScriptSigNotEmpty)
	}
	if t != nil {
		t.Rule(ruleWitness, "input", c.Input, "elements", len(stack))
	}
	if len(stack) == 0 {
		return Signature{}, c.fail(ErrWitnessEmpty)
	}
	var annex []byte
	if last := stack[len(stack)-1]; len(stack) >= 2 && len(last) > 0 && last[0] == annexTag {
		annex, stack = last, stack[:len(stack)-1]
	}
	if len(stack) > 1 {
		return Signature{}, c.fail(scriptPathError(c.Key, stack, t))
	}
	if t != nil {
		t.Rule(ruleKeyPath, "input", c.Input, "elements", len(stack), "annex", len(annex))
	}
	return c.keyPath(stack[0], annex)
}

// keyPath is Signature for a witness that is nothing but sig and maybe an annex.
func (c *SpendCheck) keyPath(sig, annex []byte) (Signature, error) {
	t, kind := c.hash.trace, SigHashDefault
	if t != nil {
		t.Rule(ruleSigSize, "input", c.Input, "bytes", len(sig))
	}
	switch len(sig) {
	case 64:
	case 65:
		kind = SigHashType(sig[64])
		if t != nil {
			t.Rule(ruleHashTypeWritten, "input", c.Input, "type", hexByte(kind))
		}
		if kind == SigHashDefault {
			return Signature{}, c.fail(ErrSigHashType)
		}
	default:
		return Signature{}, c.fail(ErrSigSize)
	}
	if t != nil {
		t.Rule(ruleHashType, "input", c.Input, "type", hexByte(kind), "outputs", len(c.Tx.Out))
	}
	message, ok := c.hash.SigHash(c.Input, kind, annex)
	if !ok {
		return Signature{}, c.fail(ErrSigHashType)
	}
	return Signature{c.Key, message, [64]byte(sig)}, nil
}

// Invalid is the error for a signature of the right form that does not verify.
func (c *SpendCheck) Invalid() error { return c.fail(ErrSig) }

func (c *SpendCheck) fail(kind ErrorKind) error {
	return &RuleError{Kind: kind, TxID: c.TxID, Input: c.Input, About: AboutInput}
}

func isFalse(key [32]byte) bool {
	negativeZero := [32]byte{31: 0x80}
	return key == [32]byte{} || key == negativeZero
}

// Verify checks s by itself (BIP340). A key that is no point of the curve
// verifies nothing.
func (s *Signature) Verify() bool {
	key, err := schnorr.ParsePubKey(s.Key[:])
	if err != nil {
		return false
	}
	sig, err := schnorr.ParseSignature(s.Sig[:])
	if err != nil {
		return false
	}
	return sig.Verify(s.Message[:], key)
}

// scriptPathError says why a witness that takes the script path (BIP341) is
// refused: for what Bitcoin would refuse too, with its reason; a script that
// the output did commit to is outside of Lode's rules.
func scriptPathError(key [32]byte, stack [][]byte, t *Trace) ErrorKind {
	control, script := stack[len(stack)-1], stack[len(stack)-2]
	if t != nil {
		t.Rule(ruleControlSize, "bytes", len(control))
	}
	if len(control) < 33 || len(control) > 33+32*128 || (len(control)-33)%32 != 0 {
		return ErrControlSize
	}
	node := TaggedHash("TapLeaf", []byte{control[0] & 0xfe}, AppendVarBytes(nil, script))
	for path := control[33:]; len(path) > 0; path = path[32:] {
		node = tapBranch(node, Hash(path[:32]))
	}
	output, odd, err := TweakKey([32]byte(control[1:33]), node[:])
	if t != nil {
		t.Rule(ruleControlProof, "output", HexBytes(output[:]), "key", HexBytes(key[:]))
	}
	if err != nil || output != key || odd != (control[0]&1 == 1) {
		return ErrWitnessMismatch
	}
	if t != nil {
		t.Rule(ruleKeyPath, "elements", len(stack))
	}
	return ErrScriptPath
}

func tapBranch(a, b Hash) Hash {
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	return TaggedHash("TapBranch", a[:], b[:])
}

// TweakKey is the Taproot output key of an internal key and the root of its
// scripts, which is empty where there are none (BIP341, BIP86), and whether its
// y coordinate is odd.
func TweakKey(internal [32]byte, root []byte) (output [32]byte, odd bool, err error) {
	p, err := schnorr.ParsePubKey(internal[:])
	if err != nil {
		return output, false, err
	}
	t := TaggedHash("TapTweak", internal[:], root)
	var scalar btcec.ModNScalar
	if overflow := scalar.SetByteSlice(t[:]); overflow {
		return output, false, ErrSig
	}
	var tG, point, sum btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&scalar, &tG)
	p.AsJacobian(&point)
	btcec.AddNonConst(&point, &tG, &sum)
	if sum.Z.IsZero() {
		return output, false, ErrSig
	}
	sum.ToAffine()
	sum.X.PutBytes(&output)
	return output, sum.Y.IsOdd(), nil
}

// ID is a hash of all that s consists of, for a cache of valid signatures.
func (s *Signature) ID() Hash {
	var b [128]byte
	copy(b[:], s.Key[:])
	copy(b[32:], s.Message[:])
	copy(b[64:], s.Sig[:])
	return sha256.Sum256(b[:])
}
