package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strings"

	"lode/chain"
	"lode/consensus"
	"lode/miner"
	"lode/wallet/descriptor"
)

func (s *Server) miningCalls() calls {
	return calls{
		"getblocktemplate":           s.getBlockTemplate,
		"submitblock":                s.submitBlock,
		"submitheader":               s.submitHeader,
		"getmininginfo":              s.getMiningInfo,
		"getnetworkhashps":           s.getNetworkHashRate,
		"generatetoaddress":          s.generateToAddress,
		"generatetodescriptor":       s.generateToDescriptor,
		"generateblock":              s.generateBlock,
		"prioritisetransaction":      s.prioritiseTransaction,
		"getprioritisedtransactions": s.getPrioritisedTransactions,
		"setgenerate":                s.setGenerate,
	}
}

// setGenerate has the node's own miner rest or go on. Bitcoin Core had a call of that
// name while it mined by itself.
func (s *Server) setGenerate(_ context.Context, p *params) (any, error) {
	on := p.flag(0, true)
	rate := p.integer(1, -1, 0, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	if s.cfg.Mining == nil {
		return nil, fail(codeMisc, "This node does not mine: start it with --mine ADDRESS")
	}
	if rate >= 0 {
		s.cfg.Mining.Limit(uint64(rate))
	}
	s.cfg.Mining.Pause(!on)
	return nil, nil
}

func (s *Server) generateToAddress(ctx context.Context, p *params) (any, error) {
	count := p.integer(0, 0, math.MinInt32, math.MaxInt32)
	payTo := s.payTo(p, 1)
	tries := p.integer(2, defaultTries, 0, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	return s.generate(ctx, payTo, count, tries)
}

func (s *Server) generate(ctx context.Context, payTo []byte, count, tries int64) (any, error) {
	hashes, err := s.cfg.Templates.Generate(ctx, payTo, int(max(count, 0)), uint64(tries))
	if err != nil && !errors.Is(err, miner.ErrTries) && ctx.Err() == nil {
		return nil, err
	}
	return hashes, nil // fewer than asked for if the tries were used up or the node stops, as Bitcoin Core has it
}

// defaultTries bounds the hashes that are tried for a call.
const defaultTries = 1_000_000

func (s *Server) generateBlock(ctx context.Context, p *params) (any, error) {
	payTo, submit := s.output(p, 0), p.flag(2, true)
	txs := s.txsOrIDs(p, 1)
	if p.err != nil {
		return nil, p.err
	}
	t, err := s.cfg.Templates.Empty()
	if err != nil {
		return nil, err
	}
	block, err := t.Unsolved(payTo, s.cfg.Clock.Wall.Now(), txs...)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Chain.TestBlock(block); err != nil {
		reason, ok := chain.Reason(err)
		if !ok {
			return nil, err
		}
		if e, ok := errors.AsType[*consensus.RuleError](err); ok && e.Detail != "" {
			reason += ", " + e.Detail
		}
		return nil, fail(codeVerify, "TestBlockValidity failed: %s", reason)
	}
	if err := miner.Solve(ctx, block, defaultTries); errors.Is(err, miner.ErrTries) {
		return nil, fail(codeMisc, "Failed to make block.")
	} else if err != nil {
		return nil, err
	}
	answer := struct {
		Hash consensus.Hash `json:"hash"`
		Hex  string         `json:"hex,omitempty"`
	}{Hash: block.Header.Hash()}
	if !submit {
		answer.Hex = hex.EncodeToString(block.Bytes())
		return answer, nil
	}
	return answer, s.cfg.Chain.AddBlock(block)
}

// output reads where to pay to: an address, or a descriptor.
func (s *Server) output(p *params, i int) []byte {
	text := p.text(i, "")
	if p.err != nil {
		return nil
	}
	if strings.Contains(text, "(") {
		if _, err := descriptor.Parse(text, s.descriptors); err != nil {
			p.fail(fail(codeAddress, "Error: Invalid address or descriptor"))
			return nil
		}
		script, err := s.outputScript(text)
		p.fail(err)
		return script
	}
	key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, text)
	if err != nil {
		p.fail(fail(codeAddress, "Error: Invalid address or descriptor"))
		return nil
	}
	return consensus.TaprootScript(key)
}

// outputScript is the script of a descriptor. raw(HEX) may be any, as one that the
// rules forbid is refused with the block.
func (s *Server) outputScript(text string) ([]byte, error) {
	bare, _, _ := cutChecksum(text)
	if arg, ok := strings.CutPrefix(bare, "raw("); ok {
		if script, err := hex.DecodeString(strings.TrimSuffix(arg, ")")); err == nil {
			if _, err := descriptor.Parse(text, s.descriptors); err != nil {
				return nil, descriptorError(err)
			}
			return script, nil
		}
	}
	return s.scriptOf(text)
}

// generateToDescriptor is generateToAddress for a descriptor.
func (s *Server) generateToDescriptor(ctx context.Context, p *params) (any, error) {
	count := p.integer(0, 0, math.MinInt32, math.MaxInt32)
	text := p.text(1, "")
	tries := p.integer(2, defaultTries, 0, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	payTo, err := s.outputScript(text)
	if err != nil {
		return nil, err
	}
	return s.generate(ctx, payTo, count, tries)
}

// txsOrIDs reads a list of transactions, in hex or by their ids in the mempool.
func (s *Server) txsOrIDs(p *params, i int) (txs []*consensus.Tx) {
	var list []json.RawMessage
	if p.err != nil || !p.given(i, "array") || !p.into(i, &list, "array") {
		return nil
	}
	for _, raw := range list {
		var text string
		if jsonType(raw) != "string" || json.Unmarshal(raw, &text) != nil {
			p.fail(fail(codeType, "JSON value of type %s is not of expected type string", jsonType(raw)))
			return nil
		}
		tx, err := s.txOrID(text)
		if err != nil {
			p.fail(err)
			return nil
		}
		txs = append(txs, tx)
	}
	return txs
}

func (s *Server) txOrID(text string) (*consensus.Tx, error) {
	if id, err := consensus.ParseHash(text); err == nil {
		tx, ok := s.cfg.Pool.ByTxID(id)
		if !ok {
			return nil, fail(codeAddress, "Transaction %s not in mempool.", text)
		}
		return tx, nil
	}
	if raw, err := hex.DecodeString(text); err == nil {
		if tx, err := consensus.DecodeTx(raw); err == nil {
			return tx, nil
		}
	}
	return nil, fail(codeDecode, "Transaction decode failed for %.80s. Make sure the tx has at least one input.", text)
}

// decodeBlock reads a block in hex. What follows it is ignored, as Bitcoin Core
// does.
func decodeBlock(text string) (*consensus.Block, error) {
	raw, err := hex.DecodeString(text)
	if err == nil {
		d := consensus.NewDecoder(raw)
		if block := d.Block(); d.Err() == nil {
			return block, nil
		}
	}
	return nil, fail(codeDecode, "Block decode failed")
}

func (s *Server) submitBlock(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	block, err := decodeBlock(text)
	if err != nil {
		return nil, err
	}
	if _, known := s.cfg.Chain.Header(block.Prev); known {
		block.FillReservedValue()
	}
	status, err := s.cfg.Chain.SubmitBlock(block)
	switch {
	case err != nil:
		return refusal(err)
	case status == chain.Duplicate:
		return "duplicate", nil
	case status == chain.Stored:
		return "inconclusive", nil
	}
	return nil, nil
}

func (s *Server) submitHeader(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fail(codeDecode, "Block header decode failed")
	}
	d := consensus.NewDecoder(raw)
	header := d.Header()
	if d.Err() != nil {
		return nil, fail(codeDecode, "Block header decode failed")
	}
	if _, known := s.cfg.Chain.Header(header.Prev); !known {
		return nil, fail(codeVerify, "Must submit previous header (%s) first", header.Prev)
	}
	if err := s.cfg.Chain.AddHeaders([]consensus.Header{header}); err != nil {
		if reason, ok := chain.Reason(err); ok {
			return nil, fail(codeVerify, "%s", reason)
		}
		return nil, err
	}
	return nil, nil
}

func (s *Server) getMiningInfo(context.Context, *params) (any, error) {
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	tip := s.cfg.Chain.Tip()
	bits := s.bitsOf(tip.Hash)
	next := s.cfg.Spec.Rules.NextBits(&tip)
	rate, err := s.networkHashRate(defaultRateBlocks, int64(tip.Height))
	if err != nil {
		return nil, err
	}
	type nextJSON struct {
		Height     uint32  `json:"height"`
		Bits       string  `json:"bits"`
		Difficulty float64 `json:"difficulty"`
		Target     string  `json:"target"`
	}
	stats := pool.Stats()
	var local miner.Stats
	if s.cfg.Mining != nil {
		local = s.cfg.Mining.Stats()
	}
	var weight, txs *int
	if last := s.cfg.Templates.Last(); last != nil {
		count := len(last.Entries)
		weight, txs = &last.Weight, &count
	}
	return struct {
		Blocks      uint32   `json:"blocks"`
		Weight      *int     `json:"currentblockweight,omitempty"` // of the last template, as are those below
		Txs         *int     `json:"currentblocktx,omitempty"`     // without the coinbase
		Bits        string   `json:"bits"`
		Difficulty  float64  `json:"difficulty"`
		Target      string   `json:"target"`
		NetworkRate float64  `json:"networkhashps"`
		PooledTx    int      `json:"pooledtx"`
		MinFee      coins    `json:"blockmintxfee"` // per 1,000 vB
		Chain       string   `json:"chain"`
		Next        nextJSON `json:"next"`
		HashRate    uint64   `json:"localhashps"` // of the miner in this node
		Found       uint64   `json:"localblocks"` // found by it since it started
		Warnings    []string `json:"warnings"`
	}{
		tip.Height, weight, txs, consensus.Bits(bits).String(), difficulty(bits), targetHex(bits), rate, stats.Count, coins(stats.Policy.BlockMin), s.cfg.Spec.Name,
		nextJSON{tip.Height + 1, consensus.Bits(next).String(), difficulty(next), targetHex(next)}, uint64(local.HashRate), local.Accepted, s.warnings(),
	}, nil
}

// defaultRateBlocks is how many blocks the network's hash rate is taken over.
const defaultRateBlocks = 120

func (s *Server) getNetworkHashRate(_ context.Context, p *params) (any, error) {
	count := p.integer(0, defaultRateBlocks, math.MinInt32, math.MaxInt32)
	height := p.integer(1, -1, math.MinInt32, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	if count < -1 || count == 0 {
		return nil, fail(codeParameter, "Invalid nblocks. Must be a positive number or -1.")
	}
	if tip := int64(s.cfg.Chain.Tip().Height); height < -1 || height > tip {
		return nil, fail(codeParameter, "Block does not exist at specified height")
	} else if height == -1 {
		height = tip
	}
	return s.networkHashRate(count, height)
}

// day is how many blocks a fixed difficulty is taken to last in getnetworkhashps, as
// on Bitcoin Core's regtest: those of a day.
func day(r *consensus.Rules) int64 { return max(1, 24*60*60/int64(r.TargetSpacing)) }

// networkHashRate is how many hashes a second were needed for count blocks up to
// a height, -1 for all since the difficulty changed.
func (s *Server) networkHashRate(count, height int64) (float64, error) {
	last, err := s.headerAt(height)
	if err != nil || height == 0 {
		return 0, err
	}
	switch rules := s.cfg.Chain.Rules(); {
	case count != -1:
	case rules.Difficulty.HalfLife == 0:
		count = height%day(rules) + 1
	default:
		count = 0
		for h := last; count < height && h.Header.Bits == last.Header.Bits; count++ {
			if h, err = s.header(h.Header.Prev); err != nil {
				return 0, err
			}
		}
	}
	count = min(count, height)
	first, err := s.headerAt(height - count)
	if err != nil {
		return 0, err
	}
	earliest, latest := first.Header.Time, first.Header.Time
	for _, h := range s.cfg.Chain.HeadersAfter([]consensus.Hash{first.Hash}, last.Hash, int(count)) {
		earliest, latest = min(earliest, h.Time), max(latest, h.Time)
	}
	if earliest == latest {
		return 0, nil
	}
	work := new(consensus.Work).Sub(&last.Work, &first.Work)
	return work.Float64() / float64(latest-earliest), nil
}

// headerAt is the header at a height of the active chain.
func (s *Server) headerAt(height int64) (info chain.HeaderInfo, err error) {
	hash, ok := s.cfg.Chain.HashAt(uint32(height))
	if !ok {
		return info, fail(codeParameter, "Block does not exist at specified height") // any more
	}
	return s.header(hash)
}

func (s *Server) prioritiseTransaction(_ context.Context, p *params) (any, error) {
	id, delta := p.hash(0, "txid"), p.integer(2, 0, math.MinInt64, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	var dummy float64
	if !p.absent(1) && p.into(1, &dummy, "number") && dummy != 0 {
		return nil, fail(codeParameter, "Priority is no longer supported, dummy argument to prioritisetransaction must be 0.")
	}
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	if !pool.Prioritise(id, consensus.Amount(delta)) {
		return nil, fail(codeParameter, "Priority is not supported for transactions with dust outputs.")
	}
	return true, nil
}

func (s *Server) getPrioritisedTransactions(context.Context, *params) (any, error) {
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	type entry struct {
		Delta    consensus.Amount  `json:"fee_delta"`
		InPool   bool              `json:"in_mempool"`
		Modified *consensus.Amount `json:"modified_fee,omitempty"`
	}
	entries := make(map[string]entry)
	for id, delta := range pool.Priorities() {
		e := entry{Delta: delta}
		if info, ok := pool.Info(id); ok {
			e.InPool, e.Modified = true, &info.Modified
		}
		entries[id.String()] = e
	}
	return entries, nil
}
