package explain

import (
	"fmt"

	"lode/consensus"
	"lode/mempool"
)

// maxNamed is how many transactions an answer names.
const maxNamed = 8

// waits says what stands between a transaction of the pool and a block.
func (e *Explainer) waits(info *mempool.Info) (list []Wait) {
	if n := len(info.Depends); n > 0 {
		list = append(list, Wait{"parents", fmt.Sprintf("%d unconfirmed transactions that it spends from must be in a block before it%s", info.Ancestors.Count-1, names(info.Depends))})
	}
	size, fees := max(1, info.Chunk.Size), info.Chunk.Fees
	rate := float64(fees) / float64(size)
	if least := float64(e.pool.Stats().Policy.BlockMin) / 1000; rate < least {
		list = append(list, Wait{"fee", fmt.Sprintf("with what it goes into a block with it pays %.3f sat/vB, and this node puts nothing below %.3f into its blocks", rate, least)})
	}
	ahead := e.ahead(rate)
	tip := e.chain.Tip()
	limit := e.chain.Rules().BlockWeightLimit(&tip)
	if blocks := ahead / limit; blocks > 0 {
		list = append(list, Wait{"room", fmt.Sprintf("transactions that pay more than its %.3f sat/vB fill %d blocks before it", rate, blocks)})
	}
	return append(list, Wait{"block", fmt.Sprintf("%d weight units of the mempool pay more than its %.3f sat/vB; a block has room for %d, so that it would be in the next block number %d", ahead, rate, limit, ahead/limit+1)})
}

// ahead is the weight of all that pays more than a fee rate in sat/vB.
func (e *Explainer) ahead(rate float64) int {
	weight, fees := 0, consensus.Amount(0)
	for _, c := range e.pool.Diagram() {
		if w := c.Weight - weight; w > 0 {
			if float64(c.Fees-fees)*consensus.WitnessScale/float64(w) <= rate {
				break
			}
			weight, fees = c.Weight, c.Fees
		}
	}
	return weight
}

// blockers says what in the pool stands in the way of a transaction that was refused.
func (e *Explainer) blockers(tx *consensus.Tx) (list []Wait) {
	for i := range tx.In {
		o := tx.In[i].PrevOut
		if by, ok := e.pool.Spender(o); ok && len(list) < maxNamed {
			list = append(list, Wait{"conflict", fmt.Sprintf("%s of the mempool spends the coin %s, too", by, o)})
		}
	}
	return list
}

// names lists the first few ids.
func names(ids []consensus.Hash) (text string) {
	for i, id := range ids {
		if i == maxNamed {
			return text + fmt.Sprintf(" and %d more", len(ids)-i)
		}
		if text += ", "; i == 0 {
			text = ": "
		}
		text += id.String()
	}
	return text
}
