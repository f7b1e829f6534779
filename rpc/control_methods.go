package rpc

import (
	"context"
	"math"
	"runtime"
	"time"
)

func (s *Server) controlCalls() calls {
	return calls{
		"echo":     echo,
		"echojson": echo,
		"help":     s.help,
		"stop":     s.stop,
		"uptime": func(context.Context, *params) (any, error) {
			return int64(s.cfg.Clock.Wall.Since(s.started).Seconds()), nil
		},
		"getmemoryinfo": s.getMemoryInfo,
		"setmocktime":   s.setMockTime,
	}
}

func (s *Server) stop(context.Context, *params) (any, error) {
	s.cfg.Stop()
	return "Lode stopping", nil
}

// echo gives the arguments up to the last one that is there.
func echo(_ context.Context, p *params) (any, error) {
	list := p.values
	for len(list) > 0 && list[len(list)-1] == nil {
		list = list[:len(list)-1]
	}
	values := make([]any, len(list))
	for i, raw := range list {
		if raw != nil {
			values[i] = raw
		}
	}
	return values, nil
}

func (s *Server) getMemoryInfo(_ context.Context, p *params) (any, error) {
	mode := p.text(0, "stats")
	if p.err != nil {
		return nil, p.err
	}
	switch mode {
	case "stats":
	case "mallocinfo":
		return nil, fail(codeParameter, "mallocinfo mode not available")
	default:
		return nil, fail(codeParameter, "unknown mode %.40s", mode)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	type heap struct {
		Used  uint64 `json:"used"`
		Total uint64 `json:"total"`
	}
	return map[string]heap{"heap": {m.HeapAlloc, m.Sys}}, nil
}

func (s *Server) setMockTime(_ context.Context, p *params) (any, error) {
	seconds := p.integer(0, 0, math.MinInt64, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	if !s.cfg.Spec.Defaults.MockClock {
		return nil, fail(codeMisc, "setmocktime is not allowed on %s", s.cfg.Spec.Name)
	}
	if seconds < 0 || seconds > math.MaxUint32 {
		return nil, fail(codeParameter, "Mocktime must be in the range [0, %d], not %d.", uint32(math.MaxUint32), seconds)
	}
	var t time.Time
	if seconds > 0 {
		t = time.Unix(seconds, 0)
	}
	s.cfg.Clock.Wall.Set(t)
	return nil, nil
}
