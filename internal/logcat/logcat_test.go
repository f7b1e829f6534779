package logcat

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// line makes a record as if a function had logged it.
func line(l slog.Handler, level slog.Level, pc uintptr) {
	r := slog.NewRecord(time.Time{}, level, "line", pc)
	if l.Enabled(context.Background(), level) {
		_ = l.Handle(context.Background(), r)
	}
}

func here() uintptr {
	var pcs [1]uintptr
	runtime.Callers(2, pcs[:])
	return pcs[0]
}

func TestPackageOfALine(t *testing.T) {
	known["internal/logcat"] = true
	defer delete(known, "internal/logcat")
	if got := packageOf(here()); got != "internal/logcat" {
		t.Errorf("this is package %q", got)
	}
	delete(known, "internal/logcat")
	if got := packageOf(here()); got != "" {
		t.Errorf("a package of no category is %q", got)
	}
}

func TestCategories(t *testing.T) {
	const self = "internal/logcat"
	packages["bench"] = self
	known[self] = true
	defer func() { packages["bench"] = ""; delete(known, self) }()
	var out bytes.Buffer
	l := New(slog.LevelInfo)
	h := l.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})).WithAttrs([]slog.Attr{slog.Int("a", 1)}).WithGroup("g")
	wants := func(what string, level slog.Level, want bool) {
		t.Helper()
		out.Reset()
		line(h, level, here())
		if got := strings.Contains(out.String(), "line"); got != want {
			t.Errorf("%s: logged %v, want %v", what, got, want)
		}
	}
	wants("debug at first", slog.LevelDebug, false)
	wants("info", slog.LevelInfo, true)
	if _, ok := l.Set([]string{"net"}, nil); !ok {
		t.Fatal("net is no category")
	}
	wants("debug of another category", slog.LevelDebug, false)
	if _, ok := l.Set([]string{"all"}, nil); !ok {
		t.Fatal("all")
	}
	wants("debug of all", slog.LevelDebug, true)
	if _, ok := l.Set([]string{"bench"}, []string{"bench"}); !ok || l.State()["bench"] || !l.State()["net"] {
		t.Errorf("what is excluded too is off: %v", l.State())
	}
	wants("debug of what is off", slog.LevelDebug, false)
	if unknown, ok := l.Set([]string{"bench", "nonsense", "net"}, nil); ok || unknown != "nonsense" || !l.State()["bench"] {
		t.Errorf("nonsense: %q, %v", unknown, ok)
	}
	if all := New(slog.LevelDebug).State(); len(all) != len(Categories()) || !all["qt"] || !slices.IsSorted(Categories()) {
		t.Errorf("at level debug: %v", all)
	}
	l = New(slog.LevelWarn)
	h = l.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	wants("info at level warn", slog.LevelInfo, false)
	l.Set([]string{"bench"}, nil)
	wants("info of a category at level warn", slog.LevelInfo, true)
}

// Categories name packages that there are.
func TestPackagesAreThere(t *testing.T) {
	for name, path := range packages {
		if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(path))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
