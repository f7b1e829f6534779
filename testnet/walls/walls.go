package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// measure is what has been counted of one package, tests left out.
type measure struct {
	path    string
	files   int
	typ     string   // the one with the most methods
	methods int      // of it
	knot    []string // the files of the largest knot, sorted; empty if there is none
}

// countAll counts packages, which are named as for the go command. It runs that, in
// the current directory.
func countAll(patterns []string) ([]measure, error) {
	listed, err := list(append([]string{"-f", "{{.ImportPath}}\t{{.Dir}}\t{{range .GoFiles}}{{.}} {{end}}"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	exports, err := list(append([]string{"-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	compiled := make(map[string]string)
	for _, fields := range exports {
		compiled[fields[0]] = fields[1]
	}
	var measures []measure
	for _, fields := range listed {
		m, err := count(fields[0], fields[1], strings.Fields(fields[2]), compiled)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fields[0], err)
		}
		measures = append(measures, m)
	}
	return measures, nil
}

// list runs go list and gives its lines, divided at tabs.
func list(args ...string) (lines [][]string, err error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, strings.Split(s.Text(), "\t"))
	}
	return lines, nil
}

// count counts one package, whose imports are there in compiled form.
func count(path, dir string, names []string, compiled map[string]string) (m measure, err error) {
	m = measure{path: path, files: len(names)}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return m, err
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(compiled[path]) })}
	pkg, err := config.Check(path, fset, files, info)
	if err != nil {
		return m, err
	}
	for _, name := range pkg.Scope().Names() {
		object, isType := pkg.Scope().Lookup(name).(*types.TypeName)
		if !isType {
			continue
		}
		if named, ok := object.Type().(*types.Named); ok && named.NumMethods() > m.methods {
			m.typ, m.methods = name, named.NumMethods()
		}
	}
	refs := make(map[string]map[string]bool)
	for ident, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() || isLocal(object, pkg) {
			continue
		}
		from, to := filepath.Base(fset.Position(ident.Pos()).Filename), filepath.Base(fset.Position(object.Pos()).Filename)
		if refs[from] == nil {
			refs[from] = make(map[string]bool)
		}
		refs[from][to] = true
	}
	m.knot = largestKnot(names, refs)
	return m, nil
}

// isLocal reports whether an object is known inside of one function only.
func isLocal(object types.Object, pkg *types.Package) bool {
	if v, ok := object.(*types.Var); ok && v.IsField() {
		return false
	}
	if f, ok := object.(*types.Func); ok && f.Signature().Recv() != nil {
		return false
	}
	return object.Parent() != pkg.Scope()
}

// largestKnot is the largest set of at least two files that all reach each other.
func largestKnot(names []string, refs map[string]map[string]bool) (knot []string) {
	reach := make(map[string]map[string]bool)
	for _, name := range names {
		reach[name] = map[string]bool{}
		for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
			for to := range refs[queue[0]] {
				if !reach[name][to] {
					reach[name][to] = true
					queue = append(queue, to)
				}
			}
		}
	}
	for _, name := range names {
		with := []string{name}
		for other := range reach[name] {
			if other != name && reach[other][name] {
				with = append(with, other)
			}
		}
		if len(with) > 1 && len(with) > len(knot) {
			knot = with
		}
	}
	slices.Sort(knot)
	return knot
}
