// Package explain answers why: why a block or a transaction is part of the chain, waits,
// or was refused. The answer is what the rules say themselves when they are applied once
// more, see consensus.Trace; nothing here knows a rule.
package explain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// Limits of what is asked for and of what is answered.
const (
	MaxBytes     = 4_000_000 + 100_000 // of a block or a transaction in hex: no larger one can be valid
	maxValue     = 160                 // characters of a value in a step
	searchBlocks = 20                  // the newest ones are looked through for a transaction without an index
	patience     = 20 * time.Second    // in the queue
)

// Kinds of errors. Their texts are for people.
var (
	ErrUnknown = errors.New("this node knows neither a block nor a transaction of this name")
	ErrInput   = errors.New("this is no hash, height, or block or transaction in hex")
	ErrBusy    = errors.New("too many explanations are asked for at once: try again later")
)

// Explainer explains, one thing after the other: it is dear. It may be used from several
// goroutines.
type Explainer struct {
	chain *chain.Chain
	pool  *mempool.Pool
	turn  chan struct{}
}

// New gives an explainer of what is in a ledger, in a pool, or might be.
func New(c *chain.Chain, p *mempool.Pool) *Explainer {
	return &Explainer{c, p, make(chan struct{}, 1)}
}

// What a thing is.
const (
	KindBlock  = "block"
	KindHeader = "header"
	KindTx     = "transaction"
)

// Where it is.
const (
	InChain   = "chain"   // part of the active chain
	InBranch  = "branch"  // of a valid branch beside it
	Invalid   = "invalid" // known as invalid
	HeaderOf  = "header"  // only its header is known
	InMempool = "mempool"
	Nowhere   = "nowhere" // given in hex
)

// The verdicts.
const (
	Valid   = "valid"
	Refused = "refused"
	Open    = "open" // not all rules could be applied
)

// Answer is an explanation.
type Answer struct {
	Kind    string          `json:"kind"`
	ID      consensus.Hash  `json:"id"` // the hash of a block, the id of a transaction
	Place   string          `json:"place"`
	Height  *uint32         `json:"height,omitempty"` // of the block that it is, or is in
	Block   *consensus.Hash `json:"block,omitempty"`  // that a transaction is in
	Verdict string          `json:"verdict"`
	Reason  string          `json:"reason,omitempty"` // the reject reason (BIP22)
	Detail  string          `json:"detail,omitempty"` // which rule, for people
	Steps   []Step          `json:"steps"`            // in the order in which they were applied first
	Waits   []Wait          `json:"waits,omitempty"`  // what stands between an unconfirmed transaction and a block
}

// Step is a rule that was applied.
type Step struct {
	Rule    string  `json:"rule"`   // the reject reason if it is broken
	Text    string  `json:"text"`   // what it wants
	Source  string  `json:"source"` // such as BIP141
	Code    string  `json:"code"`   // file and line
	Times   int     `json:"times"`  // how many times it was applied
	Saw     []Value `json:"saw"`    // the last time
	OK      bool    `json:"ok"`
	Problem string  `json:"problem,omitempty"`
}

// Value is something that a rule saw.
type Value struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Wait is one thing that a transaction waits for.
type Wait struct {
	For  string `json:"for"` // parents, fee, room, block
	Text string `json:"text"`
}

// take waits for the turn of a question; release is to be called also after an error.
func (e *Explainer) take(ctx context.Context) (release func(), err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e.turn <- struct{}{}:
		return func() { <-e.turn }, e.pool.Sync()
	case <-timer.C:
		return func() {}, ErrBusy
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

// Text explains what a text names: the hash or height of a block, the id of a transaction,
// or one of them in hex. in is the block to look for a transaction in, or nil.
func (e *Explainer) Text(ctx context.Context, text string, in *consensus.Hash) (*Answer, error) {
	text = strings.TrimSpace(text)
	if len(text) > 2*MaxBytes {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrInput, MaxBytes)
	}
	release, err := e.take(ctx)
	defer release()
	if err != nil {
		return nil, err
	}
	if height, err := strconv.ParseUint(text, 10, 32); err == nil {
		hash, ok := e.chain.HashAt(uint32(height))
		if !ok {
			return nil, fmt.Errorf("%w: the chain has no block at height %d yet", ErrUnknown, height)
		}
		return e.hash(hash, in)
	}
	if hash, err := consensus.ParseHash(text); err == nil {
		return e.hash(hash, in)
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return nil, ErrInput
	}
	return e.bytes(raw)
}

// Block explains a block that is given.
func (e *Explainer) Block(ctx context.Context, b *consensus.Block) (*Answer, error) {
	release, err := e.take(ctx)
	defer release()
	if err != nil {
		return nil, err
	}
	return e.block(b)
}

// Tx explains a transaction that is given.
func (e *Explainer) Tx(ctx context.Context, tx *consensus.Tx) (*Answer, error) {
	release, err := e.take(ctx)
	defer release()
	if err != nil {
		return nil, err
	}
	return e.tx(tx)
}

// bytes explains what bytes are: a block if they are one, and the rules of headers if they
// are a header, else a transaction.
func (e *Explainer) bytes(raw []byte) (*Answer, error) {
	if b, err := consensus.DecodeBlock(raw); err == nil {
		b.FillReservedValue()
		return e.block(b)
	}
	tx, txErr := consensus.DecodeTx(raw)
	if txErr == nil {
		return e.tx(tx)
	}
	if len(raw) == consensus.HeaderSize {
		d := consensus.NewDecoder(raw)
		return e.header(d.Header(), Nowhere)
	}
	return nil, fmt.Errorf("%w: as a transaction: %w", ErrInput, txErr)
}

func (e *Explainer) hash(hash consensus.Hash, in *consensus.Hash) (*Answer, error) {
	info, ok := e.chain.Header(hash)
	if !ok {
		return e.named(hash, in)
	}
	b, err := e.chain.Block(hash)
	switch {
	case errors.Is(err, chain.ErrNotFound) || errors.Is(err, chain.ErrPruned):
		place := HeaderOf
		if info.Invalid {
			place = Invalid
		}
		return e.header(info.Header, place)
	case err != nil:
		return nil, err
	}
	return e.block(b)
}

// named explains a transaction that is in the mempool or in a block.
func (e *Explainer) named(id consensus.Hash, in *consensus.Hash) (*Answer, error) {
	if in != nil {
		if _, ok := e.chain.Header(*in); !ok {
			return nil, fmt.Errorf("%w: no block %s", ErrUnknown, in)
		}
		return e.confirmed(*in, id)
	}
	if tx, ok := e.pool.ByTxID(id); ok {
		return e.tx(tx)
	}
	if _, block, err := e.chain.FindTx(id); err == nil {
		return e.confirmed(block, id)
	}
	tip := e.chain.Tip().Height
	for height := int64(tip); height >= 0 && height > int64(tip)-searchBlocks; height-- {
		hash, ok := e.chain.HashAt(uint32(height))
		if !ok {
			continue
		}
		if b, err := e.chain.Block(hash); err == nil {
			for _, tx := range b.Txs {
				if tx.TxID() == id {
					return e.confirmed(hash, id)
				}
			}
		}
	}
	return nil, fmt.Errorf("%w (a transaction in an older block needs --txindex, or the hash of that block)", ErrUnknown)
}

// block explains a block as the ledger would judge it.
func (e *Explainer) block(b *consensus.Block) (*Answer, error) {
	a := &Answer{Kind: KindBlock, ID: b.Header.Hash(), Place: Nowhere}
	if info, ok := e.chain.Header(a.ID); ok {
		a.Height = &info.Height
		switch {
		case info.Active:
			a.Place = InChain
		case info.Invalid:
			a.Place = Invalid
		case info.HaveBlock:
			a.Place = InBranch
		default:
			a.Place = HeaderOf
		}
	}
	var t consensus.Trace
	err := e.chain.Explain(b, &t)
	if errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	if consensus.IsMutation(err) { // of the block of this hash, which may be known
		a.Place = Nowhere
	}
	a.Steps = steps(&t)
	a.judge(err, chain.Reason)
	return a, nil
}

// header explains a header without its block.
func (e *Explainer) header(h consensus.Header, place string) (*Answer, error) {
	a := &Answer{Kind: KindHeader, ID: h.Hash(), Place: place}
	if info, ok := e.chain.Header(a.ID); ok {
		a.Height = &info.Height
	}
	var t consensus.Trace
	err := e.chain.ExplainHeader(&h, &t)
	a.Steps = steps(&t)
	a.judge(err, chain.Reason)
	if err == nil {
		a.Verdict, a.Detail = Open, "this node does not have the block itself; give it in hex to have it judged"
	}
	return a, nil
}

// confirmed explains a transaction of a block.
func (e *Explainer) confirmed(block, id consensus.Hash) (*Answer, error) {
	info, _ := e.chain.Header(block)
	a := &Answer{Kind: KindTx, ID: id, Place: InBranch, Height: &info.Height, Block: &block}
	switch {
	case info.Active:
		a.Place = InChain
	case info.Invalid:
		a.Place = Invalid
	}
	var t consensus.Trace
	err := e.chain.ExplainTx(block, id, &t)
	if errors.Is(err, chain.ErrNotFound) || errors.Is(err, chain.ErrPruned) {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	a.Steps = steps(&t)
	a.judge(err, chain.Reason)
	return a, nil
}

// tx explains a transaction as the mempool would judge it.
func (e *Explainer) tx(tx *consensus.Tx) (*Answer, error) {
	a := &Answer{Kind: KindTx, ID: tx.TxID(), Place: Nowhere}
	info, pooled := e.pool.Info(a.ID)
	if pooled && info.WTxID == tx.WTxID() {
		a.Place = InMempool
	}
	var t consensus.Trace
	_, err := e.pool.Explain(tx, &t)
	if errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	a.Steps = steps(&t)
	a.judge(err, mempool.Reason)
	if a.Place == InMempool {
		a.Waits = e.waits(&info)
	} else if err != nil {
		a.Waits = e.blockers(tx)
	}
	return a, nil
}

// judge fills in what became of all the rules.
func (a *Answer) judge(err error, reason func(error) (string, bool)) {
	switch {
	case err == nil:
		a.Verdict = Valid
	case errors.Is(err, chain.ErrNoCoins):
		a.Verdict, a.Detail = Open, err.Error()
	default:
		a.Verdict, a.Detail = Refused, err.Error()
		a.Reason, _ = reason(err)
	}
}

// steps is a trace for people.
func steps(t *consensus.Trace) []Step {
	list := []Step{}
	for _, s := range t.Steps() {
		step := Step{Rule: string(s.Rule.Kind), Text: s.Rule.Text, Source: s.Rule.Source, Code: s.Where, Times: s.Times, OK: s.Err == nil, Saw: []Value{}}
		for i := 0; i+1 < len(s.Saw); i += 2 {
			step.Saw = append(step.Saw, Value{fmt.Sprint(s.Saw[i]), brief(s.Saw[i+1])})
		}
		if s.Err != nil {
			step.Problem = s.Err.Error()
		}
		list = append(list, step)
	}
	return list
}

// brief is a value as text, shortened.
func brief(v any) string {
	var text string
	switch v := v.(type) {
	case consensus.HexBytes:
		if len(v) > maxValue/2 {
			return fmt.Sprintf("%x… (%d bytes)", []byte(v[:maxValue/4]), len(v))
		}
		return hex.EncodeToString(v)
	case consensus.Amount:
		return fmt.Sprintf("%d sat", int64(v))
	default:
		text = fmt.Sprint(v)
	}
	if len(text) > maxValue {
		return strings.ToValidUTF8(text[:maxValue], "") + "…"
	}
	return text
}
