package p2p

import (
	"sync"

	"lode/consensus"
)

// maxCachedBlocks bounds the memory, in bytes, of the recent blocks that are kept
// decoded; the one that was announced last is kept whatever it takes.
const maxCachedBlocks = 32 << 20

// perID is about what an entry of compactBlock.ids takes, in bytes.
const perID = 64

// compactBlock is a recent block in the forms in which it is sent. All peers share
// them.
type compactBlock struct {
	hash    consensus.Hash
	block   *consensus.Block
	payload []byte        // of a cmpctblock message
	judged  chan struct{} // closed when the ledger has taken or refused the block
	memory  int64

	mu    sync.Mutex             // guards what follows
	whole []byte                 // nil before it is asked for
	bare  []byte                 // without witnesses; likewise
	ids   map[consensus.Hash]int // places of transactions by both ids; likewise
}

func newCompactBlock(block *consensus.Block, hash consensus.Hash) (*compactBlock, bool) {
	m, ok := compactOf(block, randomNonce())
	if !ok {
		return nil, false
	}
	b := &compactBlock{hash: hash, block: block, payload: m.append(nil), judged: make(chan struct{})}
	b.memory = memoryOf(block) + int64(len(b.payload)) + int64(block.Size()+block.StrippedSize()+len(block.Txs)*2*perID) // once they are asked for
	return b, true
}

// encoding is the block as it is sent to those that ask for it whole.
func (b *compactBlock) encoding() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.whole == nil {
		b.whole = b.block.Bytes()
	}
	return b.whole
}

// stripped is the block without witnesses.
func (b *compactBlock) stripped() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bare == nil {
		b.bare = appendStripped(make([]byte, 0, b.block.StrippedSize()), b.block)
	}
	return b.bare
}

// find is the transaction that somebody asks for, if the block has it.
func (b *compactBlock) find(item invItem) (*consensus.Tx, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ids == nil {
		b.ids = make(map[consensus.Hash]int, 2*len(b.block.Txs))
		for i, tx := range b.block.Txs[1:] {
			b.ids[tx.WTxID()], b.ids[tx.TxID()] = i+1, i+1
		}
	}
	at, ok := b.ids[item.hash]
	if !ok {
		return nil, false
	}
	tx := b.block.Txs[at]
	return tx, item.kind != invWTx || tx.WTxID() == item.hash
}

func appendStripped(buf []byte, block *consensus.Block) []byte {
	buf = block.Header.Append(buf)
	buf = consensus.AppendCompactSize(buf, uint64(len(block.Txs)))
	for _, tx := range block.Txs {
		buf = tx.AppendStripped(buf)
	}
	return buf
}

// isJudged reports whether the ledger has taken or refused the block.
func (b *compactBlock) isJudged() bool {
	select {
	case <-b.judged:
		return true
	default:
		return false
	}
}

// blockCache holds recent blocks decoded: what many ask for at once is read and
// decoded once. The last that was announced is among them before the ledger has it,
// for peers may ask for parts of it then.
type blockCache struct {
	mu      sync.Mutex // guards what follows
	last    *compactBlock
	others  []*compactBlock // the one that was not asked for for longest comes first
	memory  int64           // of others
	loading map[consensus.Hash]chan struct{}
}

func (c *blockCache) get(hash consensus.Hash) (*compactBlock, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(hash)
}

// find is get for a caller that holds mu.
func (c *blockCache) find(hash consensus.Hash) (*compactBlock, bool) {
	if c.last != nil && c.last.hash == hash {
		return c.last, true
	}
	for i, b := range c.others {
		if b.hash == hash {
			copy(c.others[i:], c.others[i+1:])
			c.others[len(c.others)-1] = b
			return b, true
		}
	}
	return nil, false
}

// put keeps a block as the last that was announced, or reports false if it is kept
// already.
func (c *blockCache) put(b *compactBlock) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.find(b.hash); ok {
		return false
	}
	if before := c.last; before != nil {
		c.keep(before)
	}
	c.last = b
	return true
}

// keep makes room for a block among the others. The caller holds mu.
func (c *blockCache) keep(b *compactBlock) {
	c.others, c.memory = append(c.others, b), c.memory+b.memory
	for c.memory > maxCachedBlocks || len(c.others) > maxTxsDepth {
		c.memory -= c.others[0].memory
		c.others[0] = nil
		c.others = c.others[1:]
	}
}

// load gives a block from the cache, or has it read. Of many who want the same at
// once only one reads it.
func (c *blockCache) load(hash consensus.Hash, read func() (*compactBlock, bool)) (*compactBlock, bool) {
	for {
		c.mu.Lock()
		if b, ok := c.find(hash); ok {
			c.mu.Unlock()
			return b, true
		}
		others, busy := c.loading[hash]
		if !busy {
			break
		}
		c.mu.Unlock()
		<-others
	}
	done := make(chan struct{})
	if c.loading == nil {
		c.loading = make(map[consensus.Hash]chan struct{})
	}
	c.loading[hash] = done
	c.mu.Unlock()
	b, ok := read()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.loading, hash)
	close(done)
	if _, meanwhile := c.find(hash); ok && !meanwhile {
		c.keep(b)
	}
	return b, ok
}

// compact gives a stored block that may be kept decoded.
func (n *Node) compact(hash consensus.Hash) (*compactBlock, bool) {
	return n.compacts.load(hash, func() (*compactBlock, bool) {
		payload, err := n.chain.BlockBytes(hash)
		if err != nil {
			n.cannotServe(hash, err)
			return nil, false
		}
		block, err := consensus.DecodeBlock(payload)
		if err != nil {
			n.cannotServe(hash, err)
			return nil, false
		}
		b, ok := newCompactBlock(block, hash)
		if ok {
			b.whole = payload
			close(b.judged)
		}
		return b, ok
	})
}
