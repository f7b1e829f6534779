package walletrpc

import "time"

// The limits of this package.
const (
	maxWallets      = 64                     // loaded at once: each is in memory as a whole
	maxFollowed     = 4                      // wallets that are read up to the tip at the same time
	maxBatchInputs  = 10_000                 // coins or descriptors named in one call
	maxListed       = 100_000                // entries of one answer
	maxUnlock       = 100_000_000            // seconds, as in Bitcoin Core
	maxNotices      = 10_000                 // commands of --walletnotify that wait
	notifyAtOnce    = 4                      // how many run
	notifyTime      = 30 * time.Second       // after which a command is ended
	poolPause       = 250 * time.Millisecond // between two looks at the mempool that nobody asked for
	defaultTarget   = 6                      // blocks, for estimates
	maxTarget       = 1008                   // blocks
	defaultMaxFee   = 10_000_000             // sat of one transaction: Bitcoin Core's -maxtxfee
	keypoolSize     = 1000                   // Bitcoin Core's
	settingsMaxSize = 1 << 20                // bytes
)
