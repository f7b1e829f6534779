package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
)

// nodeLedgerFlags are the flags about the ledger that only a node has.
func nodeLedgerFlags() []cli.Flag {
	return withEnv(
		&cli.Int64Flag{Name: "prune", Usage: "keep blocks and undo data below `MB` megabytes (at least 550) by removing the oldest; 1 removes them only at the call pruneblockchain, 0 never"},
		&cli.BoolFlag{Name: "fastprune", Usage: "keep blocks in files of 64 KiB, so that tests can prune a short chain"},
		&cli.BoolFlag{Name: "txindex", Usage: "keep an index of all transactions, for getrawtransaction; without it the index is removed"},
		&cli.BoolFlag{Name: "addrindex", Usage: "keep an index of the transactions of every address, for getaddresstxids and the like; without it the index is removed"},
		&cli.BoolFlag{Name: "coinstatsindex", Usage: "keep an index of how many coins there were after each block, for gettxoutsetinfo; without it the index is removed"},
		&cli.BoolFlag{Name: "silentindex", Usage: "keep an index of what finds silent payments (BIP352), for wallets and getsilentblocks; without it the index is removed"},
		&cli.BoolFlag{Name: "blockfilterindex", Usage: "keep an index of block filters (BIP158), for light clients, getblockfilter and scanblocks; without it the index is removed"},
		&cli.BoolFlag{Name: "peerblockfilters", Usage: "serve block filters to peers (BIP157); needs --blockfilterindex"},
		&cli.BoolFlag{Name: "reindex", Aliases: []string{"reindex-chainstate"}, Usage: "build the ledger anew from the block files; as --reindex-chainstate it is the same"},
		&cli.StringFlag{Name: "snapshot", Usage: "begin a fresh ledger with the coins in `FILE`, and verify the history before it in the background"},
		&cli.StringFlag{Name: "snapshot-hash", DefaultText: "what the chainspec says", Usage: "the UTXO hash (hash_serialized_3) of --snapshot is `HASH`"},
	)
}

// pruneTarget is what --prune comes to: bytes, or one of the chain's constants.
func pruneTarget(megabytes int64) (int64, error) {
	switch {
	case megabytes == 0:
		return chain.PruneNever, nil
	case megabytes == 1:
		return chain.PruneByHand, nil
	case megabytes < chain.MinPruneTarget>>20 || megabytes > 1<<40:
		return 0, fmt.Errorf("--prune %d: want 0 (never), 1 (only by pruneblockchain), or megabytes, at least %d", megabytes, chain.MinPruneTarget>>20)
	}
	return megabytes << 20, nil
}

// readLedgerFlags reads the flags about the ledger.
func (n *nodeConfig) readLedgerFlags(c *cli.Context) (err error) {
	n.reindex, n.snapshot = c.Bool("reindex"), c.String("snapshot")
	if s := c.String("snapshot-hash"); s != "" {
		if n.snapshotHash, err = consensus.ParseHash(s); err != nil || n.snapshot == "" {
			return usageError(c.Command.HelpName, "--snapshot-hash %.70q: want the 64 hex digits of a UTXO hash, and --snapshot with it", s)
		}
	}
	if n.cache, err = cacheSize(c); err != nil {
		return err
	}
	if n.prune, err = pruneTarget(c.Int64("prune")); err != nil {
		return usageError(c.Command.HelpName, "%v", err)
	}
	n.fastPrune = c.Bool("fastprune")
	n.txIndex, n.addrIndex, n.silentIndex, n.coinStatsIndex = c.Bool("txindex"), c.Bool("addrindex"), c.Bool("silentindex"), c.Bool("coinstatsindex")
	n.filterIndex, n.peerFilters = c.Bool("blockfilterindex"), c.Bool("peerblockfilters")
	if n.prune != chain.PruneNever && (n.txIndex || n.addrIndex || n.silentIndex || n.coinStatsIndex || n.filterIndex) {
		return usageError(c.Command.HelpName, "--prune is incompatible with --txindex, --addrindex, --coinstatsindex, --blockfilterindex and --silentindex: the indexes need all blocks")
	}
	if n.peerFilters && !n.filterIndex {
		return usageError(c.Command.HelpName, "Cannot set --peerblockfilters without --blockfilterindex.")
	}
	return nil
}

// openLedger opens the ledger, and begins it with a snapshot if one was given.
func (n *nodeConfig) openLedger(ctx context.Context, sigs *sigcheck.Checker) (*chain.Chain, error) {
	ledger, err := chain.Open(ctx, chain.Config{
		Dir: n.dir, Spec: n.spec, Now: n.clock.Wall.Now, Log: n.log, Sigs: sigs, Cache: n.cache, Reindex: n.reindex,
		Prune: n.prune, FastPrune: n.fastPrune, TxIndex: n.txIndex, AddrIndex: n.addrIndex, SilentIndex: n.silentIndex, CoinStatsIndex: n.coinStatsIndex, FilterIndex: n.filterIndex,
	})
	if err != nil || n.snapshot == "" {
		return ledger, err
	}
	if err := ledger.UseSnapshot(ctx, n.snapshot, n.snapshotHash); err != nil {
		return nil, errors.Join(fmt.Errorf("--snapshot: %w", err), ledger.Close())
	}
	return ledger, nil
}
