// Command gen writes the assembly of package kernel.
package main

import (
	"fmt"
	"go/token"
	"go/types"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIRECTORY")
		os.Exit(2)
	}
	for _, g := range []struct {
		name string
		make func(*build.Context)
	}{
		{"avx2", avx2},
		{"avx512", avx512},
		{"shani", shani},
		{"cpuid", cpuid},
	} {
		if err := write(os.Args[1], g.name, g.make); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", g.name, err)
			os.Exit(1)
		}
	}
	if err := writeARM64(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// scanSignature is func(w *work, nonce, batches uint32) (before, candidates uint32).
func scanSignature() *gotypes.Signature {
	pkg := types.NewPackage("kernel", "kernel")
	work := types.NewNamed(types.NewTypeName(token.NoPos, pkg, "work", nil), types.NewStruct(nil, nil), nil)
	word := types.Typ[types.Uint32]
	tuple := func(words ...string) []*types.Var {
		var vars []*types.Var
		for _, name := range words {
			vars = append(vars, types.NewParam(token.NoPos, pkg, name, word))
		}
		return vars
	}
	params := append([]*types.Var{types.NewParam(token.NoPos, pkg, "w", types.NewPointer(work))}, tuple("nonce", "batches")...)
	return gotypes.NewSignature(pkg, types.NewSignatureType(nil, nil, nil, types.NewTuple(params...), types.NewTuple(tuple("before", "candidates")...), false))
}

// write makes one assembly file and the Go file that declares its functions.
func write(dir, name string, generate func(*build.Context)) error {
	ctx := build.NewContext()
	generate(ctx)
	file, err := ctx.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	cfg := printer.Config{Name: "gen", Argv: []string{"go", "generate"}, Pkg: "kernel"}
	asm, err := printer.NewGoAsm(cfg).Print(file)
	if err != nil {
		return err
	}
	stub, err := printer.NewStubs(cfg).Print(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+"_amd64.s"), asm, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+"_stub_amd64.go"), stub, 0o644)
}
