package rpc

import (
	"context"
	"encoding/json"
	"net/http"

	"lode/rpc/web"
)

// pageCalls are the calls that the page makes: none of them changes anything.
var pageCalls = map[string]bool{"getblock": true, "getrawtransaction": true, "getpeerinfo": true, "getpoolinfo": true, "estimatesmartfee": true}

// newPage makes the page of this node.
func (s *Server) newPage() http.Handler {
	cfg := web.Config{
		Spec: s.cfg.Spec, Chain: s.cfg.Chain, Pool: s.cfg.Pool, Network: s.cfg.Network, Call: s.pageCall, Explain: s.explainer, Warnings: s.warnings,
		Now: s.cfg.Clock.Wall.Now, Version: s.cfg.Version, Local: isLocal,
	}
	if s.cfg.Templates != nil {
		cfg.Miner = s.cfg.Templates
	}
	return web.New(cfg)
}

// pageCall makes one of the page's calls as a caller does, without a password.
func (s *Server) pageCall(ctx context.Context, method string, args ...any) (json.RawMessage, error) {
	if !pageCalls[method] {
		panic("the page may not call " + method)
	}
	params, err := json.Marshal(append([]any{}, args...))
	if err != nil {
		return nil, err
	}
	result, failure := s.execute(ctx, caller{}, &request{method: method, params: params})
	if failure != nil {
		return nil, failure
	}
	return json.Marshal(result)
}

// servePage serves the page to who may see it. What it posts is checked there.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && (s.cfg.OpenPage || isLocal(r)) || s.pageOpen(w, r) {
		limitWrite(w)
		s.page.ServeHTTP(w, r)
	}
}
