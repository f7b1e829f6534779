package consensus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRuleErrorText(t *testing.T) {
	id := Hash{1}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{broken(ErrHighHash, "proof of work failed"), "high-hash, proof of work failed"},
		{&RuleError{Kind: ErrVersion, Suffix: "(0x00000001)"}, "bad-version(0x00000001)"},
		{inTx(broken(ErrNonFinal, "late"), id), "bad-txns-nonfinal, late in transaction " + id.String()},
		{(&SpendCheck{TxID: id, Input: 7}).Invalid(), "Invalid Schnorr signature, input 7 of " + id.String()},
		{inTx((&SpendCheck{TxID: id, Input: 7}).Invalid(), Hash{2}), "Invalid Schnorr signature, input 7 of " + id.String()},
		{missing(OutPoint{id, 3}), "bad-txns-inputs-missingorspent, coin " + id.String() + ":3"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	other := errors.New("disk full")
	if inTx(other, id) != other {
		t.Error("an error that is no rule's was changed")
	}
}

func TestReasons(t *testing.T) {
	version := &RuleError{Kind: ErrVersion, Suffix: "(0x00000001)"}
	sig := fmt.Errorf("in a wrapper: %w", (&SpendCheck{}).Invalid())
	for _, tc := range []struct {
		err       error
		block, tx string
		ok        bool
	}{
		{version, "bad-version(0x00000001)", "bad-version(0x00000001)", true},
		{broken(ErrFeeSum, ""), "bad-txns-accumulated-fee-outofrange", "bad-txns-accumulated-fee-outofrange", true},
		{sig, "block-script-verify-flag-failed (Invalid Schnorr signature)", "mempool-script-verify-flag-failed (Invalid Schnorr signature)", true},
		{errors.New("disk full"), "", "", false},
		{nil, "", "", false},
	} {
		if got, ok := BlockReason(tc.err); got != tc.block || ok != tc.ok {
			t.Errorf("%v in a block: %q, %v", tc.err, got, ok)
		}
		if got, ok := TxReason(tc.err); got != tc.tx || ok != tc.ok {
			t.Errorf("%v of a transaction: %q, %v", tc.err, got, ok)
		}
	}
}

// What the hash of a block does not commit to never counts against the hash.
func TestIsMutation(t *testing.T) {
	for kind, want := range map[ErrorKind]bool{
		ErrMerkleRoot: true, ErrDuplicateTx: true, ErrCoinbaseMissing: true,
		ErrReservedValue: true, ErrCommitment: true, ErrWitness: true, ErrTimeTooNew: true,
		ErrHighHash: false, ErrDiffBits: false, ErrTimeTooOld: false, ErrVersion: false, ErrBlockLength: false,
		ErrBlockWeight: false, ErrCoinbaseAmount: false, ErrCoinbaseHeight: false, ErrOverwrite: false,
		ErrMissingInputs: false, ErrSig: false, ErrOutputType: false,
	} {
		if got := IsMutation(fmt.Errorf("wrapped: %w", broken(kind, ""))); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	if IsMutation(nil) || IsMutation(errors.New("disk full")) {
		t.Error("what is no broken rule is no mutation")
	}
}

func TestHeaderOfAnotherParent(t *testing.T) {
	r := regtestRules(t)
	h := r.Genesis().Header
	_, err := r.ApplyHeader(r.GenesisState(), &h, NoTimeLimit)
	if _, ok := BlockReason(err); err == nil || ok || !strings.Contains(err.Error(), "parent") {
		t.Errorf("got %v, want an error that is no broken rule", err)
	}
	h.Prev, h.Nonce = r.GenesisHash(), 0
	for target := r.Limit(); h.Hash().MeetsTarget(&target); h.Nonce++ {
	}
	if _, err := r.ApplyHeader(r.GenesisState(), &h, NoTimeLimit); !errors.Is(err, ErrHighHash) {
		t.Errorf("without work: %v", err)
	}
}

func TestNextState(t *testing.T) {
	r := regtestRules(t)
	s := r.GenesisState()
	h := Header{Version: 4, Prev: s.Hash, Time: s.Time + 7, Bits: 0x207fffff}
	for target := r.Limit(); !h.Hash().MeetsTarget(&target); h.Nonce++ {
	}
	next, err := r.ApplyHeader(s, &h, NoTimeLimit)
	if err != nil || next.Hash != h.Hash() || next.Height != 1 || next.Time != h.Time || next.Work.Uint64() != 4 {
		t.Errorf("state %+v (%v)", next, err)
	}
	if want := (Anchor{Height: 1, ParentTime: int64(s.Time), Bits: 0x207fffff}); next.Anchor != want {
		t.Errorf("anchor %+v, want %+v", next.Anchor, want)
	}
	if next != r.NextState(s, &h) || s != r.GenesisState() {
		t.Error("a state is no value")
	}
}

func TestSignatureID(t *testing.T) {
	seen := map[Hash]bool{}
	for _, s := range []Signature{{}, {Key: [32]byte{1}}, {Message: Hash{1}}, {Sig: [64]byte{1}}, {Sig: [64]byte{63: 1}}} {
		seen[s.ID()] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different ids of 5 signatures", len(seen))
	}
}
