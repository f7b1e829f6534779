// Package blockfile keeps a ledger's bytes on disk. It knows files and how they fail,
// and the framing of blocks; it knows no rules, and nothing of what is in a block but
// where it begins and ends.
//
// Read it in this order: disk.go (a file system, which tests replace by one that
// fails or forgets what was not synced, and what LevelDB is promised of it);
// position.go (where a record lies); files.go (numbered, append-only files of records);
// bootstrap.go (finding blocks in a file that may hold anything); journal.go (what a
// kill leaves of LevelDB's newest journal).
//
// A mutex of this package is held over the disk, and nothing else is locked under it.
package blockfile
