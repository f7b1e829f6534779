package orphanage

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// The limits of the property test are small, so that both are met.
const fewScore, littleWeight = 8, 6000

// model is an orphanage that looks through everything at every step.
type model struct {
	list  []said // the oldest first
	ready map[consensus.Hash]bool
	came  []int // peers, as they came to have orphans
}

type said struct {
	peer   int
	tx     Orphan
	weight int
}

func (m *model) unique() map[consensus.Hash]said {
	all := make(map[consensus.Hash]said)
	for _, a := range m.list {
		all[a.tx.WTxID] = a
	}
	return all
}

// remove ends announcements, and forgets who has none left.
func (m *model) remove(pick func(said) bool) {
	m.list = slices.DeleteFunc(m.list, pick)
	m.came = slices.DeleteFunc(m.came, func(p int) bool {
		return !slices.ContainsFunc(m.list, func(a said) bool { return a.peer == p })
	})
	all := m.unique()
	for h := range m.ready {
		if _, ok := all[h]; !ok {
			delete(m.ready, h)
		}
	}
}

// use is what a peer uses of its shares of score and weight, as fractions.
func (m *model) use(p int) (score, weight float64) {
	for _, a := range m.list {
		if a.peer == p {
			score += 1 + float64(len(a.tx.Tx.In)/10)
			weight += float64(a.weight)
		}
	}
	return score * float64(len(m.came)) / fewScore, weight / littleWeight
}

func (m *model) tooMuch() bool {
	score, weight := len(m.list), 0
	for _, a := range m.unique() {
		score, weight = score+len(a.tx.Tx.In)/10, weight+a.weight
	}
	return score > fewScore || weight > littleWeight*max(1, len(m.came))
}

// The orphanage keeps what a naive one does. Which of several announcers has the
// turn is left to chance, so that what is ready must not be evicted here: the
// weights let the worst peer always have something else.
func TestOrphanageIsLikeANaiveOne(t *testing.T) {
	var txs []Orphan
	weights := make(map[consensus.Hash]int)
	for i := range 40 {
		spends := []consensus.OutPoint{coin(byte(i%5), i%3)}
		for j := range i % 4 * 10 {
			spends = append(spends, coin(byte(10+i%7), j))
		}
		txs = append(txs, made(i, []int{0, 0, 3000, 6000}[i/4%4], spends...))
		weights[txs[i].WTxID] = txs[i].Tx.Weight()
	}
	rapid.Check(t, func(t *rapid.T) {
		o := New[int](rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		o.reserved, o.maxScore = littleWeight, fewScore
		m := &model{ready: make(map[consensus.Hash]bool)}
		peer, some := rapid.IntRange(0, 4), rapid.SampledFrom(txs)
		trim := func() {
			for m.tooMuch() {
				worst, most := -1, 0.0
				for _, p := range m.came {
					if n := max(m.use(p)); n >= most {
						worst, most = p, n
					}
				}
				i := slices.IndexFunc(m.list, func(a said) bool { return a.peer == worst })
				gone := m.list[i]
				m.remove(func(a said) bool { return a.peer == worst && a.tx.WTxID == gone.tx.WTxID })
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				p, tx := peer.Draw(t, "peer"), some.Draw(t, "tx")
				known := slices.ContainsFunc(m.list, func(a said) bool { return a.peer == p && a.tx.WTxID == tx.WTxID })
				got := o.Add(p, tx)
				if !known {
					if !slices.Contains(m.came, p) {
						m.came = append(m.came, p)
					}
					m.list = append(m.list, said{p, tx, weights[tx.WTxID]})
					trim()
				}
				there := slices.ContainsFunc(m.list, func(a said) bool { return a.peer == p && a.tx.WTxID == tx.WTxID })
				if got != (!known && there) {
					t.Fatalf("added: %v", got)
				}
			},
			"remove": func(t *rapid.T) {
				tx := some.Draw(t, "tx")
				o.Remove(tx.WTxID)
				m.remove(func(a said) bool { return a.tx.WTxID == tx.WTxID })
				trim()
			},
			"disconnect": func(t *rapid.T) {
				p := peer.Draw(t, "peer")
				o.Disconnect(p)
				m.remove(func(a said) bool { return a.peer == p })
				trim()
			},
			"confirm": func(t *rapid.T) {
				tx := some.Draw(t, "tx")
				o.Confirmed(tx.Tx, tx.TxID)
				m.remove(func(a said) bool {
					return slices.ContainsFunc(a.tx.Tx.In, func(in consensus.TxIn) bool {
						return slices.ContainsFunc(tx.Tx.In, func(other consensus.TxIn) bool { return in.PrevOut == other.PrevOut })
					})
				})
				trim()
			},
			"parent and turns": func(t *rapid.T) {
				parent, outputs := coin(byte(rapid.IntRange(0, 4).Draw(t, "parent")), 0).TxID, rapid.IntRange(0, 3).Draw(t, "outputs")
				o.ParentCame(parent, outputs)
				o.ParentCame(parent, outputs)
				for _, a := range m.list {
					for _, in := range a.tx.Tx.In {
						if in.PrevOut.TxID == parent && int(in.PrevOut.Index) < outputs {
							m.ready[a.tx.WTxID] = true
						}
					}
				}
				if err := o.Check(); err != nil {
					t.Fatal(err)
				}
				for tx, ok := o.NextReady(); ok; tx, ok = o.NextReady() {
					if !m.ready[tx.WTxID] {
						t.Fatal("one that nothing has come for is tried")
					}
					delete(m.ready, tx.WTxID)
				}
				if len(m.ready) > 0 {
					t.Fatalf("%d are not tried", len(m.ready))
				}
			},
			"": func(t *rapid.T) {
				if err := o.Check(); err != nil {
					t.Fatal(err)
				}
				if err := m.same(o); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

func (m *model) same(o *Orphanage[int]) error {
	all, weight := m.unique(), 0
	for h, a := range all {
		weight += a.weight
		var from []int
		for _, a := range m.list {
			if a.tx.WTxID == h {
				from = append(from, a.peer)
			}
		}
		if got := o.Announcers(h); !slices.Equal(got, from) {
			return fmt.Errorf("announced by %v, want %v", got, from)
		}
	}
	if o.Len() != len(all) || o.Weight() != weight {
		return fmt.Errorf("%d orphans of weight %d, want %d and %d", o.Len(), o.Weight(), len(all), weight)
	}
	return nil
}
