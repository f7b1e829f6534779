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
func (p *Pool) replace(c *candidate, direct []*Node, sibling bool) error {
	many, fee := ErrManyReplaced, ErrReplaceFee
	if sibling {
		many, fee = ErrManyReplacedSibling, ErrReplaceFeeSibling
	}
	var clusters []*Cluster
	for _, n := range direct {
		if !slices.Contains(clusters, n.Cluster) {
			clusters = append(clusters, n.Cluster)
		}
	}
	most := p.cfg.Policy.MaxReplaced
	if t := c.trace; t != nil {
		t.Rule(siblingRule(ruleManyReplaced, sibling), "conflicting clusters", len(clusters), "limit", most)
	}
	if len(clusters) > most {
		return refuse(many, "rejecting replacement %s; too many conflicting clusters (%d > %d)", c.TxID, len(clusters), most)
	}
	c.replaced = FamilyOf(direct, (*Node).Down)
	detail, ok := p.paysFor(feeSize{c.Modified, c.Size}, c.replaced, c.TxID)
	if t := c.trace; t != nil {
		t.Rule(siblingRule(ruleReplaceFee, sibling), "fee", c.Modified, "replaced transactions", len(c.replaced), "increment", p.cfg.Policy.Increment.Fee(c.Size))
	}
	if !ok {
		return tooCheap(refuse(fee, "%s", detail))
	}
	var err error
	if t := c.trace; t != nil {
		t.Rule(ruleCluster, "unconfirmed parents", len(c.Parents), "most transactions", p.cfg.Policy.MaxCluster, "most virtual bytes", p.cfg.Policy.MaxClusterSize)
	}
	if c.change, err = p.stage(c.replaced, []*Node{c.Node}); err != nil {
		return err
	}
	if t := c.trace; t != nil {
		t.Rule(ruleReplaceRate, "improves", c.change.Improves())
	}
	if !c.change.Improves() {
		return tooCheap(refuse(ErrReplaceRate, "insufficient feerate: does not improve feerate diagram"))
	}
	ancestors := FamilyOf(slices.Clone(c.Parents), (*Node).Up)
	SortByTxID(ancestors)
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
func (p *Pool) paysFor(f feeSize, gone []*Node, id consensus.Hash) (detail string, ok bool) {
	var fees consensus.Amount
	for _, n := range gone {
		fees += n.Modified
	}
	if f.fee < fees {
		return fmt.Sprintf("rejecting replacement %s, less fees than conflicting txs; %s < %s", id, consensus.FormatMoney(f.fee), consensus.FormatMoney(fees)), false
	}
	if more, least := f.fee-fees, p.cfg.Policy.Increment.Fee(f.size); more < least {
		return fmt.Sprintf("rejecting replacement %s, not enough additional fees to relay; %s < %s", id, consensus.FormatMoney(more), consensus.FormatMoney(least)), false
	}
	return "", true
}

// Improves reports whether the fee rate diagram of the clusters that change gets
// better.
func (c *Change) Improves() bool { return linearize.Improves(Diagram(c.New), Diagram(c.Old)) }

// Diagram lists the chunks of clusters from the best paying on: their fee
// rate diagram.
func Diagram(clusters []*Cluster) (chunks []linearize.FeeWeight) {
	for _, c := range clusters {
		for i := range c.Chunks {
			chunks = append(chunks, c.Chunks[i].FeeWeight)
		}
	}
	slices.SortFunc(chunks, func(a, b linearize.FeeWeight) int { return b.Compare(a) })
	return chunks
}
