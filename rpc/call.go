package rpc

import (
	"context"
	"encoding/json"
)

// Call makes a call for a server of another protocol in this process, whose answer is
// part of that protocol. The arguments are by position. A refusal is an *Error.
func (s *Server) Call(ctx context.Context, method string, args ...any) (json.RawMessage, error) {
	if args == nil {
		args = []any{}
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	result, failure := s.execute(ctx, caller{}, &request{method: method, params: raw})
	if failure != nil {
		return nil, failure
	}
	return json.Marshal(result)
}
