package p2p

import (
	"encoding/binary"
	"sync"

	"lode/consensus"
)

const (
	// maxQueuedMessages and maxQueuedBytes bound what waits to be sent to one
	// peer. A peer that lets more gather is disconnected.
	maxQueuedMessages = 2000
	maxQueuedBytes    = 1 << 20
	// maxQueuedRequests bounds how many things one peer may have asked for
	// that were not sent yet. Bitcoin Core asks for at most 16 blocks and
	// about a hundred transactions at a time.
	maxQueuedRequests = 10_000
	// maxQueuedPlaces bounds how many transactions of blocks are among them.
	maxQueuedPlaces = 2 * maxBlockTxs
	// maxByHand bounds a message, in bytes, that the operator has sent.
	maxByHand = 2 * maxPayload
)

// outMessage is an encoded message.
type outMessage struct {
	command string
	payload []byte
}

// sendQueue is what waits to be sent to one peer: messages, and behind them what
// it asked for by getdata, which is only fetched when its turn comes, so that a
// peer that asks for many blocks costs no memory.
type sendQueue struct {
	wake  chan struct{} // has room for one
	eased chan struct{} // likewise: a message was taken

	mu       sync.Mutex // guards what follows
	messages []outMessage
	bytes    int
	long     bool // one of them is longer than maxQueuedBytes, see pushByHand
	requests []request
	places   int // that all requests name
}

// request is what a peer asked for.
type request struct {
	invItem
	places  []uint16 // of the transactions of a block (BIP152); nil for everything else
	mempool bool     // all ids of it, and nothing else
	pong    bool     // with the nonce that hash begins with, see answerPing
}

func newSendQueue() *sendQueue {
	return &sendQueue{wake: make(chan struct{}, 1), eased: make(chan struct{}, 1)}
}

// push adds a message, or reports false if there are too many.
func (q *sendQueue) push(m outMessage) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) >= maxQueuedMessages || q.bytes+len(m.payload) > maxQueuedBytes {
		return false
	}
	q.messages = append(q.messages, m)
	q.bytes += len(m.payload)
	poke(q.wake)
	return true
}

// drain waits until messages of no more than so many bytes wait to be sent, and few of
// them; false if the connection ends before. One goroutine may wait.
func (q *sendQueue) drain(bytes int, gone <-chan struct{}) bool {
	for {
		q.mu.Lock()
		enough := q.bytes <= bytes && len(q.messages) <= maxQueuedMessages/4
		q.mu.Unlock()
		if enough {
			return true
		}
		select {
		case <-q.eased:
		case <-gone:
			return false
		}
	}
}

// pushByHand is push for a message that the operator sends. It may be longer than
// others, as long as no other such waits.
func (q *sendQueue) pushByHand(m outMessage) bool {
	if len(m.payload) <= maxQueuedBytes {
		return q.push(m)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) >= maxQueuedMessages || q.long || len(m.payload) > maxByHand {
		return false
	}
	q.messages, q.long = append(q.messages, m), true
	poke(q.wake)
	return true
}

// request adds things that the peer asked for, or reports false if there are
// too many.
func (q *sendQueue) request(items []invItem) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests)+len(items) > maxQueuedRequests {
		return false
	}
	for _, item := range items {
		q.requests = append(q.requests, request{invItem: item})
	}
	poke(q.wake)
	return true
}

// requestMempool notes that the peer asked for all ids of the mempool, or reports
// false if too much waits.
func (q *sendQueue) requestMempool() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests) >= maxQueuedRequests {
		return false
	}
	q.requests = append(q.requests, request{mempool: true})
	poke(q.wake)
	return true
}

// requestTxs adds transactions of a block that the peer asked for, or reports
// false if there are too many.
func (q *sendQueue) requestTxs(block consensus.Hash, places []uint16) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests) >= maxQueuedRequests || q.places+len(places) > maxQueuedPlaces {
		return false
	}
	q.requests = append(q.requests, request{invItem: invItem{invCmpct, block}, places: places})
	q.places += len(places)
	poke(q.wake)
	return true
}

// answerPing adds a pong. It comes behind what the peer has asked for before, as in
// Bitcoin Core: whoever gets it knows that all of that was answered.
func (q *sendQueue) answerPing(nonce msgPong) bool {
	q.mu.Lock()
	asked := len(q.requests)
	if asked > 0 && asked < maxQueuedRequests {
		r := request{pong: true}
		binary.LittleEndian.PutUint64(r.hash[:], uint64(nonce))
		q.requests = append(q.requests, r)
		poke(q.wake)
	}
	q.mu.Unlock()
	return asked > 0 && asked < maxQueuedRequests || asked == 0 && q.push(outMessage{nonce.command(), nonce.append(nil)})
}

// nextMessage takes the message that has waited longest.
func (q *sendQueue) nextMessage() (m outMessage, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 {
		return m, false
	}
	m, q.messages[0] = q.messages[0], outMessage{} // the array must not hold the payload
	q.messages = q.messages[1:]
	poke(q.eased)
	if len(m.payload) > maxQueuedBytes {
		q.long = false
	} else {
		q.bytes -= len(m.payload)
	}
	if len(q.messages) == 0 {
		q.messages = nil // lets go of the array
	}
	return m, true
}

// nextRequest takes the request that has waited longest.
func (q *sendQueue) nextRequest() (r request, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests) == 0 {
		return r, false
	}
	r, q.requests = q.requests[0], q.requests[1:]
	q.places -= len(r.places)
	if len(q.requests) == 0 {
		q.requests = nil
	}
	return r, true
}

// poke wakes the one who waits for c, which has room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
