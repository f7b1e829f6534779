package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"

	"lode/chain"
	"lode/chain/blockfilter"
	"lode/consensus"
)

func (s *Server) restHeaders(_ context.Context, q *restRequest) (reply, error) {
	count := ""
	switch len(q.parts) {
	case 1:
	case 2: // the older way: COUNT/HASH
		count = q.parts[0]
	default:
		return reply{}, restFail(http.StatusBadRequest, "Invalid URI format. Expected /rest/headers/<hash>.<ext>?count=<count>")
	}
	n, err := q.count(count)
	if err != nil {
		return reply{}, err
	}
	hash, err := restHash(q.parts[len(q.parts)-1])
	if err != nil {
		return reply{}, err
	}
	list := s.restChain(hash, n)
	return reply{
		bytes: func() ([]byte, error) {
			b := []byte{}
			for i := range list {
				b = list[i].Header.Append(b)
			}
			return b, nil
		},
		value: func() (any, error) {
			headers := make([]headerJSON, len(list))
			for i := range list {
				headers[i] = s.headerJSON(list[i])
				headers[i].NTx = int(list[i].Txs)
			}
			return headers, nil
		},
	}, nil
}

func (s *Server) restHashAt(_ context.Context, q *restRequest) (reply, error) {
	height, err := strconv.ParseUint(q.rest, 10, 31)
	if err != nil {
		return reply{}, restFail(http.StatusBadRequest, "Invalid height: %.80s", q.rest)
	}
	hash, ok := s.cfg.Chain.HashAt(uint32(height))
	if !ok {
		return reply{}, restFail(http.StatusNotFound, "Block height out of range")
	}
	return reply{
		bytes: func() ([]byte, error) { return hash[:], nil },
		text:  hash.String(),
		value: func() (any, error) { return map[string]consensus.Hash{"blockhash": hash}, nil },
	}, nil
}

// restStored finds a block and its bytes.
func (s *Server) restStored(text string) (info chain.HeaderInfo, raw []byte, err error) {
	hash, err := restHash(text)
	if err != nil {
		return info, nil, err
	}
	info, ok := s.cfg.Chain.Header(hash)
	if !ok {
		return info, nil, restFail(http.StatusNotFound, "%s not found", text)
	}
	raw, err = s.cfg.Chain.BlockBytes(hash)
	switch {
	case err == nil:
	case errors.Is(err, chain.ErrDamaged) || !errors.Is(err, chain.ErrNotFound):
		return info, nil, err
	case info.Pruned:
		err = restFail(http.StatusNotFound, "%s not available (pruned data)", text)
	case !info.HaveBlock:
		err = restFail(http.StatusNotFound, "%s not available (not fully downloaded)", text)
	default:
		err = restFail(http.StatusNotFound, "%s not found", text)
	}
	return info, raw, err
}

// restBlockOf gives blocks, in JSON as getblock does with that verbosity.
func (s *Server) restBlockOf(verbosity int64) func(context.Context, *restRequest) (reply, error) {
	return func(_ context.Context, q *restRequest) (reply, error) {
		info, raw, err := s.restStored(q.rest)
		if err != nil {
			return reply{}, err
		}
		return reply{
			bytes: func() ([]byte, error) { return raw, nil },
			value: func() (any, error) {
				block, err := consensus.DecodeBlock(raw)
				if err != nil {
					return nil, err
				}
				return s.blockJSON(info, block, verbosity)
			},
		}, nil
	}
}

// restBlockPart gives some bytes of a block, from which electrs reads single transactions.
func (s *Server) restBlockPart(_ context.Context, q *restRequest) (reply, error) {
	var at [2]int
	for i, name := range []string{"offset", "size"} {
		n, err := strconv.ParseUint(q.query.Get(name), 10, 31)
		if err != nil {
			return reply{}, restFail(http.StatusBadRequest, "Block part %s missing or invalid", name)
		}
		at[i] = int(n)
	}
	_, raw, err := s.restStored(q.rest)
	if err != nil {
		return reply{}, err
	}
	if at[1] == 0 || at[0] >= len(raw) || at[1] > len(raw)-at[0] {
		return reply{}, restFail(http.StatusBadRequest, "Bad block part offset/size %d/%d for %s", at[0], at[1], q.rest)
	}
	return reply{bytes: func() ([]byte, error) { return raw[at[0] : at[0]+at[1]], nil }}, nil
}

// restFilterKind checks that a type of filter is served.
func (s *Server) restFilterKind(name string) error {
	if name != blockfilter.BasicName {
		return restFail(http.StatusBadRequest, "Unknown filtertype %.80s", name)
	}
	if _, kept := s.indexInfo(chain.FilterIndex); !kept {
		return restFail(http.StatusBadRequest, "Index is not enabled for filtertype %s", name)
	}
	return nil
}

// restNoFilter is the error for a block without a filter.
func restNoFilter(ready, connected bool) error {
	switch {
	case !connected:
		return restFail(http.StatusNotFound, "Filter not found. Block was not connected to active chain.")
	case !ready:
		return restFail(http.StatusNotFound, "Filter not found. Block filters are still in the process of being indexed.")
	}
	return restFail(http.StatusNotFound, "Filter not found.")
}

func (s *Server) restFilter(ctx context.Context, q *restRequest) (reply, error) {
	if len(q.parts) != 2 {
		return reply{}, restFail(http.StatusBadRequest, "Invalid URI format. Expected /rest/blockfilter/<filtertype>/<blockhash>")
	}
	hash, err := restHash(q.parts[1])
	if err != nil {
		return reply{}, err
	}
	if err := s.restFilterKind(q.parts[0]); err != nil {
		return reply{}, err
	}
	info, ok := s.cfg.Chain.Header(hash)
	if !ok {
		return reply{}, restFail(http.StatusNotFound, "%s not found", q.parts[1])
	}
	_, ready, err := s.indexReady(ctx, chain.FilterIndex)
	if err != nil {
		return reply{}, err
	}
	filter, _, err := s.cfg.Chain.BlockFilter(hash)
	if errors.Is(err, chain.ErrNotFound) {
		return reply{}, restNoFilter(ready, info.Connected)
	}
	if err != nil {
		return reply{}, err
	}
	return reply{
		bytes: func() ([]byte, error) { // as Bitcoin Core writes a filter: with its type and its block
			b := append([]byte{blockfilter.Basic}, hash[:]...)
			return append(consensus.AppendCompactSize(b, uint64(len(filter))), filter...), nil
		},
		value: func() (any, error) { return map[string]string{"filter": hex.EncodeToString(filter)}, nil },
	}, nil
}

func (s *Server) restFilterHeaders(ctx context.Context, q *restRequest) (reply, error) {
	count := ""
	switch len(q.parts) {
	case 2:
	case 3: // the older way: TYPE/COUNT/HASH
		count = q.parts[1]
	default:
		return reply{}, restFail(http.StatusBadRequest, "Invalid URI format. Expected /rest/blockfilterheaders/<filtertype>/<blockhash>.<ext>?count=<count>")
	}
	n, err := q.count(count)
	if err != nil {
		return reply{}, err
	}
	hash, err := restHash(q.parts[len(q.parts)-1])
	if err != nil {
		return reply{}, err
	}
	if err := s.restFilterKind(q.parts[0]); err != nil {
		return reply{}, err
	}
	list := s.restChain(hash, n)
	_, ready, err := s.indexReady(ctx, chain.FilterIndex)
	if err != nil {
		return reply{}, err
	}
	headers := make([]consensus.Hash, len(list))
	for i := range list {
		headers[i], err = s.cfg.Chain.FilterHeader(list[i].Hash)
		if errors.Is(err, chain.ErrNotFound) {
			return reply{}, restNoFilter(ready, true)
		}
		if err != nil {
			return reply{}, err
		}
	}
	return reply{
		bytes: func() ([]byte, error) {
			b := []byte{}
			for i := range headers {
				b = append(b, headers[i][:]...)
			}
			return b, nil
		},
		value: func() (any, error) { return headers, nil },
	}, nil
}

func (s *Server) restChainInfo(ctx context.Context, _ *restRequest) (reply, error) {
	return s.restCall(ctx, "getblockchaininfo"), nil
}

// restCall answers as a call does.
func (s *Server) restCall(ctx context.Context, method string, args ...any) reply {
	return reply{value: func() (any, error) { return s.Call(ctx, method, args...) }}
}

func (s *Server) restDeployments(ctx context.Context, q *restRequest) (reply, error) {
	if q.form != formJSON || q.rest == "" {
		return s.restCall(ctx, "getdeploymentinfo"), nil
	}
	hash, err := restHash(q.rest)
	if err != nil {
		return reply{}, err
	}
	if _, ok := s.cfg.Chain.Header(hash); !ok {
		return reply{}, restFail(http.StatusBadRequest, "Block not found")
	}
	return s.restCall(ctx, "getdeploymentinfo", q.rest), nil
}
