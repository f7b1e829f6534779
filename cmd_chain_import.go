package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
)

func chainImportCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "add the blocks of a bootstrap file to the ledger, while no node runs",
		ArgsUsage: "FILE",
		Description: "FILE holds blocks as a bootstrap.dat does, in any order. A block file of Bitcoin Core\n" +
			"is unmasked with the xor.dat beside it. What is no good block is counted and named,\n" +
			"and then the exit status is 1; the good ones are in the ledger all the same.\n" +
			"A new ledger is made only of a FILE that holds blocks of the network, and in a\n" +
			"--datadir that exists.",
		Flags:  slices.Concat(networkFlags(), ledgerFlags(), []cli.Flag{jsonFlag()}),
		Action: chainImport,
	}
}

func chainImport(c *cli.Context) error {
	name := c.Args().First()
	src, size, err := openBootstrap(name)
	if err != nil {
		return err
	}
	defer src.Close()
	// An import makes much garbage at once. Half the usual room for it takes a
	// quarter off the peak of memory, and costs a twentieth more CPU time.
	debug.SetGCPercent(50)
	return withLedgerFor(c, name, src, size, func(ledger *chain.Chain) error {
		progress, end := showProgress(os.Stderr, "importing bytes")
		started := time.Now()
		got, err := ledger.Import(c.Context, src, size, func(done int64) { progress(done, size) })
		end()
		if err != nil {
			return fmt.Errorf("import %s: %w", name, err)
		}
		if err := printImported(c, &got, time.Since(started), ledger.Tip()); err != nil {
			return err
		}
		for _, problem := range got.Problems {
			fmt.Fprintln(c.App.ErrWriter, "lode:", problem)
		}
		if !got.Clean() {
			return fmt.Errorf("%s: not all of it are good blocks: %d refused, %d without their parents, %d bytes passed over", name, got.Refused, got.Orphans, got.Passed)
		}
		return nil
	})
}

// withLedgerFor opens the ledger into which a file is imported. Where there is
// none it makes one, if neither the file nor the directory looks like a mistake.
func withLedgerFor(c *cli.Context, name string, src io.ReaderAt, size int64, f func(*chain.Chain) error) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	ledger, err := openLedgerOf(c, n, mustExist)
	if errors.Is(err, chain.ErrNoLedger) {
		if err := mayBeginLedger(c, n, name, src, size); err != nil {
			return err
		}
		ledger, err = openLedgerOf(c, n, mayBegin)
	}
	if err != nil {
		return err
	}
	return errors.Join(f(ledger), ledger.Close())
}

func mayBeginLedger(c *cli.Context, n *network, name string, src io.ReaderAt, size int64) error {
	if _, err := os.Stat(n.datadir); errors.Is(err, os.ErrNotExist) && c.IsSet("datadir") {
		return fmt.Errorf("there is no directory %s: check --datadir, or make it for a new ledger", n.datadir)
	}
	holds, err := chain.HoldsBlocks(c.Context, src, size, n.spec)
	if err == nil && !holds {
		err = fmt.Errorf("it holds no block of the network %s, and no ledger is made of it: check FILE and --network", n.spec.Name)
	}
	if err != nil {
		return fmt.Errorf("import %s: %w", name, err)
	}
	return nil
}

func printImported(c *cli.Context, got *chain.Imported, took time.Duration, tip consensus.State) error {
	result := struct {
		Blocks   int            `json:"blocks"`
		Txs      int            `json:"transactions"`
		Inputs   int            `json:"inputs"`
		Seconds  float64        `json:"seconds"`
		Known    int            `json:"known"`
		Refused  int            `json:"refused"`
		Orphans  int            `json:"orphans"`
		Passed   int64          `json:"bytes_passed_over"`
		Height   uint32         `json:"height"`
		Tip      consensus.Hash `json:"tip"`
		Problems []string       `json:"problems,omitempty"`
	}{got.Blocks, got.Txs, got.Inputs, took.Seconds(), got.Known, got.Refused, got.Orphans, got.Passed, tip.Height, tip.Hash, got.Problems}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(result)
	}
	_, err := fmt.Fprintf(c.App.Writer, "%d blocks with %d transactions and %d inputs in %.2f s; %d were there before\nthe tip is %s at height %d\n",
		got.Blocks, got.Txs, got.Inputs, took.Seconds(), got.Known, tip.Hash, tip.Height)
	return err
}

// bootstrapFile is a file to import, without the mask that Bitcoin Core puts on.
type bootstrapFile struct {
	io.ReaderAt
	io.Closer
}

func openBootstrap(name string) (*bootstrapFile, int64, error) {
	// First, as opening a pipe waits for somebody to write to it.
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no regular file: import reads some places of it twice", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	key, err := readSmall(filepath.Join(filepath.Dir(name), "xor.dat"), 8)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &bootstrapFile{f, f}, info.Size(), nil
	case err == nil && len(key) == 8:
		return &bootstrapFile{chain.Unmask(f, [8]byte(key)), f}, info.Size(), nil
	case err == nil:
		err = fmt.Errorf("the xor.dat beside %s has %d bytes, want 8", name, len(key))
	}
	return nil, 0, errors.Join(err, f.Close())
}
