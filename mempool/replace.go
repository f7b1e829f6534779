package mempool

import (
	"fmt"
	"slices"

	"lode/consensus"
	"lode/mempool/linearize"
)

// replace stages c in the place of those that it conflicts with and all that
// depends on them, if a miner prefers that and it pays for its relay. sibling
// says that one of those is there only for BIP431.
func (p *Pool) replace(c *candidate, direct []*node, sibling bool) error {
	many, fee := ErrManyReplaced, ErrReplaceFee
	if sibling {
		many, fee = ErrManyReplacedSibling, ErrReplaceFeeSibling
	}
	var clusters []*cluster
	for _, n := range direct {
		if !slices.Contains(clusters, n.cluster) {
			clusters = append(clusters, n.cluster)
		}
	}
	most := p.cfg.Policy.MaxReplaced
	if t := c.trace; t != nil {
		t.Rule(siblingRule(ruleManyReplaced, sibling), "conflicting clusters", len(clusters), "limit", most)
	}
	if len(clusters) > most {
		return refuse(many, "rejecting replacement %s; too many conflicting clusters (%d > %d)", c.TxID, len(clusters), most)
	}
	c.replaced = family(direct, (*node).down)
	detail, ok := p.paysFor(feeSize{c.fee, c.Size}, c.replaced, c.TxID)
	if t := c.trace; t != nil {
		t.Rule(siblingRule(ruleReplaceFee, sibling), "fee", c.fee, "replaced transactions", len(c.replaced), "increment", p.cfg.Policy.Increment.Fee(c.Size))
	}
	if !ok {
		return tooCheap(refuse(fee, "%s", detail))
	}
	var err error
	if t := c.trace; t != nil {
		t.Rule(ruleCluster, "unconfirmed parents", len(c.parents), "most transactions", p.cfg.Policy.MaxCluster, "most virtual bytes", p.cfg.Policy.MaxClusterSize)
	}
	if c.change, err = p.stage(c.replaced, []*node{c.node}); err != nil {
		return err
	}
	if t := c.trace; t != nil {
		t.Rule(ruleReplaceRate, "improves", c.change.improves())
	}
	if !c.change.improves() {
		return tooCheap(refuse(ErrReplaceRate, "insufficient feerate: does not improve feerate diagram"))
	}
	ancestors := family(slices.Clone(c.parents), (*node).up)
	sortByTxID(ancestors)
	if t := c.trace; t != nil {
		t.Rule(ruleSpendsConflict, "unconfirmed ancestors", len(ancestors), "replaced", len(direct))
	}
	for _, n := range ancestors {
		if slices.Contains(direct, n) {
			return refuse(ErrSpendsConflict, "%s spends conflicting transaction %s", c.TxID, n.TxID)
		}
	}
	return nil
}

// paysFor reports whether f pays for what goes, and for its own relay; else
// detail says why not.
func (p *Pool) paysFor(f feeSize, gone []*node, id consensus.Hash) (detail string, ok bool) {
	var fees consensus.Amount
	for _, n := range gone {
		fees += n.fee
	}
	if f.fee < fees {
		return fmt.Sprintf("rejecting replacement %s, less fees than conflicting txs; %s < %s", id, consensus.FormatMoney(f.fee), consensus.FormatMoney(fees)), false
	}
	if more, least := f.fee-fees, p.cfg.Policy.Increment.Fee(f.size); more < least {
		return fmt.Sprintf("rejecting replacement %s, not enough additional fees to relay; %s < %s", id, consensus.FormatMoney(more), consensus.FormatMoney(least)), false
	}
	return "", true
}

// improves reports whether the fee rate diagram of the clusters that change gets
// better.
func (c *change) improves() bool { return linearize.Improves(sortedChunks(c.new), sortedChunks(c.old)) }

// sortedChunks lists the chunks of clusters from the best paying on: their fee
// rate diagram.
func sortedChunks(clusters []*cluster) (chunks []linearize.FeeWeight) {
	for _, c := range clusters {
		for i := range c.chunks {
			chunks = append(chunks, c.chunks[i].FeeWeight)
		}
	}
	slices.SortFunc(chunks, func(a, b linearize.FeeWeight) int { return b.Compare(a) })
	return chunks
}
