package mempool

import (
	"errors"
	"fmt"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/mempool/linearize"
)

// The limits and the reasons of packages, as Bitcoin Core has them.
const (
	MaxPackage       = 25      // transactions
	maxPackageWeight = 404_000 // weight units

	ErrPackageCount     consensus.ErrorKind = "package-too-many-transactions"
	ErrPackageWeight    consensus.ErrorKind = "package-too-large"
	ErrPackageDuplicate consensus.ErrorKind = "package-contains-duplicates"
	ErrPackageOrder     consensus.ErrorKind = "package-not-sorted"
	ErrPackageConflict  consensus.ErrorKind = "conflict-in-package"
	ErrPackageShape     consensus.ErrorKind = "package-not-child-with-parents"
	ErrPackageTx        consensus.ErrorKind = "transaction failed" // see its error
	ErrPackageDust      consensus.ErrorKind = "unspent-dust"
	ErrPackageTwo       consensus.ErrorKind = "package RBF failed: package must be 1-parent-1-child"
	ErrPackageAncestors consensus.ErrorKind = "package RBF failed: new transaction cannot have mempool ancestors"
	ErrPackageMany      consensus.ErrorKind = "package RBF failed: too many potential replacements"
	ErrPackageFee       consensus.ErrorKind = "package RBF failed: insufficient anti-DoS fees"
	ErrPackageRate      consensus.ErrorKind = "package RBF failed: package feerate is less than or equal to parent feerate"
	ErrPackageDiagram   consensus.ErrorKind = "package RBF failed: insufficient feerate: does not improve feerate diagram"
	ErrMaxFeeRate       consensus.ErrorKind = "max feerate exceeded"
)

// PackageResult says what became of a package.
type PackageResult struct {
	Err      error             // why it did not come in, or not all of it
	Txs      []PackageTxResult // of each transaction; none if none was looked at
	Replaced []consensus.Hash
}

// PackageTxResult says what became of one transaction of a package.
type PackageTxResult struct {
	Err      error            // why it is not in the pool
	Entry    *Entry           // in the pool; nil if it is not there
	Same     *consensus.Hash  // the witness id of one in the pool that only differs in its witness
	Includes []consensus.Hash // the witness ids whose fees were judged together; none if it was there before
	Rate     FeeRate          // of those
}

// AddPackage takes in a transaction and, before it in the list, parents of it. A
// parent that does not pay enough by itself may come in together with the
// child. Nothing comes in that pays more than limit, if limit is not 0.
func (p *Pool) AddPackage(txs []*consensus.Tx, limit FeeRate) PackageResult {
	err := checkPackage(txs)
	if err == nil {
		err = checkChild(txs)
	}
	if err != nil {
		return PackageResult{Err: err}
	}
	res := PackageResult{Txs: make([]PackageTxResult, len(txs))}
	var together []*adding // what needs the others
	var at []int           // in txs
	failed := false
	for i, tx := range txs {
		if p.inPool(tx, &res.Txs[i]) {
			continue
		}
		a := &adding{tx: tx, packaged: true, limit: limit}
		p.addAll([]*adding{a})
		if a.err == nil {
			res.accepted([]*adding{a}, []int{i})
			continue
		}
		res.Txs[i].Err = a.err
		if len(txs) > 1 && (IsTooCheap(a.err) || errors.Is(a.err, consensus.ErrMissingInputs)) {
			together, at = append(together, a), append(at, i)
		} else {
			failed = true
		}
	}
	switch {
	case failed:
		res.Err = refuse(ErrPackageTx, "")
	case len(together) == 1: // it was tried
		res.Err = refuse(ErrPackageTx, "")
	case len(together) > 1:
		if res.Err = p.addTogether(together); res.Err == nil {
			res.accepted(together, at)
		} else {
			for k, a := range together {
				if a.err != nil {
					res.Txs[at[k]].Err = a.err
				}
			}
		}
	}
	p.finishPackage(txs, &res)
	return res
}

// accepted notes what came in and what it was judged with.
func (res *PackageResult) accepted(list []*adding, at []int) {
	var f feeSize
	var includes []consensus.Hash
	for _, a := range list {
		f.fee, f.size = f.fee+a.paid, f.size+a.entry.Size
		includes = append(includes, a.candidate.WTxID)
		res.Replaced = append(res.Replaced, txids(a.candidate.replaced)...)
	}
	for k, a := range list {
		res.Txs[at[k]] = PackageTxResult{Entry: a.entry, Includes: includes, Rate: RateOf(f.fee, f.size)}
	}
}

// inPool fills in the result for a transaction that is in the pool already.
func (p *Pool) inPool(tx *consensus.Tx, res *PackageTxResult) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.graph.Tx(tx.TxID())
	if !ok {
		return false
	}
	if res.Entry = &n.Entry; n.WTxID != tx.WTxID() {
		res.Same = &n.WTxID
	}
	return true
}

// finishPackage evicts what is too much, which had to wait for the child, and
// announces what has come in.
func (p *Pool) finishPackage(txs []*consensus.Tx, res *PackageResult) {
	p.mu.Lock()
	p.trim()
	for i, tx := range txs {
		if _, ok := p.graph.Tx(tx.TxID()); !ok && res.Txs[i].Err == nil {
			res.Txs[i] = PackageTxResult{Err: refuse(ErrFull, "")}
			res.Err = refuse(ErrPackageTx, "")
		}
	}
	p.mu.Unlock()
	for i := range res.Txs {
		if t := &res.Txs[i]; t.Err == nil && len(t.Includes) > 0 {
			p.announce(t.Entry)
		}
	}
}

// addTogether adds transactions, parents before the child, whose fees are judged
// together. Either all come in or none.
func (p *Pool) addTogether(list []*adding) error {
	for _, a := range list {
		a.err = nil
	}
	var seen uint64
	err := p.locked(func(r *chain.Reader) error {
		seen = p.change
		return p.examinePackage(r, list, inPackage)
	})
	if err == nil {
		_, err = p.verifyPackage(list)
	}
	if err != nil {
		return err
	}
	return p.locked(func(r *chain.Reader) error {
		if seen != p.change {
			if err := p.examinePackage(r, list, inPackage); err != nil {
				return err
			}
		}
		for _, a := range list {
			if a.entry, a.paid = &a.candidate.Entry, a.candidate.Modified; !a.time.IsZero() {
				a.entry.Time = a.time
			}
		}
		p.commit(list[0].candidate.change)
		p.came(list[0].candidate.change)
		return nil
	})
}

// verifyPackage verifies the signatures of all; good is how many come before the
// first that fails, the only one with an error of its own.
func (p *Pool) verifyPackage(list []*adding) (good int, err error) {
	p.verify(list)
	for i, a := range list {
		if a.err != nil {
			for _, later := range list[i+1:] {
				later.err = nil
			}
			return i, refuse(ErrPackageTx, "")
		}
	}
	return len(list), nil
}

// TestPackage is AddPackage for transactions that need not be a child and its
// parents, without taking any in. Each has to pay for itself, and none may replace
// others; but one by itself is tested as Add takes it. A transaction that was not
// looked at to its end, for the sake of another, has neither an error nor an
// entry; err is for all of them.
func (p *Pool) TestPackage(txs []*consensus.Tx) (results []PackageTxResult, err error) {
	results = make([]PackageTxResult, len(txs))
	if len(txs) == 1 {
		c, err := p.test(txs[0])
		if results[0].Err = err; err == nil {
			results[0] = c.tested()
		}
		return results, nil
	}
	if err := checkPackage(txs); err != nil {
		return results, err
	}
	list := make([]*adding, len(txs))
	for i, tx := range txs {
		list[i] = &adding{tx: tx}
		list[i].candidate, list[i].err = p.prepare(tx)
	}
	good := 0
	if err = p.locked(func(r *chain.Reader) error { return p.examinePackage(r, list, tested) }); err == nil {
		good, err = p.verifyPackage(list)
	}
	for i, a := range list {
		if results[i].Err = a.err; i < good {
			results[i] = a.candidate.tested()
		}
	}
	if errors.Is(err, ErrPackageTx) || errors.Is(err, ErrPackageDust) {
		err = nil // it is the transaction's
	}
	return results, err
}

// tested is what a test says of one that would come in.
func (c *candidate) tested() PackageTxResult {
	return PackageTxResult{Entry: &c.Entry, Includes: []consensus.Hash{c.WTxID}, Rate: RateOf(c.Modified, c.Size)}
}

// examinePackage is examine for several. The error is that of the package; where
// it is a transaction's, that has it too, and those after it have none. The
// caller holds mu.
func (p *Pool) examinePackage(r *chain.Reader, list []*adding, t terms) error {
	var with []*candidate
	var nodes []*Node
	var direct []*Node
	var f feeSize
	for i, a := range list {
		if a.err = p.lookPackaged(r, a, t, with); a.err != nil {
			for _, later := range list[i+1:] {
				later.err = nil
			}
			return refuse(ErrPackageTx, "")
		}
		c := a.candidate
		c.Seq, c.replaced = p.graph.Next(), nil
		with, nodes, direct = append(with, c), append(nodes, c.Node), append(direct, p.graph.Conflicts(c.Tx)...)
		f.fee, f.size = f.fee+c.Modified, f.size+c.Size
	}
	for _, c := range with {
		if err := checkPackageTRUC(c, with); err != nil {
			return err
		}
	}
	if last := list[len(list)-1]; t == inPackage {
		if last.err = p.checkFee(f); last.err != nil {
			return refuse(ErrPackageTx, "")
		}
	}
	c := with[0] // which stands for all
	var err error
	if len(direct) == 0 {
		c.change, err = p.stage(nil, nodes)
	} else {
		err = p.replaceTogether(with, direct, f)
	}
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.err = p.checkDustSpent(a.candidate.Node); a.err != nil {
			return refuse(ErrPackageDust, "")
		}
	}
	return nil
}

// lookPackaged is look for one of several; with are those before it.
func (p *Pool) lookPackaged(r *chain.Reader, a *adding, t terms, with []*candidate) error {
	if a.err != nil {
		return a.err
	}
	c := a.candidate
	if err := p.look(r, c, t, with); err != nil {
		return err
	}
	var pooled []*Node
	for _, parent := range c.Parents {
		if parent.Cluster != nil {
			pooled = append(pooled, parent)
		}
	}
	if sibling, err := checkTRUC(c.Node, pooled, p.graph.Conflicts(c.Tx)); err != nil {
		return err
	} else if sibling != nil {
		return manyDescendants(pooled[0])
	}
	return c.checkLimit()
}

// replaceTogether is replace for a parent and its child.
func (p *Pool) replaceTogether(list []*candidate, direct []*Node, f feeSize) error {
	if len(list) != 2 {
		return refuse(ErrPackageTwo, "")
	}
	parent, child := list[0], list[1]
	if len(parent.Parents) > 0 || len(child.Parents) > 1 {
		return refuse(ErrPackageAncestors, "")
	}
	clusters := make(map[*Cluster]struct{})
	for _, n := range direct {
		clusters[n.Cluster] = struct{}{}
	}
	if most := p.cfg.Policy.MaxReplaced; len(clusters) > most {
		return refuse(ErrPackageMany, "rejecting replacement %s; too many conflicting clusters (%d > %d)", child.TxID, len(clusters), most)
	}
	parent.replaced = FamilyOf(direct, (*Node).Down)
	if detail, ok := p.paysFor(f, parent.replaced, child.TxID); !ok {
		return refuse(ErrPackageFee, "%s", detail)
	}
	if linearize.CompareRates(f.fee, f.size, parent.Modified, parent.Size) <= 0 {
		return refuse(ErrPackageRate, "package feerate %s <= parent feerate is %s", rateText(f), rateText(feeSize{parent.Modified, parent.Size}))
	}
	var err error
	if parent.change, err = p.stage(parent.replaced, []*Node{parent.Node, child.Node}); err != nil {
		return err
	}
	if !parent.change.Improves() {
		return refuse(ErrPackageDiagram, "")
	}
	return nil
}

func rateText(f feeSize) string {
	return fmt.Sprintf("%s BTC/kvB", consensus.Amount(RateOf(f.fee, f.size)))
}

// checkPackage checks what any package must be.
func checkPackage(txs []*consensus.Tx) error {
	if len(txs) > MaxPackage {
		return refuse(ErrPackageCount, "")
	}
	weight := 0
	later := make(map[consensus.Hash]struct{}, len(txs))
	for _, tx := range txs {
		weight += tx.Weight()
		later[tx.TxID()] = struct{}{}
	}
	switch {
	case len(txs) > 1 && weight > maxPackageWeight:
		return refuse(ErrPackageWeight, "")
	case len(later) < len(txs):
		return refuse(ErrPackageDuplicate, "")
	}
	for _, tx := range txs {
		for i := range tx.In {
			if _, ok := later[tx.In[i].PrevOut.TxID]; ok {
				return refuse(ErrPackageOrder, "")
			}
		}
		delete(later, tx.TxID())
	}
	spent := make(map[consensus.OutPoint]struct{})
	for _, tx := range txs {
		if len(tx.In) == 0 {
			return refuse(ErrPackageConflict, "")
		}
		for i := range tx.In {
			if _, ok := spent[tx.In[i].PrevOut]; ok {
				return refuse(ErrPackageConflict, "")
			}
		}
		for i := range tx.In {
			spent[tx.In[i].PrevOut] = struct{}{}
		}
	}
	return nil
}

// checkChild makes sure that all are parents of the last.
func checkChild(txs []*consensus.Tx) error {
	if len(txs) == 0 {
		return refuse(ErrPackageShape, "it is empty")
	}
	child := txs[len(txs)-1]
	for _, tx := range txs[:len(txs)-1] {
		id := tx.TxID()
		if !slices.ContainsFunc(child.In, func(in consensus.TxIn) bool { return in.PrevOut.TxID == id }) {
			return refuse(ErrPackageShape, "")
		}
	}
	return nil
}
