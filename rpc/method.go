package rpc

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"lode/rpc/manual"
)

// calls are functions by the names of their methods. All that is said of those, to
// people and of their arguments, is in the table of package manual.
type calls map[string]func(ctx context.Context, p *params) (any, error)

// method is one call of the RPC.
type method struct {
	*manual.Method
	call func(ctx context.Context, p *params) (any, error)
}

// methods lists the calls by name.
func (s *Server) methods() map[string]*method {
	table := make(map[string]*method)
	for _, group := range []calls{
		s.chainCalls(), s.storageCalls(), s.silentCalls(), s.snapshotCalls(), s.txCalls(), s.mempoolCalls(), s.miningCalls(), s.poolCalls(), s.networkCalls(),
		s.psbtCalls(), s.controlCalls(), s.hiddenCalls(), s.walletCalls(),
	} {
		for name, call := range group {
			m := manual.Methods()[name]
			if m == nil {
				panic("rpc/manual says nothing of the method " + name)
			}
			table[name] = &method{m, call}
		}
	}
	return table
}

// help lists all calls by group, or explains one.
func (s *Server) help(_ context.Context, p *params) (any, error) {
	if name := p.text(0, ""); name != "" || p.err != nil {
		m, ok := s.table[name]
		switch {
		case ok:
		case name == "generate":
			return generateIsGone, nil
		case name == "dump_all_command_conversions":
			return s.conversions(), nil
		default:
			return fmt.Sprintf("help: unknown command: %.80s", name), p.err
		}
		return m.Help(), nil
	}
	described := make(map[string]*manual.Method)
	for name, m := range s.table {
		described[name] = m.Method
	}
	return manual.List(described), nil
}

// generateIsGone is Bitcoin Core's answer to a call that it had.
const generateIsGone = "generate\n\nhas been replaced by the -generate cli option. Refer to -help for more information.\n"

// conversions lists the arguments of all calls, each with whether it is a string:
// by that Bitcoin Core's tests compare the calls with what its bitcoin-cli sends.
func (s *Server) conversions() any {
	list := [][4]any{}
	for _, name := range slices.Sorted(maps.Keys(s.table)) {
		for i, p := range s.table[name].Params {
			list = append(list, [4]any{name, i, p.Name, p.Type == "string" || p.Type == "hex"})
		}
	}
	return list
}
