// Package logcat has parts of the log speak up while the others stay as they are: a
// slog.Handler that lets lines of level debug pass by the package that they come
// from. The parts have the names of Bitcoin Core's categories, so that what its
// users type works.
package logcat

import (
	"context"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
)

// packages is the one of each category, by its path below the module; those under it
// belong to it, unless they are another's. Categories without one are Bitcoin Core's
// for what Lode does not have, or does not log apart: they may be set, and have no
// effect.
var packages = map[string]string{
	"addrman": "", "bench": "", "blockstorage": "", "cmpctblock": "", "coindb": "", "estimatefee": "", "http": "rpc/httpd", "i2p": "", "ipc": "",
	"kernel": "", "leveldb": "", "libevent": "", "mempool": "mempool", "mempoolrej": "", "mining": "miner", "net": "p2p", "privatebroadcast": "",
	"proxy": "", "prune": "", "qt": "", "rand": "", "reindex": "", "rpc": "rpc", "scan": "", "selectcoins": "", "tor": "", "txpackages": "p2p/txrequest",
	"txreconciliation": "", "validation": "chain", "walletdb": "wallet", "zmq": "",
}

// Categories are all names, sorted.
func Categories() []string { return slices.Sorted(maps.Keys(packages)) }

// Levels says what is logged: everything from one level on, and from level debug on
// what comes from the packages of categories that are on.
type Levels struct {
	base slog.Level
	on   atomic.Pointer[set]
}

type set struct {
	categories map[string]bool
	packages   map[string]bool
}

// New logs from a level on. If that is debug, all categories are on, and what
// others lack is from level info on.
func New(level slog.Level) *Levels {
	l := &Levels{base: max(level, slog.LevelInfo)}
	on := make(map[string]bool)
	for name := range packages {
		on[name] = level < slog.LevelInfo
	}
	l.store(on)
	return l
}

func (l *Levels) store(on map[string]bool) {
	s := &set{on, make(map[string]bool)}
	for name, path := range packages {
		if path != "" {
			s.packages[path] = on[name]
		}
	}
	l.on.Store(s)
}

// State says which categories are on.
func (l *Levels) State() map[string]bool { return maps.Clone(l.on.Load().categories) }

// Set turns categories on, and then others off; "all", "1" and "" are all of them.
// unknown is the first name that is none, and then nothing was changed from there
// on, as Bitcoin Core does.
func (l *Levels) Set(include, exclude []string) (unknown string, ok bool) {
	on := l.State()
	defer func() { l.store(on) }()
	for i, list := range [][]string{include, exclude} {
		for _, name := range list {
			if name == "all" || name == "1" || name == "" {
				for category := range on {
					on[category] = i == 0
				}
				continue
			}
			if _, known := on[name]; !known {
				return name, false
			}
			on[name] = i == 0
		}
	}
	return "", true
}

// Handler passes to next what is to be logged.
func (l *Levels) Handler(next slog.Handler) slog.Handler { return handler{next, l} }

type handler struct {
	slog.Handler
	levels *Levels
}

// Enabled is asked before a line is made, when its package is not known yet.
func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	if level >= h.levels.base {
		return true
	}
	for _, on := range h.levels.on.Load().packages {
		if on && level >= slog.LevelDebug {
			return true
		}
	}
	return false
}

// Handle logs a line, if it is to be logged.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < h.levels.base && !h.levels.on.Load().packages[packageOf(r.PC)] {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs adds attributes to all lines.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.levels}
}

// WithGroup names a group of attributes.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.levels}
}

// packageOf is the package of a place in the program, by its path below the module,
// or that of the one above it that categories know.
func packageOf(pc uintptr) string {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	path := frame.Function
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		if dot := strings.IndexByte(path[slash:], '.'); dot >= 0 {
			path = path[:slash+dot]
		}
	}
	_, path, _ = strings.Cut(path, "/") // the module
	for !known[path] && path != "" {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return path
}

var known = func() map[string]bool {
	all := make(map[string]bool)
	for _, path := range packages {
		all[path] = path != ""
	}
	return all
}()
