package rpc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// method is one call of the RPC.
type method struct {
	group    string
	name     string
	params   []string // with other names for the same, behind "|"
	required int      // how many of them, from the first
	about    string
	call     func(ctx context.Context, p *params) (any, error)
}

// usage is the first line of the method's help: optional arguments in brackets.
func (m *method) usage() string {
	words := []string{m.name}
	for i, name := range m.params {
		name, _, _ = strings.Cut(name, "|")
		if i >= m.required {
			name = "(" + name + ")"
		}
		words = append(words, name)
	}
	return strings.Join(words, " ") + "\n\n" + m.about
}

// methods lists the calls by name.
func (s *Server) methods() map[string]*method {
	table := make(map[string]*method)
	groups := [][]method{
		s.chainMethods(), s.storageMethods(), s.snapshotMethods(), s.txMethods(), s.mempoolMethods(), s.miningMethods(), s.poolMethods(), s.networkMethods(), s.controlMethods(),
	}
	for _, group := range groups {
		for i := range group {
			table[group[i].name] = &group[i]
		}
	}
	return table
}

// help lists all calls by group, or explains one.
func (s *Server) help(_ context.Context, p *params) (any, error) {
	if name := p.text(0, ""); name != "" || p.err != nil {
		m, ok := s.table[name]
		if !ok {
			return fmt.Sprintf("help: unknown command: %.80s", name), p.err
		}
		return m.usage(), nil
	}
	groups := make(map[string][]string)
	for _, m := range s.table {
		line, _, _ := strings.Cut(m.usage(), "\n")
		groups[m.group] = append(groups[m.group], line)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		slices.Sort(groups[name])
		fmt.Fprintf(&b, "== %s ==\n%s\n\n", name, strings.Join(groups[name], "\n"))
	}
	return strings.TrimSpace(b.String()), nil
}
