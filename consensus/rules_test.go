package consensus_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"sync"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// ruleCase is one block on a chain of 110 empty blocks, of which coinbases 1 to
// 11 may be spent in it. kind is empty for a good block.
type ruleCase struct {
	name   string
	kind   consensus.ErrorKind
	reason string // if it is not the kind
	block  func(c *testchain.Chain) *consensus.Block
}

const baseHeight = 110

var baseChain = sync.OnceValue(func() *testchain.Chain { return testchain.Regtest(baseHeight) })

func runRules(t *testing.T, cases []ruleCase) {
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := baseChain().Clone()
			b := tc.block(c)
			_, err := c.Check(b)
			checkExplanation(t, c, b, err)
			if tc.kind == "" {
				if err != nil {
					t.Fatalf("good block refused: %v", err)
				}
				return
			}
			if !errors.Is(err, tc.kind) {
				t.Fatalf("got %v, want %q", err, tc.kind)
			}
			want := tc.reason
			if want == "" {
				want = string(tc.kind)
			}
			if got, ok := consensus.BlockReason(err); !ok || got != want {
				t.Errorf("reason is %q, want %q", got, want)
			}
		})
	}
}

// TestEveryRuleHasACase reads the kinds of errors from their source and wants
// each in a table.
func TestEveryRuleHasACase(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A block with a transaction that is too large is itself too large, so only
	// a single transaction meets that rule: TestTxOversize.
	tested := []consensus.ErrorKind{consensus.ErrTxOversize}
	for _, table := range [][]ruleCase{headerRules, blockRules, txRules, spendRules} {
		for _, tc := range table {
			tested = append(tested, tc.kind)
		}
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "ErrorKind" {
			return true
		}
		n++
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(tested, consensus.ErrorKind(text)) {
			t.Errorf("no block breaks the rule %s (%s)", spec.Names[0].Name, text)
		}
		return true
	})
	if n < 30 {
		t.Errorf("only %d kinds found", n)
	}
}

func TestHeaderRules(t *testing.T) { runRules(t, headerRules) }
func TestBlockRules(t *testing.T)  { runRules(t, blockRules) }
func TestTxRules(t *testing.T)     { runRules(t, txRules) }
func TestSpendRules(t *testing.T)  { runRules(t, spendRules) }

func TestTxOversize(t *testing.T) {
	r := baseChain().Rules
	one := testchain.Unsigned([]consensus.OutPoint{{Index: 1}}, consensus.TxOut{})
	one.Out[0].Script = dataOps(0, maxWeight/4-one.StrippedSize()-5) // 5: one byte, and four of length
	if err := r.CheckTx(one); one.StrippedSize()*4 != maxWeight || err != nil {
		t.Errorf("%d bytes are refused: %v", one.StrippedSize(), err)
	}
	one.Out[0].Script = append(one.Out[0].Script, 0)
	if err := r.CheckTx(one); !errors.Is(err, consensus.ErrTxOversize) {
		t.Errorf("one byte more: %v", err)
	}
}

// The helpers of the tables.

// header is a block with a changed header and the work for it.
func header(change func(c *testchain.Chain, h *consensus.Header)) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		change(c, &b.Header)
		return testchain.Mine(b)
	}
}

// coinbase is a block with a changed coinbase, sealed again.
func coinbase(change func(tx *consensus.Tx)) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		b.Txs[0] = b.Txs[0].Clone()
		change(b.Txs[0])
		return testchain.Seal(b)
	}
}

// tx is a block with one transaction that spends coinbase 1 into one output,
// changed before it was signed.
func tx(change func(c *testchain.Chain, tx *consensus.Tx)) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		tx := testchain.Unsigned([]consensus.OutPoint{c.Coinbase(1)}, testchain.Key(500).Pay(coin))
		change(c, tx)
		if len(tx.In) == 1 {
			if _, ok := c.Coins[tx.In[0].PrevOut]; ok {
				c.Sign(tx, 1)
			}
		}
		return c.Next(tx)
	}
}

// spend is a block with one transaction that spends coinbases 1 and 2, changed
// after it was signed.
func spend(change func(c *testchain.Chain, tx *consensus.Tx)) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		tx := testchain.Unsigned([]consensus.OutPoint{c.Coinbase(1), c.Coinbase(2)}, testchain.Key(500).Pay(coin))
		change(c, c.Sign(tx, 1, 2))
		return c.Next(tx)
	}
}

const coin = consensus.SatPerCoin

// script of OP_RETURN and n times an opcode.
func dataOps(op byte, n int) []byte {
	return append([]byte{0x6a}, slices.Repeat([]byte{op}, n)...)
}
