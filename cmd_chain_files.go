package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
)

// jsonFlag asks for a result that a program may read.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

func chainImportCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "add the blocks of a bootstrap file to the ledger, while no node runs",
		ArgsUsage: "FILE",
		Description: "FILE holds blocks as a bootstrap.dat does, in any order. A block file of Bitcoin Core\n" +
			"is unmasked with the xor.dat beside it. What is no good block is counted and named,\n" +
			"and then the exit status is 1; the good ones are in the ledger all the same.",
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
	return withLedger(c, func(ledger *chain.Chain) error {
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
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	var key []byte
	if err == nil {
		key, err = readSmall(filepath.Join(filepath.Dir(name), "xor.dat"), 8)
	}
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

func chainExportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the active chain to a bootstrap file, while no node runs",
		ArgsUsage: "FILE",
		Flags:     slices.Concat(networkFlags(), ledgerFlags(), []cli.Flag{jsonFlag()}),
		Action:    chainExport,
	}
}

// chainExport writes to another name first, so that an interrupted export is
// never taken for a whole one, and replaces nothing.
func chainExport(c *cli.Context) error {
	name := c.Args().First()
	return withLedger(c, func(ledger *chain.Chain) (err error) {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s is there already and is left as it is: choose another name", name))
		}
		if pruned := ledger.Pruning().Height; pruned > 0 {
			return fmt.Errorf("the ledger is pruned, its blocks below height %d are gone: export from a node that has all blocks", pruned)
		}
		f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, f.Close(), os.Remove(f.Name()))
			}
		}()
		progress, end := showProgress(os.Stderr, "exporting blocks")
		out := bufio.NewWriterSize(f, 1<<20)
		n, err := ledger.Export(c.Context, out, 0, func(height, tip uint32) { progress(int64(height), int64(tip)) })
		end()
		if err = errors.Join(err, out.Flush()); err != nil {
			return fmt.Errorf("export to %s: %w", name, err)
		}
		if err := errors.Join(f.Sync(), os.Rename(f.Name(), name)); err != nil {
			return err
		}
		if c.Bool("json") {
			return errors.Join(f.Close(), json.NewEncoder(c.App.Writer).Encode(map[string]int{"blocks": n}))
		}
		_, err = fmt.Fprintf(c.App.Writer, "%d blocks, the genesis block included, are in %s\n", n, name)
		return errors.Join(err, f.Close())
	})
}

func chainInfoCommand() *cli.Command {
	return &cli.Command{
		Name:   "info",
		Usage:  "describe the ledger and its coins, while no node runs",
		Flags:  slices.Concat(networkFlags(), ledgerFlags(), []cli.Flag{jsonFlag()}),
		Action: chainInfo,
	}
}

func chainInfo(c *cli.Context) error {
	return withLedger(c, func(ledger *chain.Chain) error {
		stats, err := ledger.UTXOStats(c.Context)
		if err != nil {
			return err
		}
		if c.Bool("json") {
			return json.NewEncoder(c.App.Writer).Encode(struct {
				Height uint32           `json:"height"`
				Tip    consensus.Hash   `json:"tip"`
				Coins  uint64           `json:"coins"`
				Total  consensus.Amount `json:"total"`
				Hash   consensus.Hash   `json:"hash_serialized_3"`
				Blocks int64            `json:"block_bytes"`
				Whole  bool             `json:"history_verified"`
			}{stats.Height, stats.Tip, stats.Coins, stats.Total, stats.Hash, ledger.DiskSize(), ledger.HasHistory()})
		}
		_, err = fmt.Fprintf(c.App.Writer, "height     %d\ntip        %s\ncoins      %d, together %s\nUTXO hash  %s (hash_serialized_3)\nblocks     %.1f MB on disk\n",
			stats.Height, stats.Tip, stats.Coins, stats.Total, stats.Hash, float64(ledger.DiskSize())/1e6)
		if from, ok := ledger.Snapshot(); ok && err == nil && !ledger.HasHistory() {
			_, err = fmt.Fprintf(c.App.Writer, "history    not verified yet: the ledger began with a snapshot at height %d (%s)\n", from.Height, from.Base)
		}
		return err
	})
}

func chainVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "replay the ledger from genesis and compare its coins, while no node runs",
		Description: "Every rule and signature of every block is checked again, beside the ledger, which\n" +
			"is not changed. The exit status is 1 if the coins differ, or if a block is damaged,\n" +
			"missing or invalid: the first such block is named.",
		Flags:  slices.Concat(networkFlags(), ledgerFlags(), []cli.Flag{jsonFlag()}),
		Action: chainVerify,
	}
}

func chainVerify(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	cache, err := cacheSize(c)
	if err != nil {
		return err
	}
	progress, end := showProgress(os.Stderr, "verifying blocks")
	started := time.Now()
	v, err := chain.Verify(c.Context, chain.Config{Dir: n.dir, Spec: n.spec, Cache: cache}, func(height, tip uint32) { progress(int64(height), int64(tip)) })
	end()
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	took := time.Since(started)
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(struct {
			Height  uint32         `json:"height"`
			Tip     consensus.Hash `json:"tip"`
			Inputs  int            `json:"inputs"`
			Coins   uint64         `json:"coins"`
			Hash    consensus.Hash `json:"hash_serialized_3"`
			Seconds float64        `json:"seconds"`
		}{v.Height, v.Tip, v.Inputs, v.Coins, v.Hash, took.Seconds()})
	}
	_, err = fmt.Fprintf(c.App.Writer, "%d blocks with %d inputs are valid and make the coins of the ledger (%.2f s)\nthe UTXO hash is %s (hash_serialized_3) at %s\n",
		v.Height, v.Inputs, took.Seconds(), v.Hash, v.Tip)
	return err
}

func chainSnapshotCommand() *cli.Command {
	return &cli.Command{
		Name:      "snapshot",
		Usage:     "write all coins at the tip to a file, while no node runs",
		ArgsUsage: "FILE",
		Description: "The format is that of Bitcoin Core's dumptxoutset. Another node starts from FILE with\n" +
			"   lode node --snapshot FILE --snapshot-hash HASH\n" +
			"where HASH is the UTXO hash that is printed here. Whoever starts from it trusts that\n" +
			"hash until the node has verified the history in the background: get it from somebody\n" +
			"you trust, or from `lode chain info` at the same height, not from where FILE comes from.",
		Flags:  slices.Concat(networkFlags(), ledgerFlags(), []cli.Flag{jsonFlag()}),
		Action: chainSnapshot,
	}
}

func chainSnapshot(c *cli.Context) error {
	name := c.Args().First()
	return withLedger(c, func(ledger *chain.Chain) error {
		progress, end := showProgress(os.Stderr, "writing coins")
		got, err := ledger.WriteSnapshot(c.Context, name, progress)
		end()
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if c.Bool("json") {
			return json.NewEncoder(c.App.Writer).Encode(struct {
				Coins  uint64         `json:"coins"`
				Base   consensus.Hash `json:"base"`
				Height uint32         `json:"height"`
				Hash   consensus.Hash `json:"hash_serialized_3"`
			}{got.Coins, got.Base, got.Height, got.Hash})
		}
		_, err = fmt.Fprintf(c.App.Writer, "%d coins at height %d (%s) are in %s\nthe UTXO hash is %s (hash_serialized_3)\n",
			got.Coins, got.Height, got.Base, name, got.Hash)
		return err
	})
}

// withLedger opens the ledger of the network, which no node may use meanwhile.
func withLedger(c *cli.Context, f func(*chain.Chain) error) (err error) {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	cache, err := cacheSize(c)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ledger, err := chain.Open(c.Context, chain.Config{Dir: n.dir, Spec: n.spec, Log: log, Cache: cache, Prune: chain.PruneAsFound})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	return f(ledger)
}
