package mempool

import (
	"lode/chain"
	"lode/consensus"
)

// What a trace names, besides the rules of package consensus, in the order in which a
// transaction meets it.
var (
	ruleNoCoinbase      = rule(ErrCoinbase, "a coinbase stands in a block alone", "Bitcoin")
	ruleVersion         = rule(ErrVersion, "the version is one that peers relay", "policy; BIP431")
	ruleTxSize          = rule(ErrTxSize, "the weight is within this node's limit", "policy")
	ruleScriptSigSize   = rule(ErrScriptSigSize, "no scriptSig is too large", "policy")
	ruleScriptSigPush   = rule(ErrScriptSigNotPush, "a scriptSig does nothing but push", "policy; BIP62")
	ruleDataPush        = rule(ErrScriptPubKey, "data outputs do nothing but push", "policy")
	ruleData            = rule(ErrDataCarrier, "data outputs together are within this node's limit", "policy")
	ruleDust            = rule(ErrDust, "at most one output is worth less than it costs to spend", "policy")
	ruleTxSmall         = rule(ErrTxSizeSmall, "it cannot pass for an inner node of a merkle tree", "policy; CVE-2017-12842")
	ruleFinal           = rule(ErrNonFinal, "the lock time allows it in the next block", "BIP113")
	ruleKnown           = rule(ErrKnown, "it is not in the mempool", "Bitcoin")
	ruleSameTxID        = rule(ErrSameTxID, "nor is the same with another witness", "BIP141")
	ruleConfirmed       = rule(ErrConfirmed, "none of its own coins is there already", "Bitcoin")
	ruleCoins           = rule(consensus.ErrMissingInputs, "each coin that it spends is there, or made in the mempool", "Bitcoin")
	ruleSequence        = rule(ErrNonBIP68Final, "the coins are as old as the sequence numbers want, in the next block", "BIP68")
	ruleStandardWitness = rule(ErrWitness, "the witnesses have an agreed meaning", "policy; BIP341")
	ruleDustFee         = rule(ErrDust, "what makes dust pays no fee, so that only a child can pay for it", "policy")
	ruleMinRelay        = rule(ErrMinRelayFee, "the fee is at least what this node relays for", "policy")
	ruleMempoolFee      = rule(ErrMempoolFee, "the fee is at least that of what was evicted last", "policy")
	ruleTRUC            = rule(ErrTRUC, "version 3 has one small child, and one parent", "BIP431")
	ruleManyReplaced    = rule(ErrManyReplaced, "what it replaces belongs to few clusters", "policy; BIP125")
	ruleReplaceFee      = rule(ErrReplaceFee, "it pays for what it replaces, and for its own relay", "policy; BIP125")
	ruleCluster         = rule(ErrClusterSize, "the transactions that hang together are few and small enough", "policy")
	ruleReplaceRate     = rule(ErrReplaceRate, "a miner earns more with it than with what it replaces", "policy")
	ruleSpendsConflict  = rule(ErrSpendsConflict, "it does not spend what it replaces", "Bitcoin")
	ruleDustSpent       = rule(ErrDustUnspent, "it spends all dust of its parents", "policy")

	ruleManyReplacedSibling = rule(ErrManyReplacedSibling, ruleManyReplaced.Text, "policy; BIP431")
	ruleReplaceFeeSibling   = rule(ErrReplaceFeeSibling, ruleReplaceFee.Text, "policy; BIP431")
)

func rule(kind consensus.ErrorKind, text, source string) *consensus.Rule {
	return &consensus.Rule{Kind: kind, Text: text, Source: source}
}

// siblingRule is what a rule is called where another child of a parent goes (BIP431).
func siblingRule(r *consensus.Rule, sibling bool) *consensus.Rule {
	switch {
	case sibling && r == ruleManyReplaced:
		return ruleManyReplacedSibling
	case sibling && r == ruleReplaceFee:
		return ruleReplaceFeeSibling
	}
	return r
}

// rules are those of the network, which tell t what they check if it is not nil.
func (p *Pool) rules(t *consensus.Trace) *consensus.Rules {
	if t == nil {
		return p.cfg.Ledger.Rules()
	}
	return p.cfg.Ledger.Rules().Traced(t)
}

// Explain is Test, and has t told of each rule. A transaction of the pool, which would be
// refused as known, is looked at as if it were not there, as far as other transactions of
// the pool do not matter.
func (p *Pool) Explain(tx *consensus.Tx, t *consensus.Trace) (*Entry, error) {
	c, err := p.explain(tx, t)
	t.Fail(err)
	if err != nil {
		return nil, err
	}
	return &c.Entry, nil
}

func (p *Pool) explain(tx *consensus.Tx, t *consensus.Trace) (*candidate, error) {
	c, err := p.prepareTraced(tx, t)
	if err != nil {
		return nil, err
	}
	err = p.locked(func(r *chain.Reader) error {
		if _, ok := p.graph.WTx(c.WTxID); ok {
			return p.look(r, c, inside, nil)
		}
		return p.examine(r, c, alone)
	})
	if err != nil {
		return nil, err
	}
	checks := c.checks()
	err = p.cfg.Sigs.Verify(checks)
	t.Spends(checks, err)
	t.Fail(err) // by the name that the rules have for it
	return c, c.scriptError(err)
}
