// Package chain is the ledger: every header and block that a node knows, the
// chain of them with the most work, and the coins at its tip.
//
// One LevelDB holds the headers, where each block lies, and the coins; blocks
// and what is needed to disconnect them again are append-only files. The coins
// and the tip change in one batch, so that they always belong together.
//
// The tree of headers and the choice of the tip are headertree's, which knows nothing
// of the rest. Read the files in this order:
//
//   - what is kept: chain.go (the ledger and its locks), node.go, store.go,
//     undo.go, coincache.go, and the package blockfile;
//   - how a block comes in: accept.go, activate.go, flush.go, body.go, repair.go,
//     warnings.go;
//   - how a ledger begins: load.go, readonly.go, prune.go, forgetheaders.go;
//   - what is asked and said: query.go, headersfrom.go, reader.go, control.go, proposal.go, explain.go,
//     scan.go, stats.go, muhash.go, txcount.go, import.go;
//   - how it is verified: replay.go, verify.go, verifyrecent.go, check_on.go,
//     check_off.go;
//   - snapshots: snapshotfile.go, snapshotwrite.go, snapshot.go, history.go;
//   - the indexes, which follow from behind: index.go, index_tx.go, index_addr.go,
//     index_silent.go, index_coinstats.go, index_filter.go.
//
// # Locks
//
// A Chain has these locks. One further down may be taken while one above it is held,
// and never the other way round.
//
//	mendMu   while undo data is made anew, which reads much; held over the disk
//	mu       the tree, the coins and what else changes with a block; held over the disk
//	inboxMu  blocks that wait for mu
//	lossMu   damage that readers have found while they held mu for reading
//	failMu   the error with which the ledger has failed
//	subMu    who wants to be poked; nobody is poked with any lock held
//
// An index has a lock of its own, which guards how far it is, and so have the block
// files, whose lock is held over the disk; nothing is locked under either.
package chain
