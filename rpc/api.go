package rpc

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// apiPath begins the paths of Esplora's interface.
const apiPath = "/api/"

// serveAPI answers Esplora's interface, which asks for no password: it reads what is
// public, and takes in transactions as any peer may bring them. It is for loopback
// alone unless the node was told otherwise. A page of an allowed origin may use it, and
// nothing else of this server.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	local := err == nil && from.Addr().Unmap().IsLoopback()
	if !local && !s.cfg.OpenEsplora {
		http.Error(w, "/api is for this machine alone; allow others with --open-esplora", http.StatusForbidden)
		return
	}
	if !originAllowed(r) {
		origins := r.Header.Values("Origin")
		if len(origins) != 1 || !slices.ContainsFunc(s.cfg.AllowOrigins, func(o string) bool { return strings.EqualFold(o, origins[0]) }) {
			http.Error(w, "requests from other web pages are refused; allow them with --allow-origin", http.StatusForbidden)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origins[0])
	}
	w.Header().Add("Vary", "Origin")
	if r.Method == http.MethodOptions { // a browser asks before it posts JSON
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.cfg.Esplora.ServeHTTP(w, r)
}
