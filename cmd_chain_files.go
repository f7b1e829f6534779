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
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
	"lode/internal/syncdir"
)

// jsonFlag asks for a result that a program may read.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

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
		if ledger.Tip().Height == 0 {
			return errors.New("the ledger has no block but the genesis block, and there is nothing to export: check --datadir and --network")
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
		if err = f.Sync(); err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err == nil {
			err = syncdir.Sync(filepath.Dir(name))
		}
		if err != nil {
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
			"is not changed: also of blocks that a node has not flushed before it was killed. The\n" +
			"exit status is 1 if the coins differ, or if a block or its undo data is damaged,\n" +
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
	return printVerified(c, &v, time.Since(started))
}

func printVerified(c *cli.Context, v *chain.Verified, took time.Duration) error {
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(struct {
			Height   uint32         `json:"height"`
			Tip      consensus.Hash `json:"tip"`
			Inputs   int            `json:"inputs"`
			Undo     int            `json:"undo_data"`
			Beside   int            `json:"blocks_of_other_branches"`
			Tail     int64          `json:"bytes_cut_off"`
			Saved    uint32         `json:"coins_height"`
			SavedTip consensus.Hash `json:"coins_tip"`
			Coins    uint64         `json:"coins"`
			Hash     consensus.Hash `json:"hash_serialized_3"`
			Seconds  float64        `json:"seconds"`
		}{v.Height, v.Tip, v.Inputs, v.Undone, v.Beside, v.Tail, v.Saved, v.SavedTip, v.Coins, v.Hash, took.Seconds()})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d blocks with %d inputs are valid and make the coins of the ledger (%.2f s)\n", v.Height, v.Inputs, took.Seconds())
	fmt.Fprintf(&b, "the undo data of %d of them is whole, and so are %d blocks of other branches\n", v.Undone, v.Beside)
	if v.Saved != v.Height || v.SavedTip != v.Tip {
		fmt.Fprintf(&b, "the coins on disk belong to height %d; a start connects the blocks above it\n", v.Saved)
	}
	if v.Tail > 0 {
		fmt.Fprintf(&b, "behind the last block are %d bytes of one that was not written to its end; a start cuts them off\n", v.Tail)
	}
	fmt.Fprintf(&b, "the UTXO hash is %s (hash_serialized_3) at %s\n", v.Hash, v.SavedTip)
	_, err := io.WriteString(c.App.Writer, b.String())
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

// withLedger opens the ledger of the network, which no node may use meanwhile. It
// makes none: whoever mistypes a directory or a network is told so.
func withLedger(c *cli.Context, f func(*chain.Chain) error) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	ledger, err := openLedgerOf(c, n, mustExist)
	if err != nil {
		return err
	}
	return errors.Join(f(ledger), ledger.Close())
}

// mustExist and mayBegin say whether a ledger may be made where there is none.
const (
	mustExist = true
	mayBegin  = false
)

// openLedgerOf opens the ledger of a network for a command.
func openLedgerOf(c *cli.Context, n *network, existing bool) (*chain.Chain, error) {
	cache, err := cacheSize(c)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return chain.Open(c.Context, chain.Config{Dir: n.dir, Spec: n.spec, Log: log, Cache: cache, Prune: chain.PruneAsFound, Existing: existing})
}
