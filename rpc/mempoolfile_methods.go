package rpc

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"

	"lode/mempool"
	"lode/mempool/fees"
)

// importMempool takes in a file of transactions, also one of Bitcoin Core's.
func (s *Server) importMempool(ctx context.Context, p *params) (any, error) {
	path := p.text(0, "")
	useNow, deltas, unbroadcast := true, false, false
	o := p.options(1)
	o.flag("use_current_time", &useNow)
	o.flag("apply_fee_delta_priority", &deltas)
	o.flag("apply_unbroadcast_set", &unbroadcast)
	if p.err != nil {
		return nil, p.err
	}
	if s.cfg.Network.InitialBlockDownload() {
		return nil, fail(codeSyncing, "Can only import the mempool after the block download and sync is done.")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.cfg.Dir, path)
	}
	ids, err := s.cfg.Pool.Import(ctx, path, mempool.ImportOptions{Times: !useNow, Deltas: deltas})
	if err != nil {
		s.cfg.Log.Warn("importmempool", "error", err)
		return nil, fail(codeMisc, "Unable to import mempool file, see debug.log for details.")
	}
	if unbroadcast {
		for _, id := range ids {
			if _, ok := s.cfg.Pool.ByTxID(id); ok {
				s.cfg.Network.Resubmit(id)
			}
		}
	}
	return struct{}{}, nil
}

// options is an argument that is an object with settings, all of which may be left
// out.
type options struct {
	p      *params
	values map[string]json.RawMessage
}

// options reads argument i.
func (p *params) options(i int) options {
	o := options{p, make(map[string]json.RawMessage)}
	if !p.given(i, "object") {
		return o
	}
	p.fail(eachMember(p.values[i], func(name string, value json.RawMessage) error {
		for _, part := range p.params[i].Parts {
			if part.Name == name {
				o.values[name] = value
				return nil
			}
		}
		return fail(codeType, "Unexpected key %.80s", name)
	}))
	return o
}

// flag reads a setting into on, which keeps its value if there is none.
func (o options) flag(name string, on *bool) {
	raw := o.values[name]
	if isNull(raw) {
		return
	}
	if jsonType(raw) != "bool" || json.Unmarshal(raw, on) != nil {
		o.p.fail(fail(codeType, "JSON value of type %s for field %s is not of expected type bool", jsonType(raw), name))
	}
}

// rawRangeJSON is a range of fee rates in an estimate, in sat per 1,000 virtual
// bytes, and what became of the transactions that paid so much.
type rawRangeJSON struct {
	Start     float64 `json:"startrange"`
	End       float64 `json:"endrange"`
	Within    float64 `json:"withintarget"`
	Confirmed float64 `json:"totalconfirmed"`
	InMempool float64 `json:"inmempool"`
	Left      float64 `json:"leftmempool"`
}

func rawRange(r *fees.Range) *rawRangeJSON {
	cents := func(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }
	return &rawRangeJSON{
		math.Round(r.From), math.Round(r.To), cents(r.WithinTarget), cents(r.Confirmed), cents(r.InMempool), cents(r.LeftMempool),
	}
}

// estimateRawFee shows what estimates of fees come from, by horizon.
func (s *Server) estimateRawFee(_ context.Context, p *params) (any, error) {
	target, threshold := p.integer(0, 0, -1<<31, 1<<31-1), 0.95
	if p.given(1, "number") {
		p.into(1, &threshold, "number")
	}
	if err := s.estimates(); err != nil && p.err == nil {
		return nil, err
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case target < 1 || target > maxConfirmTarget:
		return nil, fail(codeParameter, "Invalid conf_target, must be between 1 and %d", maxConfirmTarget)
	case threshold < 0 || threshold > 1:
		return nil, fail(codeParameter, "Invalid threshold")
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	answer := make(map[string]rawHorizonJSON)
	for _, h := range fees.Horizons() {
		if int(target) <= h.Most() {
			answer[h.String()] = rawHorizon(h, pool.EstimateRaw(h, int(target), threshold))
		}
	}
	return answer, nil
}

// rawHorizonJSON is an estimate of one horizon.
type rawHorizonJSON struct {
	Rate   *coins        `json:"feerate,omitempty"`
	Decay  float64       `json:"decay"`
	Scale  int           `json:"scale"`
	Pass   *rawRangeJSON `json:"pass,omitempty"`
	Fail   *rawRangeJSON `json:"fail,omitempty"`
	Errors []string      `json:"errors,omitempty"`
}

func rawHorizon(h fees.Horizon, raw fees.Raw) rawHorizonJSON {
	j := rawHorizonJSON{Decay: h.Fade(), Scale: h.Scale()}
	if raw.Fails {
		j.Fail = rawRange(&raw.Fail)
	}
	if raw.Rate > 0 {
		j.Rate, j.Pass = new(coins(math.Round(raw.Rate))), rawRange(&raw.Pass)
	} else {
		j.Errors = []string{"Insufficient data or no feerate found which meets threshold"}
	}
	return j
}
