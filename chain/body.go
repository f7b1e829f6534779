package chain

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"

	"lode/chain/blockfile"
	"lode/consensus"
)

// What leaves the block store is what came, or it is refused. The record of a
// block in the database has a checksum (CRC-32C) of the bytes that were checked
// against the block's header when they were stored, and every read compares
// them. A block from before there were checksums is checked against its header,
// by merkle root and witness commitment, the first time that it is read; then it
// gets one too. The rules are not applied again, but where that is what was asked
// for: see proveAgain. Nothing is ever believed because of the hash of its header
// alone, which does not commit to all of a block's bytes.
//
// Undo data carries a checksum of its own, see appendUndo, and transactions that
// an index points to have one in the index.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// setBody notes where the block lies, whose bytes have been checked. The
// caller holds Chain.mu.
func (k *kept) setBody(p blockfile.Position, payload []byte) {
	k.body, k.sum = p, checksum(payload)
	k.status = k.status&^statusPruned | statusSummed // one that was pruned may be wanted again
	k.count(payload)
}

// sumOf is the checksum of the block of n, if there is one.
func (c *Chain) sumOf(n *node) (sum uint32, ok bool) {
	if n.Own.has(statusSummed) {
		return n.Own.sum, true
	}
	c.lossMu.Lock()
	defer c.lossMu.Unlock()
	sum, ok = c.proven[n.Hash()]
	return sum, ok
}

// readBody reads the block of n. checked says that the bytes are those that were
// stored; else only the header is known to be. n may be a copy.
func (c *Chain) readBody(n *node) (payload []byte, checked bool, err error) {
	switch {
	case n.Own.has(statusPruned):
		return nil, false, fmt.Errorf("%w: block %s at height %d", ErrPruned, n.Hash(), n.Height())
	case n.Parent() == nil: // whatever became of it on disk
		return c.rules.Genesis().Bytes(), true, nil
	case !n.IsStored():
		return nil, false, fmt.Errorf("%w: only the header of %s is known", ErrNotFound, n.Hash())
	}
	payload, err = c.blocks.Read(n.Own.body)
	if err == nil {
		var sum uint32
		if sum, checked = c.sumOf(n); checked && checksum(payload) != sum {
			err = fmt.Errorf("%w: its checksum differs", blockfile.ErrRecord)
		} else if !bytes.HasPrefix(payload, n.Header().Append(nil)) {
			err = fmt.Errorf("%w: it has another header", blockfile.ErrRecord)
		}
	}
	if errors.Is(err, blockfile.ErrRecord) {
		err = damaged("block", n, err)
	}
	return payload, checked, err
}

// bodyBytes reads the block of n, and makes sure that it is the one that was
// stored. n may be a copy.
func (c *Chain) bodyBytes(n *node) ([]byte, error) {
	payload, checked, err := c.readBody(n)
	if err == nil && !checked {
		_, err = c.prove(n, payload, false)
	}
	if err != nil {
		return nil, err
	}
	return payload, nil
}

// prove makes sure that the bytes of a block are those that its header commits to, and
// keeps in mind the checksum of a block that has none; whole says that a checksum has
// shown it. n may be a copy.
func (c *Chain) prove(n *node, payload []byte, whole bool) (*consensus.CheckedBlock, error) {
	block, err := consensus.DecodeBlock(payload)
	if err != nil {
		return nil, damaged("block", n, err)
	}
	p, err := c.rules.Stored(block, n.Header(), n.Hash(), whole)
	if err != nil {
		return nil, damaged("block", n, err)
	}
	if n.Parent() != nil && !n.Own.has(statusSummed) {
		c.lossMu.Lock()
		defer c.lossMu.Unlock()
		c.proven[n.Hash()] = checksum(payload)
	}
	return p, nil
}

// proveAgain is prove by every rule that needs no coins, for who wants to know whether
// a block keeps them. n may be a copy.
func (c *Chain) proveAgain(n *node, payload []byte) (*consensus.CheckedBlock, error) {
	p, err := c.prove(n, payload, false)
	if err != nil || n.Parent() == nil {
		return p, err
	}
	if p, err = c.rules.CheckBlock(p.Block()); err == nil {
		err = c.rules.CheckBlockAfter(n.Parent().State(), p)
	}
	if err != nil {
		return nil, damaged("block", n, err)
	}
	return p, nil
}

// parse reads the block of n, and makes sure that it is the one that was stored.
// The caller holds mu, if only for reading.
func (c *Chain) parse(n *node) (*consensus.CheckedBlock, error) {
	if p, ok := c.held[n]; ok {
		return p, nil
	}
	if !n.IsStored() && !n.Own.has(statusPruned) {
		return nil, damaged("block", n, errGone)
	}
	p, err := c.parseStored(n)
	if errors.Is(err, ErrDamaged) {
		c.lose(n, err)
	}
	return p, err
}

// parseStored is parse without the blocks that are held in memory. n may be a
// copy.
func (c *Chain) parseStored(n *node) (*consensus.CheckedBlock, error) {
	payload, whole, err := c.readBody(n)
	if err != nil {
		return nil, err
	}
	return c.prove(n, payload, whole)
}

// parseAgain is parseStored with proveAgain.
func (c *Chain) parseAgain(n *node) (*consensus.CheckedBlock, error) {
	payload, _, err := c.readBody(n)
	if err != nil {
		return nil, err
	}
	return c.proveAgain(n, payload)
}

// spent reads the coins that the block of n spent. n may be a copy.
func (c *Chain) spent(n *node) ([]consensus.Coin, error) {
	if n.Parent() == nil {
		return nil, nil
	}
	if !n.Own.has(statusUndo) {
		return nil, fmt.Errorf("%w: %s was never connected", ErrNotFound, n.Hash())
	}
	payload, err := c.undos.Read(n.Own.undo)
	if errors.Is(err, blockfile.ErrRecord) {
		return nil, damaged("undo data of block", n, err)
	}
	if err != nil {
		return nil, err
	}
	spent, err := readUndo(payload, n.Hash())
	if err != nil {
		return nil, damaged("undo data of block", n, err)
	}
	return spent, nil
}
