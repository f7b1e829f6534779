package electrum

import (
	"context"
	"encoding/json"

	"lode/consensus"
)

func serverVersion(_ context.Context, s *session, p *params, _ *reply) (any, error) {
	if s.agreed {
		return nil, fail(codeBad, "server.version already sent")
	}
	name := ""
	if !p.absent(0) {
		name = p.text(0)
	}
	from, to, err := versionRange(p.values[1])
	if err != nil {
		p.fail(codeBad, "%.80s is not a version of the protocol, nor a list of two", p.values[1])
	}
	if p.err != nil {
		return nil, p.err
	}
	v, err := s.agree(name, from, to)
	if err != nil {
		return nil, err
	}
	return []string{s.c.s.cfg.Software, v.String()}, nil
}

func features(_ context.Context, s *session, _ *params, _ *reply) (any, error) {
	cfg := &s.c.s.cfg
	return struct {
		Hosts    struct{}       `json:"hosts"` // the server does not know how clients see it
		Genesis  consensus.Hash `json:"genesis_hash"`
		Function string         `json:"hash_function"`
		Software string         `json:"server_version"`
		Max      string         `json:"protocol_max"`
		Min      string         `json:"protocol_min"`
		Pruning  *int           `json:"pruning"`
		Services []string       `json:"services"`
	}{Genesis: cfg.Spec.Rules.GenesisHash(), Function: "sha256", Software: cfg.Software, Max: newest.String(), Min: oldest.String(), Services: []string{}}, nil
}

func banner(_ context.Context, s *session, _ *params, _ *reply) (any, error) {
	return "You are connected to " + s.c.s.cfg.Software + " on the network " + s.c.s.cfg.Spec.Name + ".", nil
}

func donationAddress(context.Context, *session, *params, *reply) (any, error) { return "", nil }

// peersSubscribe knows no other servers: networks are private, and there is no list.
func peersSubscribe(context.Context, *session, *params, *reply) (any, error) { return []any{}, nil }

// addPeer takes none, for the same reason.
func addPeer(context.Context, *session, *params, *reply) (any, error) { return false, nil }

func ping(context.Context, *session, *params, *reply) (any, error) { return nil, nil }

// fees is what getmempoolinfo says of fee rates, in coins per 1,000 virtual bytes.
type fees struct {
	Mempool     json.Number `json:"mempoolminfee"`
	Relay       json.Number `json:"minrelaytxfee"`
	Incremental json.Number `json:"incrementalrelayfee"`
}

func (s *Server) fees(ctx context.Context) (f fees, err error) {
	v, err := s.cfg.Node.Call(ctx, "getmempoolinfo")
	if err != nil {
		return f, daemon(err)
	}
	return f, json.Unmarshal(v, &f)
}

func relayFee(ctx context.Context, s *session, _ *params, _ *reply) (any, error) {
	f, err := s.c.s.fees(ctx)
	return f.Relay, err
}

func mempoolInfo(ctx context.Context, s *session, _ *params, _ *reply) (any, error) {
	return s.c.s.fees(ctx)
}

func estimateFee(ctx context.Context, s *session, p *params, _ *reply) (any, error) {
	args := []any{p.number(0, 0)}
	if !p.absent(1) {
		if s.version.less(v16) {
			return nil, fail(codeParams, "2 parameters, want at most 1")
		}
		args = append(args, p.text(1))
	}
	if p.err != nil {
		return nil, p.err
	}
	v, err := s.c.s.cfg.Node.Call(ctx, "estimatesmartfee", args...)
	if err != nil {
		return nil, daemon(err)
	}
	var estimate struct {
		Rate *json.Number `json:"feerate"`
	}
	if err := json.Unmarshal(v, &estimate); err != nil || estimate.Rate == nil {
		return -1, err
	}
	return *estimate.Rate, nil
}

func feeHistogram(_ context.Context, s *session, _ *params, _ *reply) (any, error) {
	b, err := s.c.s.cfg.Summary.Summary()
	if err != nil {
		return nil, err
	}
	list := make([][2]float64, len(b.Histogram))
	for i, bin := range b.Histogram {
		list[i] = [2]float64{bin.Rate, float64(bin.VSize)}
	}
	return list, nil
}
