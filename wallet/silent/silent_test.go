package silent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"pgregory.net/rapid"

	"lode/consensus"
)

// someone is a receiver with both keys.
type someone struct {
	*Receiver
	spend *btcec.PrivateKey
}

// failer is a test of either kind.
type failer interface {
	Helper()
	Fatal(...any)
}

// secretOf makes a private key of a number.
func secretOf(n uint64) *btcec.PrivateKey {
	hash := consensus.TaggedHash("test", fmt.Appendf(nil, "%d", n))
	key, _ := btcec.PrivKeyFromBytes(hash[:])
	return key
}

func newSomeone(t failer, n uint64) someone {
	t.Helper()
	scan, spend := secretOf(2*n), secretOf(2*n+1)
	r, err := NewReceiver(scan.Key.Bytes(), PublicKey(spend.PubKey().SerializeCompressed()))
	if err != nil {
		t.Fatal(err)
	}
	return someone{r, spend}
}

func (s someone) scanner(t failer, labels ...uint32) *Scanner {
	t.Helper()
	scanner, err := s.NewScanner(labels)
	if err != nil {
		t.Fatal(err)
	}
	return scanner
}

// spender is inputs of Taproot outputs, of one key each.
func spender(n uint64, count int) (inputs []consensus.OutPoint, keys []InputKey, coins []consensus.Coin) {
	for i := range uint64(count) {
		key := secretOf(1_000_000*(n+1) + i)
		inputs = append(inputs, consensus.OutPoint{TxID: consensus.TaggedHash("tx", fmt.Appendf(nil, "%d/%d", n, i/2)), Index: uint32(i % 2)})
		keys = append(keys, InputKey{key, true})
		coins = append(coins, consensus.Coin{Value: 1000, Key: [32]byte(schnorr.SerializePubKey(key.PubKey()))})
	}
	return inputs, keys, coins
}

// paying is a transaction with these inputs that pays some keys.
func paying(inputs []consensus.OutPoint, outputs [][32]byte) *consensus.Tx {
	tx := &consensus.Tx{Version: 2}
	for _, o := range inputs {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: o})
	}
	for _, key := range outputs {
		tx.Out = append(tx.Out, consensus.TxOut{Value: 1, Script: consensus.TaprootScript(key)})
	}
	return tx
}

// TestScannerFindsExactlyWhatWasPaid has random transactions pay random addresses with random
// labels among other outputs, in any order; everybody finds what is theirs, with its label, and
// can sign for it.
func TestScannerFindsExactlyWhatWasPaid(t *testing.T) {
	const people, labels = 3, 6
	everybody := make([]someone, people)
	for i := range everybody {
		everybody[i] = newSomeone(t, uint64(i))
	}
	rapid.Check(t, func(t *rapid.T) {
		inputs, keys, coins := spender(uint64(rapid.IntRange(0, 50).Draw(t, "spender")), rapid.IntRange(1, 4).Draw(t, "inputs"))
		var to []Address
		want := make([]map[uint32]int, people) // how many of each label, and without one
		for i := range want {
			want[i] = make(map[uint32]int)
		}
		const none = 99
		for range rapid.IntRange(0, 8).Draw(t, "payments") {
			who, m := rapid.IntRange(0, people-1).Draw(t, "who"), uint32(rapid.IntRange(0, labels).Draw(t, "label"))
			a, err := everybody[who].Address(), error(nil)
			if m == labels {
				m = none
			} else if a, err = everybody[who].Labelled(m); err != nil {
				t.Fatal(err)
			}
			to, want[who][m] = append(to, a), want[who][m]+1
		}
		outputs, err := Outputs(inputs, keys, to)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "others") {
			outputs = append(outputs, consensus.TaggedHash("other", []byte{byte(i)})) // half of them no points
		}
		outputs = rapid.Permutation(outputs).Draw(t, "order")
		tx := paying(inputs, outputs)
		tweak, ok := TweakOf(tx, coins)
		if ok != (len(outputs) > 0) {
			t.Fatalf("a tweak: %t, of %d outputs", ok, len(outputs))
		}
		for who, p := range everybody {
			if !ok {
				continue
			}
			scanned := []uint32{1, 2, 3, 4, 5}
			scanned = append(scanned, manyLabels(uint32(rapid.IntRange(0, 10).Draw(t, "more labels")))...)
			found, err := p.scanner(t, scanned...).Scan(tweak, OutputKeys(tx))
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[uint32]int)
			for _, f := range found {
				m := f.Label
				if !f.Labelled {
					m = none
				}
				got[m]++
				key, err := SpendKey(p.spend, f.Tweak)
				if err != nil || [32]byte(schnorr.SerializePubKey(key.PubKey())) != f.Key {
					t.Fatalf("key of output %x: %v", f.Key, err)
				}
				if out, err := OutputKey(p.Address().Spend, f.Tweak); err != nil || out != f.Key {
					t.Fatalf("output key %x, %v, want %x", out, err, f.Key)
				}
			}
			if !maps.Equal(got, want[who]) {
				t.Fatalf("%d found %v, want %v", who, got, want[who])
			}
		}
	})
}

// TestOtherInputsMeanOtherOutputs adds, takes away and replaces inputs: what was derived for
// others is not found.
func TestOtherInputsMeanOtherOutputs(t *testing.T) {
	p := newSomeone(t, 7)
	inputs, keys, coins := spender(1, 3)
	outputs, err := Outputs(inputs, keys, []Address{p.Address()})
	if err != nil {
		t.Fatal(err)
	}
	found := func(n int) int {
		tweak, ok := TweakOf(paying(inputs[:n], outputs), coins[:n])
		if !ok {
			t.Fatal("no tweak")
		}
		list, err := p.scanner(t).Scan(tweak, outputs)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if found(3) != 1 || found(2) != 0 {
		t.Fatalf("found %d with the inputs and %d without one", found(3), found(2))
	}
	slices.Reverse(inputs)
	slices.Reverse(coins)
	if found(3) != 1 {
		t.Fatal("the order of the inputs matters")
	}
}

// TestHostileOutputsCostLinearWork scans a transaction with 20,000 outputs for 1,000 labels:
// neither as one that pays nothing, nor as one that pays some outputs, is more work done than
// the labels or the outputs for each.
func TestHostileOutputsCostLinearWork(t *testing.T) {
	p := newSomeone(t, 9)
	inputs, keys, coins := spender(2, 1)
	mine, err := Outputs(inputs, keys, []Address{p.Address(), p.Address(), p.Address()})
	if err != nil {
		t.Fatal(err)
	}
	const many = 20_000
	outputs := make([][32]byte, 0, many+len(mine))
	for i := range many {
		outputs = append(outputs, consensus.TaggedHash("hostile", fmt.Appendf(nil, "%d", i)))
	}
	tweak, _ := TweakOf(paying(inputs, outputs), coins)
	for _, c := range []struct{ labels, mine, most int }{{1_000, 0, 1_001}, {1_000, 3, 1_001}, {0, 3, 1}} {
		s := p.scanner(t, manyLabels(uint32(c.labels))...)
		found, err := s.Scan(tweak, append(slices.Clone(outputs), mine[:c.mine]...))
		if err != nil || len(found) != c.mine || s.added.Load() > int64(c.most) {
			t.Fatalf("%d labels: %d outputs found, want %d, with %d additions, want at most %d; %v", c.labels, len(found), c.mine, s.added.Load(), c.most, err)
		}
	}
	s := p.scanner(t, manyLabels(300)...)
	if _, err := s.Scan(tweak, outputs[:100]); err != nil || s.added.Load() > 200 {
		t.Fatalf("300 labels and 100 outputs took %d additions, %v", s.added.Load(), err)
	}
}

// TestUnknownLabelIsNotFound pays a label that the receiver does not look for.
func TestUnknownLabelIsNotFound(t *testing.T) {
	p := newSomeone(t, 3)
	a, err := p.Labelled(17)
	if err != nil {
		t.Fatal(err)
	}
	inputs, keys, coins := spender(3, 2)
	outputs, err := Outputs(inputs, keys, []Address{a})
	if err != nil {
		t.Fatal(err)
	}
	tweak, _ := TweakOf(paying(inputs, outputs), coins)
	for labels, want := range map[uint32]int{16: 0, 17: 1} {
		found, err := p.scanner(t, labels).Scan(tweak, outputs)
		if err != nil || len(found) != want {
			t.Fatalf("label %d: %d outputs, %v", labels, len(found), err)
		}
	}
}

// TestKeysThatCancelOut: inputs of opposite keys share no secret, and none is no input.
func TestKeysThatCancelOut(t *testing.T) {
	one := secretOf(1)
	minus := &btcec.PrivateKey{Key: one.Key}
	minus.Key.Negate()
	inputs, _, _ := spender(4, 2)
	p := newSomeone(t, 1)
	if _, err := Outputs(inputs, []InputKey{{one, false}, {minus, false}}, []Address{p.Address()}); !errors.Is(err, ErrNoSecret) {
		t.Fatalf("paid, with %v", err)
	}
	keys := []PublicKey{PublicKey(one.PubKey().SerializeCompressed()), PublicKey(minus.PubKey().SerializeCompressed())}
	for _, list := range [][]PublicKey{keys, nil} {
		if _, err := Tweak(inputs, list); !errors.Is(err, ErrNoSecret) {
			t.Fatalf("a tweak, with %v", err)
		}
	}
	if _, ok := TweakOf(&consensus.Tx{In: []consensus.TxIn{{PrevOut: consensus.OutPoint{Index: 0xffffffff}}}, Out: paying(nil, [][32]byte{{1}}).Out}, nil); ok {
		t.Fatal("a coinbase has a tweak")
	}
}

// TestOutputsToOneReceiverAreLimited pays more outputs than a receiver looks for.
func TestOutputsToOneReceiverAreLimited(t *testing.T) {
	p := newSomeone(t, 5)
	inputs, keys, _ := spender(5, 1)
	if _, err := Outputs(inputs, keys, slices.Repeat([]Address{p.Address()}, MaxOutputs+1)); err == nil || !strings.Contains(err.Error(), "2323") {
		t.Fatalf("paid, with %v", err)
	}
}

// TestAddressesThatAreWrong: the error says what is wrong, and where, and never the right one.
func TestAddressesThatAreWrong(t *testing.T) {
	good := newSomeone(t, 11).Address()
	text := good.Encode("tsp")
	if got, err := ParseAddress("tsp", strings.ToUpper(text)); err != nil || got != good {
		t.Fatalf("in upper case: %v", err)
	}
	mistyped := []byte(text)
	mistyped[20] = 'q'
	if text[20] == 'q' {
		mistyped[20] = 'p'
	}
	offCurve := good
	for offCurve.Spend[32] = 0; ; offCurve.Spend[32]++ {
		if _, err := offCurve.Spend.point(); err != nil {
			break
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"mistyped": {string(mistyped), "look at character 21"},
		"cut":      {text[:len(text)-1], "mistyped or cut"},
		"network":  {good.Encode("sp"), `begins with "sp", want "tsp"`},
		"ordinary": {consensus.Address("tsp", [32]byte{1}), "no silent address"},
		"no point": {offCurve.Encode("tsp"), "no point of the curve"},
		"long":     {"tsp1" + strings.Repeat("q", 1_100), "too long"},
		"nothing":  {"", "not bech32m"},
		"not text": {"tsp1\x00", "not bech32m"},
	} {
		_, err := ParseAddress("tsp", c.text)
		if !errors.Is(err, consensus.ErrAddress) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && name != "long" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error gives the right address", name)
		}
	}
}

// FuzzParseAddress: what is read is written as it was, and nothing panics.
func FuzzParseAddress(f *testing.F) {
	f.Add("sp1qqgste7k9hx0qftg6qmwlkqtwuy6cycyavzmzj85c6qdfhjdpdjtdgqjuexzk6murw56suy3e0rd2cgqvycxttddwsvgxe2usfpxumr70xc9pkqwv")
	f.Add("sp1q")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress("sp", s)
		if err != nil {
			return
		}
		if again, err := ParseAddress("sp", a.Encode("sp")); err != nil || again != a {
			t.Fatalf("%v, %v", again, err)
		}
	})
}

// FuzzScan takes any tweak and outputs, as a node may send them.
func FuzzScan(f *testing.F) {
	s := newSomeone(f, 1).scanner(f, 1, 2, 3)
	f.Add([]byte(strings.Repeat("\x02", 33+64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 33 {
			return
		}
		var outputs [][32]byte
		for rest := b[33:]; len(rest) >= 32 && len(outputs) < 50; rest = rest[32:] {
			outputs = append(outputs, [32]byte(rest))
		}
		found, err := s.Scan(PublicKey(b[:33]), outputs)
		if err == nil && len(found) > len(outputs) {
			t.Fatal("more found than there are")
		}
	})
}

func BenchmarkScan(b *testing.B) {
	p := newSomeone(b, 1)
	inputs, _, coins := spender(1, 1)
	outputs := [][32]byte{coins[0].Key, {1}}
	tweak, _ := TweakOf(paying(inputs, outputs), coins)
	for _, labels := range []uint32{0, 1_000} {
		s := p.scanner(b, manyLabels(labels)...)
		b.Run(fmt.Sprintf("%d labels", labels), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Scan(tweak, outputs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTweak(b *testing.B) {
	inputs, _, coins := spender(1, 2)
	tx := paying(inputs, [][32]byte{{1}})
	for b.Loop() {
		TweakOf(tx, coins)
	}
}
