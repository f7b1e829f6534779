package rpc

import (
	"path/filepath"
	"slices"
	"strings"
)

// ledgersOwn are the directories in the data directory in which nobody but the
// ledger makes files. A file of such a name keeps it from being opened.
var ledgersOwn = []string{"blocks", "ledger", "ledger.removed", "verify"}

// outputPath is where a call may write a file of a name that a caller gives: below
// the data directory, where a relative name begins, wherever symbolic links lead.
// Who may call a node is not everybody who may write files on its machine.
func (s *Server) outputPath(name string) (string, error) { return OutputPath(s.cfg.Dir, name) }

// OutputPath is outputPath for a data directory.
func OutputPath(dataDir, name string) (string, error) {
	if name == "" {
		return "", fail(codeParameter, "Invalid path: it is empty")
	}
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", err
	}
	path := filepath.Clean(name)
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", fail(codeParameter, "Invalid path: its directory is not there: %.200s", filepath.Dir(path))
	}
	below, err := filepath.Rel(root, parent)
	if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
		return "", fail(codeParameter, "Invalid path: calls write files below the data directory only, %s", dir)
	}
	if first, _, _ := strings.Cut(filepath.Join(below, filepath.Base(path)), string(filepath.Separator)); slices.Contains(ledgersOwn, first) {
		return "", fail(codeParameter, "Invalid path: %s is the ledger's own directory, choose another", filepath.Join(dir, first))
	}
	return path, nil
}
