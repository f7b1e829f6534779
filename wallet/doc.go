// Package wallet keeps keys, finds the coins that belong to them, and spends
// them. Commands and calls are served by the same type, Wallet.
//
// Read it in this order: amount.go, keys.go, secret.go (values); window.go,
// keyring.go, sources.go (which keys count); journal.go, states.go (what was seen, and what
// became of it); events.go, points.go (all that is known, as it changes);
// store.go, files.go, lock.go, watch.go, create.go, wallet.go (the files);
// node.go, scan.go, sync.go, lookback.go (what the chain says); ledger.go,
// history.go, addresses.go, locks.go (what follows); select.go, send.go (spending);
// silent.go, silentscan.go, silentsend.go (silent payments); cosigner.go (accounts of
// several owners).
//
// The package knows the rules (lode/consensus) and the interface Node that it
// declares itself; how a node is reached is not its business.
//
// # Facts and conclusions
//
// What is kept are facts: keys, transactions as they are, the blocks that hold or
// held them, what was sent, what the owner said. Coins, balances, states and
// histories are worked out from them by functions that do not know in what order
// the facts came. So a reorganization only takes transactions out of their
// blocks, and nothing can disagree with itself.
//
// Which keys count is a window for every branch of keys (window): up to the gap
// behind the last key that was handed out or seen. More keys than that are
// derived and looked for; those that are new are looked for in everything that
// was scanned before (lookback.go), by the node's index of addresses or in all
// blocks, and in the mempool.
//
// # Files
//
// A wallet is three files and a lock beside each other, all with mode 0600.
//
// NAME.age holds the secret: an age file for a passphrase (scrypt) with a JSON
// object in it, which the age tool opens:
//
//	version      1, or 2 if there is anything but words
//	network      the name of the network
//	coin_type    of BIP44, the second step of all paths
//	mnemonic     the words (BIP39), NFKD, with single spaces; absent in a wallet of
//	             descriptors alone
//	mnemonic_passphrase
//	             the passphrase of BIP39, NFKD, if there is one: the words alone lead
//	             to other keys
//	descriptors  those that were imported with private keys, with their checksums
//	identity     of a wallet without words, as in its watch file
//
// A wallet that only watches has no such file.
//
// NAME.watch.json is plain JSON and holds what no chain can tell. It is replaced
// as a whole, atomically:
//
//	version    3; version 1 held transactions as well, version 2 knew one account
//	           alone, and both are read
//	network    the name of the network
//	rules      hash of its rules, hex (see consensus.Rules.ID)
//	gap        unused keys in a row that count; a restore from the words needs it
//	start      height and hash of a block that is older than the wallet
//	identity   binds the journal to it: of account m/86'/coin'/0', or random
//	watch_only whether it is to have no private keys
//	sources    where keys come from, that account first, none ever removed:
//	           descriptor (public, no hardened step left), account (its number, if
//	           it is of the words), internal (its only chain gives change), watched
//	           (without private keys here); for receive and change keys active (new
//	           addresses come from it) and next (the first index that was never
//	           handed out; change of accounts: 0); least (so many keys count in any
//	           case), created (Unix seconds)
//	labels     objects of BIP329: type, ref, label; sorted by type and ref
//	locked     coins that are not to be spent, TXID:N, sorted
//	silent     of silent payments (BIP352), if there are words: scan_key (private: who
//	           reads it sees what was paid silently, and spends nothing), spend_key
//	           (public), use (whether addresses were handed out: none, unknown or
//	           given), labels (so many were)
//
// NAME.journal holds what was seen and sent. It begins with the line "lode wallet
// journal 1" and is appended to, frame by frame, each synced to the disk. A frame
// is, numbers being little endian:
//
//	4 bytes    length of its entries
//	4 bytes    CRC-32C of these four
//	4 bytes    CRC-32C of the entries
//	entries    one behind the other: a byte for the kind, and its parts
//
// The kinds and parts are the table eventParts and its constants in events.go.
// The first entry binds the journal to the rules and the first account. A frame
// that was not written to its end is not counted; whatever else is wrong is said,
// and the frames before it count. Without its journal a wallet scans the blocks
// from start again.
//
// musig-nonces/ holds secret nonces of signatures of several owners, which must never
// be copied: see wallet/musig.
//
// NAME.watch.json.lock is locked (flock) by the process that has the wallet open.
// It is released while anybody is asked anything: see Wallet.Release.
package wallet
