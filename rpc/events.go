package rpc

import (
	"net/http"
	"net/netip"

	"lode/rpc/httpd"
)

// streamMethod is what a whitelist calls the stream at /ws.
const streamMethod = "ws"

// serveWS serves the stream of events by WebSocket. It asks for what a call asks for,
// and takes a place among those that wait.
func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	user, ok := s.authorized(r)
	if !ok {
		s.unauthorized(w, r)
		return
	}
	httpd.Trust(r.Context())
	if !s.cfg.Whitelist.allows(user, streamMethod) {
		s.forbid(w, caller{user: user}, streamMethod)
		return
	}
	slot, ctx, ok := s.take(r.Context(), user)
	if !ok {
		http.Error(w, "too many calls at once", http.StatusServiceUnavailable)
		return
	}
	defer slot.release()
	if !waits(ctx) {
		http.Error(w, "too many streams and calls that wait", http.StatusServiceUnavailable)
		return
	}
	s.cfg.Events.ServeWS(w, r.WithContext(ctx))
}

// serveEvents serves the part of the stream that is for everybody who may see the
// page.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	if !s.pageOpen(w, r) {
		return
	}
	httpd.Stays(r.Context())
	s.cfg.Events.ServeEvents(w, r)
}

// pageOpen reports whether the caller may see what needs no password and changes
// nothing: on loopback, unless the node was told otherwise. Else it answers.
func (s *Server) pageOpen(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case !s.cfg.OpenPage && !isLocal(r):
		http.Error(w, "the page is for this machine alone; open it for others with --open-page", http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
	default:
		return true
	}
	return false
}

// isLocal reports whether r comes from this machine.
func isLocal(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}
