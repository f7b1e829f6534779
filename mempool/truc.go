package mempool

import "slices"

// Transactions of version 3 promise to be topologically restricted until they
// are confirmed (BIP431): at most one parent and one child, and small ones.
const (
	trucVersion   = 3
	trucSize      = 10_000 // most virtual bytes
	trucChildSize = 1000   // of one with an unconfirmed parent
)

// checkTRUC applies BIP431 to n, which has these parents in the pool and conflicts
// with direct. sibling is another child of its parent, which n may replace.
func checkTRUC(n *Node, parents, direct []*Node) (sibling *Node, err error) {
	for _, parent := range parents {
		if err := checkInheritance(n, parent); err != nil {
			return nil, err
		}
	}
	switch {
	case n.Tx.Version != trucVersion:
		return nil, nil
	case n.Size > trucSize:
		return nil, refuse(ErrTRUC, "version=3 tx %s (wtxid=%s) is too big: %d > %d virtual bytes", n.TxID, n.WTxID, n.Size, trucSize)
	case len(parents) == 0:
		return nil, nil
	case len(parents) > 1 || len(parents[0].Parents) > 0:
		return nil, manyAncestors(n)
	}
	if err := checkChildSize(n); err != nil {
		return nil, err
	}
	parent := parents[0]
	others := parent.Relatives((*Node).Down)[1:]
	if len(others) == 0 || slices.ContainsFunc(others, func(other *Node) bool { return slices.Contains(direct, other) }) {
		return nil, nil
	}
	if len(others) == 1 && len(others[0].Parents) == 1 {
		return others[0], nil
	}
	return nil, manyDescendants(parent)
}

func checkInheritance(n, parent *Node) error {
	const text = "tx %s (wtxid=%s) cannot spend from "
	switch is, its := n.Tx.Version == trucVersion, parent.Tx.Version == trucVersion; {
	case its && !is:
		return refuse(ErrTRUC, "non-version=3 "+text+"version=3 tx %s (wtxid=%s)", n.TxID, n.WTxID, parent.TxID, parent.WTxID)
	case is && !its:
		return refuse(ErrTRUC, "version=3 "+text+"non-version=3 tx %s (wtxid=%s)", n.TxID, n.WTxID, parent.TxID, parent.WTxID)
	}
	return nil
}

func checkChildSize(n *Node) error {
	if n.Size > trucChildSize {
		return refuse(ErrTRUC, "version=3 child tx %s (wtxid=%s) is too big: %d > %d virtual bytes", n.TxID, n.WTxID, n.Size, trucChildSize)
	}
	return nil
}

func manyAncestors(n *Node) error {
	return refuse(ErrTRUC, "tx %s (wtxid=%s) would have too many ancestors", n.TxID, n.WTxID)
}

func manyDescendants(parent *Node) error {
	return refuse(ErrTRUC, "tx %s (wtxid=%s) would exceed descendant count limit", parent.TxID, parent.WTxID)
}

// checkPackageTRUC applies BIP431 to c in a package, after checkTRUC for its
// parents in the pool; with are all of the package.
func checkPackageTRUC(c *candidate, with []*candidate) error {
	if c.Tx.Version != trucVersion {
		for _, other := range with {
			if !slices.Contains(c.Parents, other.Node) {
				continue
			}
			if err := checkInheritance(c.Node, other.Node); err != nil {
				return err
			}
		}
		return nil
	}
	if len(c.Parents) == 0 {
		return nil
	}
	parent := c.Parents[0]
	if len(c.Parents) > 1 || parent.Cluster != nil && len(parent.Parents) > 0 {
		return manyAncestors(c.Node)
	}
	if err := checkChildSize(c.Node); err != nil {
		return err
	}
	if err := checkInheritance(c.Node, parent); err != nil {
		return err
	}
	for _, other := range with {
		if other == c {
			continue
		}
		for i := range other.Tx.In {
			switch other.Tx.In[i].PrevOut.TxID {
			case parent.TxID:
				return manyDescendants(parent)
			case c.TxID:
				return manyAncestors(other.Node)
			}
		}
	}
	if len(parent.Children) > 0 {
		return manyDescendants(parent)
	}
	return nil
}
