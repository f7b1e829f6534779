package rpc

import (
	"context"
	"errors"
	"strings"

	"lode/consensus"
	"lode/rpc/explain"
)

// explainCall has the rules say why a block or a transaction is what it is.
func (s *Server) explainCall(ctx context.Context, p *params) (any, error) {
	what := strings.Trim(string(p.values[0]), `"`) // a height may come as a number
	var in *consensus.Hash
	if !p.absent(1) {
		hash := p.hash(1, "blockhash")
		in = &hash
	}
	if p.err != nil {
		return nil, p.err
	}
	a, err := s.explainer.Text(ctx, what, in)
	switch {
	case errors.Is(err, explain.ErrUnknown):
		return nil, fail(codeAddress, "%v", err)
	case errors.Is(err, explain.ErrInput):
		return nil, fail(codeDecode, "%v", err)
	case err != nil:
		return nil, err
	}
	return a, nil
}
