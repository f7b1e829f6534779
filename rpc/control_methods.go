package rpc

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"time"
)

func (s *Server) controlCalls() calls {
	return calls{
		"echo":                echo,
		"echojson":            echo,
		"echoipc":             func(_ context.Context, p *params) (any, error) { return p.text(0, ""), p.err },
		"help":                s.help,
		"stop":                s.stop,
		"getzmqnotifications": s.getZMQNotifications,
		"uptime": func(context.Context, *params) (any, error) {
			return s.cfg.Clock.Wall.Now().Unix() - s.started.Unix(), nil // in whole seconds of the clock, as Bitcoin Core counts
		},
		"getrpcinfo":    s.getRPCInfo,
		"logging":       s.logging,
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
	const bug = "trigger_internal_bug" // by which Bitcoin Core's tests see how a bug is told
	if len(list) > 9 && string(list[9]) == strconv.Quote(bug) {
		return nil, fail(codeMisc, "Internal bug detected: request.params[9].get_str() != %q", bug)
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
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	const page = 8192 // of Go's heap
	locked := lockedJSON{Used: m.HeapInuse, Free: m.HeapIdle, Total: m.HeapSys, ChunksUsed: m.HeapObjects, ChunksFree: m.HeapIdle / page}
	switch mode {
	case "stats":
		return struct {
			Locked lockedJSON `json:"locked"`
			Heap   heapJSON   `json:"heap"`
		}{locked, heapJSON{m.HeapAlloc, m.Sys}}, nil
	case "mallocinfo":
		return fmt.Sprintf(`<malloc version="1"><heap nr="0"><sizes/><total type="rest" count="%d" size="%d"/><system type="current" size="%d"/></heap></malloc>`,
			locked.ChunksFree, locked.Free, locked.Total), nil
	}
	return nil, fail(codeParameter, "unknown mode %.40s", mode)
}

// lockedJSON has Bitcoin Core's names for its pool of memory that is never swapped
// out. Lode has none: these are figures of the whole heap, of which nothing is
// locked.
type lockedJSON struct {
	Used       uint64 `json:"used"`
	Free       uint64 `json:"free"`
	Total      uint64 `json:"total"`
	Locked     uint64 `json:"locked"`
	ChunksUsed uint64 `json:"chunks_used"`
	ChunksFree uint64 `json:"chunks_free"`
}

type heapJSON struct {
	Used  uint64 `json:"used"`
	Total uint64 `json:"total"`
}

func (s *Server) getRPCInfo(context.Context, *params) (any, error) {
	type active struct {
		Method   string `json:"method"`
		Duration int64  `json:"duration"` // microseconds
	}
	now := s.cfg.Clock.Steady.Now()
	list := []active{}
	for _, c := range s.running.calls() {
		list = append(list, active{c.method, max(0, now.Sub(c.since).Microseconds())})
	}
	return struct {
		Active  []active `json:"active_commands"`
		LogPath string   `json:"logpath"`
	}{list, s.cfg.LogFile}, nil
}

// logging turns categories of the log on and off, and says which are on.
func (s *Server) logging(_ context.Context, p *params) (any, error) {
	include, exclude := p.texts(0), p.texts(1)
	if p.err != nil {
		return nil, p.err
	}
	if s.cfg.Logging == nil {
		return nil, fail(codeMisc, "The log of this node has no categories")
	}
	if unknown, ok := s.cfg.Logging.Set(include, exclude); !ok {
		return nil, fail(codeParameter, "unknown logging category %.80s", unknown)
	}
	return s.cfg.Logging.State(), nil
}

// LatestMockTime is Bitcoin Core's limit, in Unix seconds: as many nanoseconds are an
// int64.
const LatestMockTime = math.MaxInt64 / int64(time.Second)

func (s *Server) setMockTime(_ context.Context, p *params) (any, error) {
	seconds := p.integer(0, 0, math.MinInt64, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	if !s.cfg.Spec.Defaults.MockClock {
		return nil, fail(codeMisc, "setmocktime is not allowed on %s", s.cfg.Spec.Name)
	}
	if seconds < 0 || seconds > LatestMockTime {
		return nil, fail(codeParameter, "Mocktime must be in the range [0, %d], not %d.", LatestMockTime, seconds)
	}
	var t time.Time
	if seconds > 0 {
		t = time.Unix(seconds, 0)
	}
	s.cfg.Clock.Wall.Set(t)
	return nil, nil
}
