package electrum

import "time"

// The limits of one connection.
const (
	maxLine          = 2 << 20          // bytes of a request: a package of transactions in hex takes 0.9 MB
	smallLine        = 64 << 10         // bytes that a request may have without a share of allLines
	maxBatch         = 100              // calls in one request
	maxSubscriptions = 20_000           // script hashes
	maxHistory       = 20_000           // transactions of a script, and unspent outputs, in an answer
	maxHeaders       = 2016             // in an answer
	maxUnread        = 256 << 10        // bytes that wait to be read, beyond which no request is taken
	lineTimeout      = 30 * time.Second // for the rest of a request that has begun
	idleTimeout      = 10 * time.Minute // between requests; the protocol's own figure
	helloTimeout     = 30 * time.Second // for the first
	writeTimeout     = 10 * time.Second // for each chunk of an answer
	lastTimeout      = 2 * time.Second  // for the answer after which a connection ends
	answerTimeout    = 60 * time.Second // for all of it
	writeChunk       = 32 << 10         // bytes
	maxErrors        = 1000             // answered by errors of the caller's making, after which a connection ends
	controlFrames    = 100              // of a WebSocket between two requests
	unit             = time.Millisecond // what a unit of cost takes at most, see budget
	connBurst        = 20_000           // units of cost at once
	connRefill       = 2_000            // and in a second
	addressShare     = 4                // how many connections' worth of cost and memory an address has
	largeAnswer      = 64 << 10         // bytes of an answer that takes a share of allAnswers
)

// The limits of all.
const (
	// DefaultConnections is how many clients may be connected.
	DefaultConnections = 1024

	maxPerAddress = 64        // connections of an address that is not on loopback
	maxPerNetwork = 256       // and of the network around it
	addressSubs   = 50_000    // script hashes of all connections of an address
	allSubs       = 500_000   // script hashes of all connections
	allLines      = 64 << 20  // bytes of requests that are long
	allAnswers    = 128 << 20 // bytes of answers that are large
	maxCalls      = 16        // that are worked on at once
	cachedBlocks  = 32        // whose transaction ids are kept in memory
	cachedTxIDs   = 100_000   // and how many ids in all
)
