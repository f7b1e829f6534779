package mempool_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// vary is tx with a change, and signed anew.
func (w *world) vary(t failer, tx *consensus.Tx, change func(*consensus.Tx)) *consensus.Tx {
	t.Helper()
	varied := tx.Clone()
	change(varied)
	coins := make([]consensus.Coin, len(varied.In))
	for i := range varied.In {
		var ok bool
		if coins[i], ok = w.coin(varied.In[i].PrevOut); !ok {
			t.Fatalf("no coin %s", varied.In[i].PrevOut)
		}
	}
	w.gen.Sign(varied, coins)
	return varied
}

// reason is Bitcoin Core's answer to a transaction, with its details.
func (w *world) reason(t *testing.T, tx *consensus.Tx) string {
	t.Helper()
	_, err := w.pool.Test(tx)
	w.checkExplanation(t, tx, err)
	if err == nil {
		return ""
	}
	return answer(t, err)
}

// checkExplanation wants the explanation of tx to end as a test of it did.
func (w *world) checkExplanation(t failer, tx *consensus.Tx, verdict error) {
	t.Helper()
	var trace consensus.Trace
	_, err := w.pool.Explain(tx, &trace)
	if errors.Is(verdict, mempool.ErrKnown) { // it is looked at as if it were not there
		if err == nil {
			return
		}
	}
	if (err == nil) != (verdict == nil) || err != nil && err.Error() != verdict.Error() {
		t.Fatalf("explained it is %v, otherwise %v", err, verdict)
	}
	steps := trace.Steps()
	failed := slices.ContainsFunc(steps, func(s consensus.Step) bool { return s.Err != nil })
	if failed != (err != nil) {
		t.Fatalf("of %d steps one failed: %v; the verdict is %v", len(steps), failed, err)
	}
}

// answer is an error in the words of Bitcoin Core, but for the input that it is
// about.
func answer(t *testing.T, err error) string {
	t.Helper()
	reason, ok := mempool.Reason(err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	if e, ok := errors.AsType[*consensus.RuleError](err); ok && e.Detail != "" {
		return reason + ", " + e.Detail
	}
	return reason
}

// TestReasons has, of each kind of transaction that Bitcoin Core refuses, one
// that is just good and one that is just bad. The answers are its own words.
func TestReasons(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	tip := w.gen.Tip()
	height, median := tip.Height+1, tip.MedianTime()
	plain := w.pay(t, 1000, 2, coins[0])
	big := w.pay(t, 50_000, 1, coins[1])
	data := func(n int) []byte { return append([]byte{0x6a}, bytes.Repeat([]byte{0}, n)...) }
	output := func(value consensus.Amount) consensus.TxOut {
		return consensus.TxOut{Value: value, Script: w.gen.Script()}
	}
	type change = func(*consensus.Tx)
	version := func(v uint32) change { return func(tx *consensus.Tx) { tx.Version = v } }
	// The rest of a transaction's value stays in its first output.
	adds := func(outs ...consensus.TxOut) change {
		return func(tx *consensus.Tx) {
			for _, o := range outs {
				tx.Out[0].Value -= o.Value
				tx.Out = append(tx.Out, o)
			}
		}
	}
	locked := func(lock, sequence uint32) change {
		return func(tx *consensus.Tx) { tx.LockTime, tx.In[0].Sequence = lock, sequence }
	}
	free := func(tx *consensus.Tx) {
		tx.Version = 3
		tx.Out[0].Value += 1000 - 329
		tx.Out = append(tx.Out, output(329))
	}
	full := data(400_000/4 - big.VSize() - 8 - 5 - 1) // a length of 5 bytes goes before it
	for _, c := range []struct {
		name      string
		of        *consensus.Tx
		good, bad change
		want      string
	}{
		{"version", plain, version(1), version(0), "version"},
		{"version", plain, version(3), version(4), "version"},
		{"weight", big, adds(consensus.TxOut{Script: full}), adds(consensus.TxOut{Script: append(full, 0)}), "tx-size"},
		{"data script", plain, adds(consensus.TxOut{Script: []byte{0x6a, 0x50, 0x60, 1, 7}}), adds(consensus.TxOut{Script: []byte{0x6a, 0x61}}), "scriptpubkey"},
		{"cut data script", plain, adds(consensus.TxOut{Script: []byte{0x6a, 1, 7}}), adds(consensus.TxOut{Script: []byte{0x6a, 2, 7}}), "scriptpubkey"},
		{"many data outputs", plain, adds(consensus.TxOut{Script: data(0)}, consensus.TxOut{Script: data(80), Value: 5}), adds(consensus.TxOut{Script: data(0)}, consensus.TxOut{Script: []byte{0x6a, 0x87}}), "scriptpubkey"},
		{"dust", plain, adds(output(330)), adds(output(329)), "dust, tx with dust output must be 0-fee"},
		{"two dusts", plain, adds(output(330), output(330)), adds(output(329), output(329)), "dust"},
		{"free dust", plain, adds(output(330)), free, "min relay fee not met, 0 < 20"},
		{"small", plain, func(tx *consensus.Tx) { tx.Out = []consensus.TxOut{{Script: data(4)}} }, func(tx *consensus.Tx) { tx.Out = []consensus.TxOut{{Script: data(3)}} }, "tx-size-small"},
		{"lock height", plain, locked(height-1, 0), locked(height, 0), "non-final"},
		{"lock time", plain, locked(median-1, 0), locked(median, 0), "non-final"},
		{"lock off", plain, locked(median, 0xffffffff), locked(median, 0xfffffffe), "non-final"},
		{"relative lock", plain, locked(0, height-w.gen.Coins[coins[0]].Height), locked(0, height-w.gen.Coins[coins[0]].Height+1), "non-BIP68-final"},
		{"relative time", plain, locked(0, 1<<22), locked(0, 1<<22|0xffff), "non-BIP68-final"},
		{"relative lock off", plain, locked(0, 1<<31|0xffff), locked(0, 0xffff), "non-BIP68-final"},
		{"relative lock of version 1", plain, func(tx *consensus.Tx) { tx.Version, tx.In[0].Sequence = 1, 0xffff }, locked(0, 0xffff), "non-BIP68-final"},
		{"missing", plain, version(2), func(tx *consensus.Tx) { tx.In = append(tx.In, consensus.TxIn{PrevOut: w.away()}) }, "bad-txns-inputs-missingorspent"},
		{"twice", plain, version(2), func(tx *consensus.Tx) { tx.In = append(tx.In, tx.In[0]) }, "bad-txns-inputs-duplicate"},
		{"null", plain, version(2), func(tx *consensus.Tx) {
			tx.In = append(tx.In, consensus.TxIn{PrevOut: consensus.OutPoint{Index: 0xffffffff}})
			w.made[tx.In[1].PrevOut] = w.gen.Coins[coins[0]]
		}, "bad-txns-prevout-null"},
		{"negative", plain, version(2), func(tx *consensus.Tx) { tx.Out[0].Value = -1 }, "bad-txns-vout-negative"},
		{"too much", plain, version(2), func(tx *consensus.Tx) { tx.Out[0].Value = 21_000_000*consensus.SatPerCoin + 1 }, "bad-txns-vout-toolarge"},
		{"too much together", plain, version(2), func(tx *consensus.Tx) { tx.Out[0].Value = 21_000_000 * consensus.SatPerCoin }, "bad-txns-txouttotal-toolarge"},
		{"no outputs", plain, version(2), func(tx *consensus.Tx) { tx.Out = nil }, "bad-txns-vout-empty"},
		{"below outputs", plain, version(2), func(tx *consensus.Tx) { tx.Out[0].Value += 1001 }, "bad-txns-in-belowout, value in (" +
			consensus.FormatMoney(plain.OutputSum()+1000) + ") < value out (" + consensus.FormatMoney(plain.OutputSum()+1001) + ")"},
		{"fee", plain, func(tx *consensus.Tx) { tx.Out[0].Value += 1000 - 16 }, func(tx *consensus.Tx) { tx.Out[0].Value += 1000 - 15 }, "min relay fee not met, 15 < 16"},
		{"relay fee for version 3", plain, version(3), func(tx *consensus.Tx) { tx.Version = 3; tx.Out[0].Value += 1000 - 15 }, "min relay fee not met, 15 < 16"},
		{"coinbase", plain, version(2), func(tx *consensus.Tx) {
			tx.In[0] = consensus.TxIn{PrevOut: consensus.OutPoint{Index: 0xffffffff}, ScriptSig: []byte{0x51, 0x51}}
			w.made[tx.In[0].PrevOut] = w.gen.Coins[coins[0]]
		}, "coinbase"},
	} {
		if got := w.reason(t, w.vary(t, c.of, c.good)); got != "" {
			t.Errorf("%s: the good one: %q", c.name, got)
		}
		got := w.reason(t, w.vary(t, c.of, c.bad))
		if c.name == "missing" { // which coin is not Bitcoin Core's to say
			got, _, _ = strings.Cut(got, ",")
		}
		if got != c.want {
			t.Errorf("%s: the bad one: %q, want %q", c.name, got, c.want)
		}
	}
}

// away is a coin that the ledger does not have, though pay can spend it.
func (w *world) away() consensus.OutPoint {
	o := consensus.OutPoint{TxID: consensus.Hash{9}, Index: 3}
	w.made[o] = consensus.Coin{Value: 1000, Key: w.gen.Coins[w.coins()[0]].Key}
	return o
}

// TestWitnessReasons spoils the witness or the scriptSig of one of two inputs.
func TestWitnessReasons(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	good := w.pay(t, 10_000, 1, coins[0], coins[1])
	if got := w.reason(t, good); got != "" {
		t.Fatal(got)
	}
	sig := good.In[1].Witness[0]
	of := func(reason string) string { return "mempool-script-verify-flag-failed (" + reason + ")" }
	control := make([]byte, 33)
	control[0] = 0xc0
	item := func(n int) []byte { return make([]byte, n) }
	const nonstandard = "bad-witness-nonstandard"
	for _, c := range []struct {
		name    string
		witness [][]byte
		want    string
	}{
		{"none", nil, of("Witness program was passed an empty witness")},
		{"short", [][]byte{sig[:63]}, of("Invalid Schnorr signature size")},
		{"empty", [][]byte{{}}, of("Invalid Schnorr signature size")},
		{"long", [][]byte{append(slices.Clone(sig), 1, 1)}, of("Invalid Schnorr signature size")},
		{"hash type 0", [][]byte{append(slices.Clone(sig), 0)}, of("Invalid Schnorr signature hash type")},
		{"hash type 4", [][]byte{append(slices.Clone(sig), 4)}, of("Invalid Schnorr signature hash type")},
		{"single without its output", [][]byte{append(slices.Clone(sig), 3)}, of("Invalid Schnorr signature hash type")},
		{"another hash type", [][]byte{append(slices.Clone(sig), 1)}, of("Invalid Schnorr signature")},
		{"another signature", [][]byte{good.In[0].Witness[0]}, of("Invalid Schnorr signature")},
		{"annex", [][]byte{sig, {0x50}}, nonstandard},
		{"annex of a script", [][]byte{sig, item(1), control, {0x50, 1}}, nonstandard},
		{"empty control block", [][]byte{sig, {}}, nonstandard},
		{"short control block", [][]byte{sig, control[:32]}, of("Invalid Taproot control block size")},
		{"another script", [][]byte{item(1), control}, of("Witness program hash mismatch")},
		{"item of 80 bytes", [][]byte{item(80), item(1), control}, of("Witness program hash mismatch")},
		{"item of 81 bytes", [][]byte{item(81), item(1), control}, nonstandard},
		{"item of 81 bytes in another version", [][]byte{item(81), item(1), append([]byte{0xc2}, control[1:]...)}, of("Witness program hash mismatch")},
	} {
		tx := good.Clone()
		tx.In[1].Witness = c.witness
		if got := w.reason(t, tx); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	push := func(op []byte, n int) []byte { return append(op, item(n)...) }
	for _, c := range []struct {
		name   string
		script []byte
		want   string
	}{
		{"scriptSig", []byte{0x51}, of("Witness requires empty scriptSig")},
		{"a push", []byte{1, 17}, of("Witness requires empty scriptSig")},
		{"520 bytes", push([]byte{0x4d, 0x08, 0x02}, 520), of("Witness requires empty scriptSig")},
		{"521 bytes", push([]byte{0x4d, 0x09, 0x02}, 521), of("Push value size limit exceeded")},
		{"a long push", []byte{0x4c, 1, 17}, of("Data push larger than necessary")},
		{"a long push of 80 bytes", push([]byte{0x4d, 80, 0}, 80), of("Data push larger than necessary")},
		{"80 bytes", push([]byte{0x4c, 80}, 80), of("Witness requires empty scriptSig")},
		{"a long OP_16", []byte{1, 16}, of("Data push larger than necessary")},
		{"a long OP_1NEGATE", []byte{1, 0x81}, of("Data push larger than necessary")},
		{"reserved", []byte{0x51, 0x50}, of("Opcode missing or not understood")},
		{"998 pushes", bytes.Repeat([]byte{0x51}, 998), of("Witness requires empty scriptSig")},
		{"999 pushes", bytes.Repeat([]byte{0x51}, 999), of("Stack size limit exceeded")},
		{"1,650 bytes", bytes.Repeat([]byte{0x51}, 1650), of("Stack size limit exceeded")},
		{"1,651 bytes", bytes.Repeat([]byte{0x51}, 1651), "scriptsig-size"},
		{"no push", []byte{0x61}, "scriptsig-not-pushonly"},
		{"a cut push", []byte{2, 1}, "scriptsig-not-pushonly"},
	} {
		tx := good.Clone()
		tx.In[1].ScriptSig = c.script
		tx = w.vary(t, tx, func(*consensus.Tx) {})
		if got := w.reason(t, tx); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSpendData spends a data output of the pool: Bitcoin Core takes it for a
// coin until it looks at the witness or runs the script.
func TestSpendData(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	tx := w.pay(t, 1000, 2, coins[0])
	tx = w.add(t, w.vary(t, tx, func(tx *consensus.Tx) { tx.Out[1].Script = consensus.DataScript([]byte("data")) }))
	spend := w.pay(t, 5000, 1, coins[1])
	spend.In = append(spend.In, consensus.TxIn{PrevOut: consensus.OutPoint{TxID: tx.TxID(), Index: 1}, Witness: [][]byte{make([]byte, 64)}})
	if got := w.reason(t, spend); got != "bad-witness-nonstandard" {
		t.Errorf("with a witness: %q", got)
	}
	spend.In[1].Witness = nil
	spend.In[0], spend.In[1] = spend.In[1], spend.In[0]
	if got := w.reason(t, spend); got != "mempool-script-verify-flag-failed (OP_RETURN was encountered)" {
		t.Errorf("without a witness: %q", got)
	}
	spend.In[0].ScriptSig = []byte{0x50}
	if got := w.reason(t, spend); got != "mempool-script-verify-flag-failed (Opcode missing or not understood)" {
		t.Errorf("with a scriptSig: %q", got)
	}
	w.confirm(t, tx)
	spend.In[0].ScriptSig = nil
	w.refused(t, spend, consensus.ErrMissingInputs)
}

// TestKnown offers what is there already, in part or as a whole.
func TestKnown(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	tx := w.add(t, w.pay(t, 1000, 2, coins[0]))
	other := tx.Clone()
	other.In[0].Witness = [][]byte{make([]byte, 64)} // which is never looked at
	if got := w.reason(t, tx) + " " + w.reason(t, other); got != "txn-already-in-mempool txn-same-nonwitness-data-in-mempool" {
		t.Error(got)
	}
	w.confirm(t, tx)
	if got := w.reason(t, tx); got != "txn-already-known" {
		t.Error(got)
	}
	w.confirm(t, w.pay(t, 1000, 1, first(tx), consensus.OutPoint{TxID: tx.TxID(), Index: 1}))
	w.refused(t, tx, consensus.ErrMissingInputs)
}

// TestReplacementReasons replaces, just not and just, within each of the limits.
func TestReplacementReasons(t *testing.T) {
	policy := mempool.DefaultPolicy()
	policy.MaxReplaced = 3
	w := startWorld(t, policy)
	coins := w.coins()
	for _, coin := range coins[:4] {
		w.add(t, w.pay(t, 1000, 1, coin))
	}
	many := w.pay(t, 90_000, 1, coins[:4]...)
	if got, want := w.reason(t, many), "too many potential replacements, rejecting replacement "+many.TxID().String()+"; too many conflicting clusters (4 > 3)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	three := w.pay(t, 3000+22, 1, coins[:3]...) // pays for its relay, but not as well as each of them
	if got := w.reason(t, three); got != "insufficient fee, rejecting replacement "+three.TxID().String()+", not enough additional fees to relay; 0.00000022 < 0.00000023" {
		t.Errorf("%q", got)
	}
	less := w.pay(t, 2999, 1, coins[:3]...)
	if got := w.reason(t, less); got != "insufficient fee, rejecting replacement "+less.TxID().String()+", less fees than conflicting txs; 0.00002999 < 0.00003" {
		t.Errorf("%q", got)
	}
	if got := w.reason(t, w.pay(t, 3023, 1, coins[:3]...)); got != "replacement-failed, insufficient feerate: does not improve feerate diagram" &&
		got != "" {
		t.Errorf("%q", got)
	}
	// The same fee for more bytes is worse for whoever mines less than all.
	wide := w.pay(t, 1200, 20, coins[0])
	if got := w.reason(t, wide); got != "replacement-failed, insufficient feerate: does not improve feerate diagram" {
		t.Errorf("%q", got)
	}
	w.add(t, w.pay(t, 9000, 20, coins[0]))
	w.add(t, w.pay(t, 90_000, 1, coins[1:4]...))
	w.check(t)
}

// TestClusterReasons makes clusters that are just small enough, and just not.
func TestClusterReasons(t *testing.T) {
	policy := mempool.DefaultPolicy()
	policy.MaxCluster, policy.MaxClusterSize = 3, 111+111+2000
	w := startWorld(t, policy)
	coins := w.coins()
	tx := w.add(t, w.pay(t, 1000, 1, coins[0]))
	tx = w.add(t, w.pay(t, 1000, 1, first(tx)))
	pad := func(n int) *consensus.Tx {
		return w.vary(t, w.pay(t, 5000, 1, first(tx)), func(tx *consensus.Tx) {
			tx.Out = append(tx.Out, consensus.TxOut{Script: append([]byte{0x6a}, make([]byte, n)...)})
		})
	}
	size := pad(1000).VSize() - 1000
	if got := w.reason(t, pad(2000-size+1)); got != "too-large-cluster" {
		t.Errorf("%q", got)
	}
	last := w.add(t, pad(2000-size))
	if got := w.reason(t, w.pay(t, 1000, 1, first(last))); got != "too-large-cluster" {
		t.Errorf("%q", got)
	}
	// A replacement is held to the limits without what it replaces.
	w.add(t, w.pay(t, 9000, 1, first(tx)))
	// And one that joins clusters, with all of them.
	a := w.add(t, w.pay(t, 1000, 1, coins[1]))
	b := w.add(t, w.pay(t, 1000, 1, first(a)))
	c := w.add(t, w.pay(t, 1000, 1, coins[2]))
	if got := w.reason(t, w.pay(t, 1000, 1, first(b), first(c))); got != "too-large-cluster" {
		t.Errorf("%q", got)
	}
	w.check(t)
}

// TestTRUCReasons has BIP431 answer in the words of Bitcoin Core.
func TestTRUCReasons(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	pay := func(version uint32, fee consensus.Amount, outputs int, from ...consensus.OutPoint) *consensus.Tx {
		w.version = version
		return w.pay(t, fee, outputs, from...)
	}
	named := func(tx *consensus.Tx) string {
		return "tx " + tx.TxID().String() + " (wtxid=" + tx.WTxID().String() + ")"
	}
	parent, old := w.add(t, pay(3, 1000, 3, coins[0])), w.add(t, pay(2, 1000, 2, coins[1]))
	other := w.add(t, pay(3, 1000, 2, coins[2]))
	second := func(tx *consensus.Tx) consensus.OutPoint { return consensus.OutPoint{TxID: tx.TxID(), Index: 1} }
	want := func(tx *consensus.Tx, text string) {
		t.Helper()
		if got := w.reason(t, tx); got != "TRUC-violation, "+text {
			t.Errorf("%q, want %q", got, text)
		}
	}
	tx := pay(2, 1000, 1, first(parent))
	want(tx, "non-version=3 "+named(tx)+" cannot spend from version=3 "+named(parent))
	tx = pay(3, 1000, 1, first(old))
	want(tx, "version=3 "+named(tx)+" cannot spend from non-version=3 "+named(old))
	tx = pay(3, 20_000, 232, coins[3])
	want(tx, "version=3 "+named(tx)+" is too big: 10044 > 10000 virtual bytes")
	if got := w.reason(t, pay(3, 20_000, 230, coins[3])); got != "" {
		t.Error(got)
	}
	tx = pay(3, 20_000, 22, first(parent))
	want(tx, "version=3 child "+named(tx)+" is too big: 1014 > 1000 virtual bytes")
	if got := w.reason(t, pay(3, 20_000, 21, first(parent))); got != "" {
		t.Error(got)
	}
	tx = pay(3, 1000, 1, first(parent), first(other))
	want(tx, named(tx)+" would have too many ancestors")
	child := w.add(t, pay(3, 1000, 2, first(parent)))
	tx = pay(3, 1000, 1, first(child))
	want(tx, named(tx)+" would have too many ancestors")
	// A second child replaces the first, its sibling, if it pays for that.
	tx = pay(3, 1005, 1, second(parent))
	if got := w.reason(t, tx); got != "insufficient fee (including sibling eviction), rejecting replacement "+tx.TxID().String()+", not enough additional fees to relay; 0.00000005 < 0.00000012" {
		t.Errorf("%q", got)
	}
	w.add(t, pay(3, 2000, 1, second(parent)))
	if _, in := w.pool.ByTxID(child.TxID()); in {
		t.Error("two children")
	}
	w.check(t)
}
