package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/miner"
)

// templateRequest is the argument of getblocktemplate (BIP22, BIP23).
type templateRequest struct {
	mode       string
	rules      map[string]bool // that the caller knows
	data       json.RawMessage // of a proposal
	longPollID json.RawMessage // nil for an answer at once
}

// templateRequest reads argument i, as generously as Bitcoin Core does.
func (p *params) templateRequest(i int) (r templateRequest) {
	if !p.given(i, "object") {
		return r
	}
	if jsonType(p.values[i]) != "object" {
		p.wrongType(i, "object")
		return r
	}
	fields := make(map[string]json.RawMessage)
	err := eachMember(p.values[i], func(name string, value json.RawMessage) error {
		if _, twice := fields[name]; !twice {
			fields[name] = value
		}
		return nil
	})
	r.mode, r.data, r.rules = "template", fields["data"], make(map[string]bool)
	if mode := fields["mode"]; err == nil && !isNull(mode) {
		if jsonType(mode) != "string" || json.Unmarshal(mode, &r.mode) != nil {
			err = fail(codeParameter, "Invalid mode")
		}
	}
	if id := fields["longpollid"]; !isNull(id) {
		r.longPollID = id
	}
	if err == nil && r.mode == "template" && jsonType(fields["rules"]) == "array" {
		var rules []json.RawMessage
		err = json.Unmarshal(fields["rules"], &rules)
		for _, raw := range rules {
			var rule string
			if jsonType(raw) != "string" || json.Unmarshal(raw, &rule) != nil {
				err = fail(codeType, "JSON value of type %s is not of expected type string", jsonType(raw))
				break
			}
			r.rules[rule] = true
		}
	}
	if err != nil {
		p.fail(err)
	}
	return r
}

// templateJSON is a template as BIP22, BIP23, BIP9 and BIP145 have it, in
// Bitcoin Core's order.
type templateJSON struct {
	Capabilities  []string         `json:"capabilities"`
	Version       int32            `json:"version"`
	Rules         []string         `json:"rules"`
	Available     map[string]uint8 `json:"vbavailable"`
	Required      uint32           `json:"vbrequired"`
	Prev          consensus.Hash   `json:"previousblockhash"`
	Txs           json.RawMessage  `json:"transactions"`
	Aux           struct{}         `json:"coinbaseaux"`
	Value         consensus.Amount `json:"coinbasevalue"` // sat
	LongPollID    string           `json:"longpollid"`
	Target        string           `json:"target"`
	MinTime       uint32           `json:"mintime"`
	Mutable       []string         `json:"mutable"`
	NonceRange    string           `json:"noncerange"`
	SigopsLimit   int              `json:"sigoplimit"`
	SizeLimit     int              `json:"sizelimit"`
	WeightLimit   int              `json:"weightlimit"`
	Time          uint32           `json:"curtime"`
	Bits          string           `json:"bits"`
	Height        uint32           `json:"height"`
	DefaultOutput string           `json:"default_witness_commitment"`
}

func (s *Server) getBlockTemplate(ctx context.Context, p *params) (any, error) {
	r := p.templateRequest(0)
	if p.err != nil {
		return nil, p.err
	}
	switch r.mode {
	case "proposal":
		return s.judgeProposal(r.data)
	case "template":
	default:
		return nil, fail(codeParameter, "Invalid mode")
	}
	if in, out := s.cfg.Network.ConnectionCount(); !s.isTest() && in+out == 0 {
		return nil, fail(codeNoPeers, "Lode is not connected!")
	}
	t, err := s.template()
	if err != nil {
		return nil, err
	}
	if r.longPollID != nil {
		if err := s.longPoll(ctx, r.longPollID, t.Change); err != nil {
			return nil, err
		}
		if t, err = s.template(); err != nil {
			return nil, err
		}
	}
	if !r.rules["segwit"] {
		return nil, fail(codeParameter, `getblocktemplate must be called with the segwit rule set (call with {"rules": ["segwit"]})`)
	}
	txs, err := s.templateTxs.of(t)
	if err != nil {
		return nil, err
	}
	rules := s.cfg.Chain.Rules()
	j := templateJSON{
		Capabilities: []string{"proposal"}, Version: t.Version, Rules: []string{"csv", "!segwit", "taproot"}, Available: make(map[string]uint8),
		Prev: t.Tip.Hash, Txs: txs, Value: t.Value, LongPollID: t.Tip.Hash.String() + strconv.FormatUint(t.Change, 10), Target: targetHex(t.Bits),
		MinTime: t.MinTime, Mutable: []string{"time", "transactions", "prevblock"}, NonceRange: "00000000ffffffff",
		SigopsLimit: rules.MaxBlockSigopsCost, SizeLimit: rules.MaxBlockWeight, WeightLimit: rules.BlockWeightLimit(&t.Tip),
		Time: t.Time(s.cfg.Clock.Wall.Now()), Bits: consensus.Bits(t.Bits).String(), Height: t.Height, DefaultOutput: hex.EncodeToString(t.Commitment),
	}
	// An upgrade only lowers the weight, which is told: whoever does not know it
	// may mine all the same, and so its name has no "!".
	for _, u := range rules.Upgrades(&t.Tip) {
		switch u.Status {
		case consensus.UpgradeStarted, consensus.UpgradeLockedIn:
			j.Available[u.Name] = u.Signal.Bit
		case consensus.UpgradeActive:
			j.Rules = append(j.Rules, u.Name)
		}
	}
	return j, nil
}

// isTest reports whether coins of this network are worth nothing (SLIP-44):
// then it may be mined with no peer.
func (s *Server) isTest() bool { return s.cfg.Spec.Defaults.CoinType == 1 }

// template is the present one.
func (s *Server) template() (*miner.Template, error) {
	t, _, err := s.cfg.Templates.Current()
	if errors.Is(err, miner.ErrSyncing) {
		return nil, fail(codeSyncing, "Lode is in initial sync and waiting for blocks...")
	}
	return t, err
}

// judgeProposal says what would become of a block with a proof of work (BIP23):
// null, or why not (BIP22).
func (s *Server) judgeProposal(data json.RawMessage) (any, error) {
	var text string
	if jsonType(data) != "string" || json.Unmarshal(data, &text) != nil {
		return nil, fail(codeType, "Missing data String key for proposal")
	}
	block, err := decodeBlock(text)
	if err != nil {
		return nil, err
	}
	if info, known := s.cfg.Chain.Header(block.Header.Hash()); known {
		switch {
		case info.Invalid:
			return "duplicate-invalid", nil
		case info.Connected:
			return "duplicate", nil
		}
		return "duplicate-inconclusive", nil
	}
	return refusal(s.cfg.Chain.TestBlock(block))
}

// refusal is the answer for a block that was refused, or not (BIP22).
func refusal(err error) (any, error) {
	if err == nil || errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	if reason, ok := chain.Reason(err); ok {
		return reason, nil
	}
	return nil, err
}

// How often it is looked whether the pool has changed, as in Bitcoin Core.
const (
	firstLook = time.Minute
	nextLook  = 10 * time.Second
)

// longPoll waits until the template that had this id is out of date: at once
// when there is another tip, and after a while when there are other
// transactions. An id that is no text stands for the present tip and for the
// change given.
func (s *Server) longPoll(ctx context.Context, id json.RawMessage, change uint64) error {
	watched := s.cfg.Chain.Tip().Hash
	var text string
	if jsonType(id) == "string" && json.Unmarshal(id, &text) == nil {
		var err error
		if watched, err = parseHash(text[:min(len(text), 64)], "longpollid"); err != nil {
			return err
		}
		digits := text[64:]
		if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = digits[:end]
		}
		change, _ = strconv.ParseUint(digits, 10, 64) // what is no number is 0, as Bitcoin Core has it
	}
	poked, cancel := s.news()
	defer cancel()
	if s.cfg.Chain.Tip().Hash != watched {
		return nil
	}
	if !waits(ctx) {
		return fail(codeMisc, "Too many long polls at once, want at most %d", s.waiting.most)
	}
	look := s.cfg.Clock.Steady.NewTimer(firstLook)
	defer look.Stop()
	for s.cfg.Chain.Tip().Hash == watched {
		select {
		case <-ctx.Done():
			return fail(codeStopping, "Shutting down")
		case <-poked:
		case <-look.C:
			if s.cfg.Pool.Changes() != change {
				return nil
			}
			look.Reset(nextLook)
		}
	}
	return nil
}
