//go:build unix

// Command benchimport measures what `make bench-import` prints: `lode chain
// import` beside a node that fetches the same chain from two others, beside
// btcd's addblock and beside btcec verifying the same signatures one by one, in
// paired rounds on the same machine; how the import grows with the chain; and how
// fast a node starts. Everything is built and kept in one
// temporary directory, which is removed again.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

// addblock is what Lode's import is compared with. It is built here and nowhere
// else: the product does not depend on it.
const (
	addblockVersion = "v0.26.2"
	addblock        = "github.com/btcsuite/btcd/cmd/addblock@" + addblockVersion
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchimport:", err)
		os.Exit(1)
	}
}

// run is the whole benchmark, or one of the parts of it that take much memory
// and so have a process of their own. Until a child has called exec it shares
// its parent's memory, and Linux counts that as the child's peak: this process
// must stay smaller than everything that it measures.
func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "generate":
		full, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return generate(args[1], full)
	case len(args) == 2 && args[0] == "btcec":
		return runBtcec(args[1])
	}
	var b bench
	flags := flag.NewFlagSet("benchimport", flag.ContinueOnError)
	flags.StringVar(&b.file, "file", "", "bootstrap `FILE` of regtest to import; empty for one that is made")
	flags.IntVar(&b.rounds, "rounds", 3, "how many rounds")
	flags.IntVar(&b.longer, "longer", 10, "also import a chain this many times longer; 0 for none")
	flags.IntVar(&b.starts, "starts", 10, "how often to start the node")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || b.rounds < 1 || b.starts < 1 {
		return errors.New("want at least one round and one start, and no arguments")
	}
	dir, err := os.MkdirTemp("", "lode-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	if err := b.prepare(ctx); err != nil {
		return err
	}
	return b.measure(ctx)
}

// bench is one run of the benchmark.
type bench struct {
	dir    string // of everything
	file   string // to import
	made   string // the generated file of the same size, if it is needed
	long   string // the one that is longer
	rounds int
	longer int
	starts int
}

func (b *bench) lode() string     { return filepath.Join(b.dir, "lode") }
func (b *bench) addblock() string { return filepath.Join(b.dir, "addblock") }

// prepare builds the programs and makes the files.
func (b *bench) prepare(ctx context.Context) error {
	progress("building lode and addblock %s", addblockVersion)
	if err := b.quiet(exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.lode(), "lode")); err != nil {
		return fmt.Errorf("%w (run this in Lode's source)", err)
	}
	install := exec.CommandContext(ctx, "go", "install", addblock)
	install.Env = append(os.Environ(), "GOBIN="+b.dir)
	if err := b.quiet(install); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	makeFile := func(name string, times int) (string, error) {
		name = filepath.Join(b.dir, name)
		progress("making a chain of %d full blocks", times*fullBlocks)
		return name, b.quiet(exec.CommandContext(ctx, self, "generate", name, strconv.Itoa(times*fullBlocks)))
	}
	if b.file == "" || b.longer > 0 {
		if b.made, err = makeFile("bench.dat", 1); err != nil {
			return err
		}
	}
	if b.longer > 0 {
		if b.long, err = makeFile("long.dat", b.longer); err != nil {
			return err
		}
	}
	if b.file == "" {
		b.file = b.made
	}
	return nil
}

// quiet runs a command of which only a failure is worth reading.
func (b *bench) quiet(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+" …\n", args...) }

// runBtcec is the part that verifies with btcec; it prints a verified.
func runBtcec(file string) error {
	sigs, err := signatures(file)
	if err != nil {
		return err
	}
	v, err := verifyAll(sigs)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}
