package mempool

import (
	"unsafe"

	"lode/consensus"
)

// What a transaction of the pool takes besides its own bytes: its node, a
// cluster with a chunk and their lists, and two entries in maps of transactions.
const (
	mapLoad     = 2 // a Go map is between 7/16 and 7/8 full
	entryMemory = int(unsafe.Sizeof(Node{})+unsafe.Sizeof(Cluster{})+unsafe.Sizeof(Chunk{})+unsafe.Sizeof(consensus.Tx{})) + 4*8 +
		2*mapLoad*int(unsafe.Sizeof(consensus.Hash{})+8)
	inMemory  = int(unsafe.Sizeof(consensus.TxIn{})) + mapLoad*int(unsafe.Sizeof(consensus.OutPoint{})+8)
	outMemory = int(unsafe.Sizeof(consensus.TxOut{}))
	// linkMemory is for the parent's and the child's list of each other, should
	// the coin be one that the pool makes.
	linkMemory = 2 * 8
)

// Memory estimates the bytes of memory that tx takes in the pool. It depends on
// nothing else, so that what goes gives back what it took.
func Memory(tx *consensus.Tx) int {
	n := entryMemory + len(tx.In)*(inMemory+linkMemory) + len(tx.Out)*outMemory
	for i := range tx.In {
		n += allocated(len(tx.In[i].ScriptSig)) + allocated(len(tx.In[i].Witness)*int(unsafe.Sizeof([]byte{})))
		for _, item := range tx.In[i].Witness {
			n += allocated(len(item))
		}
	}
	for i := range tx.Out {
		n += allocated(len(tx.Out[i].Script))
	}
	return n
}

// allocated rounds up to what an allocation of n bytes takes, about.
func allocated(n int) int { return (n + 15) &^ 15 }
