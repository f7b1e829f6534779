// Package wallet keeps keys, finds the coins that belong to them, and spends
// them.
//
// A wallet is two files. The secret file holds the words (BIP39) from which
// every key follows, encrypted with a passphrase (age, scrypt). The watch file
// beside it is plain: the public key of the account (BIP86), labels, and what
// was found in blocks. Receiving, balance and history need only the watch file;
// only spending and showing the words need the passphrase.
//
// Read it in this order: amount.go, keys.go, secret.go (values); files.go,
// lock.go, watch.go, wallet.go (the files); scan.go, sync.go, balance.go,
// history.go (what the chain says); select.go, send.go (spending).
//
// The package knows the rules (lode/consensus) and the interface Node that it
// declares itself; how a node is reached is not its business.
package wallet
