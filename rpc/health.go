package rpc

import (
	"fmt"
	"net/http"
)

// serveHealth answers /healthz, which is whether the node lives, and /readyz, which is
// whether it has the chain: for those who watch processes. Both are for loopback alone
// unless the metrics are open.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	switch {
	case !isLocal(r) && !s.cfg.OpenMetrics:
		http.Error(w, "this is for this machine alone; allow others with --open-metrics", http.StatusForbidden)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this can only be read", http.StatusMethodNotAllowed)
		return
	}
	status, text := s.state()
	if r.URL.Path == "/healthz" && status != stateFailed {
		status, text = stateReady, "ok"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if status != stateReady {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = fmt.Fprintln(w, text) // the caller has gone if this fails
}

// What state a node is in.
const (
	stateReady = iota
	stateSyncing
	stateFailed // the node stops, too
)

func (s *Server) state() (state int, text string) {
	if err := s.cfg.Chain.Err(); err != nil {
		return stateFailed, "stopped by an error of the database: " + err.Error()
	}
	if s.cfg.Network.InitialBlockDownload() || s.cfg.Network.Syncing() {
		return stateSyncing, fmt.Sprintf("syncing: %d of %d blocks", s.cfg.Chain.Tip().Height, s.cfg.Chain.BestHeader().Height)
	}
	return stateReady, "ready"
}
