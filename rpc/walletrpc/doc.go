// Package walletrpc serves Bitcoin Core's wallet calls from a node: the wallets of
// package wallet, opened in the node's process, with the names, arguments, results
// and error codes that programs written for Core's wallet expect.
//
// A Manager holds the wallets that are loaded. Each has a lock of its own (open.go):
// calls to one wallet follow each other, calls to two go on side by side. A wallet
// follows the ledger and the mempool when they change (Manager.Run), and whatever
// is missing when it is asked something is taken up first. A long scan lets calls
// in between its batches.
//
// The secret of a wallet is in memory only between walletpassphrase and its end
// (see wallet.Held). One without a passphrase is possible only where the network's
// spec says that it is a playground.
//
// Files: manager.go, settings.go (which wallets are loaded), open.go, scan.go (one
// wallet), node.go (the ledger as the wallet sees it), notify.go (--walletnotify),
// methods.go (the table of calls), and the calls by what they are about.
package walletrpc
