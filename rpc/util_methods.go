package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"strings"

	"lode/consensus"
	"lode/mempool/fees"
)

// maxConfirmTarget is a week of Bitcoin's blocks, the most that estimates look
// ahead.
const maxConfirmTarget = fees.MaxTarget

func (s *Server) estimateSmartFee(_ context.Context, p *params) (any, error) {
	target, mode := p.integer(0, 0, math.MinInt32, math.MaxInt32), p.text(1, "economical")
	if p.err != nil {
		return nil, p.err
	}
	if target < 1 || target > maxConfirmTarget {
		return nil, fail(codeParameter, "Invalid conf_target, must be between 1 and %d", maxConfirmTarget)
	}
	wanted := fees.Economical
	switch strings.ToLower(mode) {
	case "unset", "economical":
	case "conservative":
		wanted = fees.Conservative
	default:
		return nil, fail(codeParameter, `Invalid estimate_mode parameter, must be one of: "unset", "economical", "conservative"`)
	}
	if err := s.estimates(); err != nil {
		return nil, err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	rate, blocks, ok := pool.Estimate(int(target), wanted)
	if !ok {
		return struct {
			Errors []string `json:"errors"`
			Blocks int      `json:"blocks"`
		}{[]string{"Insufficient data or no feerate found"}, blocks}, nil
	}
	return struct {
		Rate   coins `json:"feerate"`
		Blocks int   `json:"blocks"`
	}{coins(rate), blocks}, nil
}

// estimates refuses where there are none: a node that takes no transactions of peers
// sees too little.
func (s *Server) estimates() error {
	if s.cfg.Network.BlocksOnly() {
		return fail(codeInternal, "Fee estimation disabled")
	}
	return nil
}

func (s *Server) validateAddress(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, text)
	if err != nil {
		places := []int{}
		if wrong, ok := errors.AsType[*consensus.AddressError](err); ok && wrong.At != nil {
			places = wrong.At
		}
		return struct {
			Valid     bool   `json:"isvalid"`
			Locations []int  `json:"error_locations"`
			Error     string `json:"error"`
		}{false, places, err.Error()}, nil
	}
	return struct {
		Valid   bool   `json:"isvalid"`
		Address string `json:"address"`
		Script  string `json:"scriptPubKey"`
		Script2 bool   `json:"isscript"`
		Witness bool   `json:"iswitness"`
		Version int    `json:"witness_version"`
		Program string `json:"witness_program"`
	}{true, consensus.Address(s.cfg.Spec.Defaults.AddressPrefix, key), hex.EncodeToString(consensus.TaprootScript(key)), true, true, 1, hex.EncodeToString(key[:])}, nil
}

// payTo reads an address as the script that pays to it.
func (s *Server) payTo(p *params, i int) []byte {
	text := p.text(i, "")
	if p.err != nil {
		return nil
	}
	key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, text)
	if err != nil {
		p.fail(fail(codeAddress, "Error: Invalid address: %v", err))
	}
	return consensus.TaprootScript(key)
}
