// Package consensus holds the rules of Lode: what a transaction, a block and a
// chain are, and when each is valid. It is pure: no clock, no IO, no lock, no
// database. What a rule needs to know comes in as values and what it finds out
// goes out as values.
//
// Read it in this order: hash.go, encoding.go, tx.go, header.go, block.go (the
// formats); work.go, difficulty.go (proof of work); output.go, sighash.go,
// spend.go (Taproot); errors.go, txrules.go, headerrules.go, checked.go,
// blockrules.go, connect.go (the rules, from the ones that need no context to the
// ones that need the coins); spec.go, speccheck.go, specjson.go, genesis.go, upgrades.go
// (networks and what changes in them). The tables in rules_*_test.go say the
// same once more, with a block for every rule.
//
// The formats are Bitcoin's, byte for byte. The rules are the subset of
// Bitcoin's in which every coin is a Taproot output (BIP341) that is spent
// through its key path by one Schnorr signature (BIP340). Where a block or a
// transaction stays inside that subset, the verdict and the reason are those of
// Bitcoin Core.
package consensus
