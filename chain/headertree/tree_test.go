package headertree

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// TestMain runs more checks of each property than rapid would by default: they need
// no disk. -rapid.checks overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "200"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// entry is what the naive model knows of a node.
type entry struct {
	node   *Node[int] // its Own is the number of the entry
	parent int        // -1 for genesis
	place  uint64
	seq    int
	favour int
	faults Fault
	gone   bool
}

// model is a tree that finds everything by looking at everything.
type model struct {
	t       *rapid.T
	tree    *Tree[int]
	entries []*entry
	tip     int
	best    int
	seq     int
	favour  int
	places  uint64
	nonce   uint32
}

func newModel(t *rapid.T) *model {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	m := &model{t: t, tree: New[int](&spec.Rules), seq: 1}
	genesis, err := m.tree.Add(Saved{Header: spec.Rules.Genesis().Header, Seq: 1, Place: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.tree.Activate(genesis)
	m.entries, m.places = []*entry{{node: genesis, parent: -1, seq: 1, place: 1}}, 1
	return m
}

// draw gives the number of an entry that is there.
func (m *model) draw(what string) int {
	var there []int
	for i, e := range m.entries {
		if !e.gone {
			there = append(there, i)
		}
	}
	// The last are drawn more often, so that branches grow long.
	if rapid.Bool().Draw(m.t, what+" late") {
		there = there[max(0, len(there)-4):]
	}
	return rapid.SampledFrom(there).Draw(m.t, what)
}

func (m *model) work(i int) *consensus.Work { return &m.entries[i].node.State().Work }

// descends reports whether i is a or built on it.
func (m *model) descends(i, a int) bool {
	for ; i >= 0; i = m.entries[i].parent {
		if i == a {
			return true
		}
	}
	return false
}

func (m *model) isActive(i int) bool { return m.descends(m.tip, i) }

func (m *model) add() {
	parent := m.draw("parent")
	m.nonce++
	bits := rapid.SampledFrom([]uint32{0x207fffff, 0x207fffff, 0x203fffff}).Draw(m.t, "bits")
	h := consensus.Header{Version: 4, Prev: m.entries[parent].node.Hash(), Bits: bits, Nonce: m.nonce}
	n, err := m.tree.Add(Saved{Header: h, Faults: m.entries[parent].faults}, len(m.entries))
	if err != nil {
		m.t.Fatal(err)
	}
	m.entries = append(m.entries, &entry{node: n, parent: parent, faults: m.entries[parent].faults})
	m.better(len(m.entries) - 1)
}

// better makes i the best header if it has more work than that.
func (m *model) better(i int) {
	if m.entries[i].faults == 0 && m.work(i).Gt(m.work(m.best)) {
		m.best = i
	}
}

func (m *model) store() {
	i := m.draw("stored")
	e := m.entries[i]
	if e.place > 0 {
		return
	}
	m.places++
	e.place = m.places
	var want []int
	if e.seq == 0 && m.entries[e.parent].seq > 0 {
		want = m.complete(i)
	}
	m.same("completed", m.tree.Store(e.node, e.place), want)
}

func (m *model) complete(i int) (list []int) {
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		m.seq++
		m.entries[queue[0]].seq = m.seq
		list = append(list, queue[0])
		var waiting []int
		for j, e := range m.entries {
			if !e.gone && e.parent == queue[0] && e.place > 0 && e.seq == 0 {
				waiting = append(waiting, j)
			}
		}
		slices.SortFunc(waiting, func(a, b int) int { return cmp.Compare(m.entries[a].place, m.entries[b].place) })
		queue = append(queue, waiting...)
	}
	return list
}

func (m *model) lose() {
	i := m.draw("lost")
	if m.entries[i].place == 0 {
		return
	}
	m.entries[i].place = 0
	var want []int
	if !m.isActive(i) {
		for j, e := range m.entries {
			if !e.gone && m.descends(j, i) {
				e.seq = 0
				want = append(want, j)
			}
		}
	}
	m.same("incomplete", m.tree.Lose(m.entries[i].node), want)
}

func (m *model) fault() {
	i := m.draw("faulty")
	if i == 0 {
		return
	}
	why := rapid.SampledFrom([]Fault{Broken, Invalidated}).Draw(m.t, "why")
	var want []int
	for j, e := range m.entries {
		if !e.gone && m.descends(j, i) {
			e.faults |= why
			want = append(want, j)
		}
	}
	m.same("faulty", m.tree.AddFault(m.entries[i].node, why), want)
	m.replaceBest()
	for m.entries[m.tip].faults != 0 {
		m.tree.Disconnect()
		m.tip = m.entries[m.tip].parent
	}
}

// replaceBest finds the best header among all if it is at fault or gone. Of equals
// any will do but those of the active chain.
func (m *model) replaceBest() {
	if e := m.entries[m.best]; e.faults == 0 && !e.gone {
		return
	}
	m.best = 0
	for i, e := range m.entries {
		if !e.gone && e.faults == 0 && m.isActive(i) && m.work(i).Gt(m.work(m.best)) {
			m.best = i
		}
	}
	for i, e := range m.entries {
		if !e.gone && e.faults == 0 && m.work(i).Gt(m.work(m.best)) {
			m.best = i
		}
	}
	if got := m.tree.Best(); got.State().Work == *m.work(m.best) && !m.isActive(m.best) {
		m.best = got.Own
	}
}

// reconsider takes back all that is held against a node, its ancestors and its
// descendants.
func (m *model) reconsider() {
	i := m.draw("reconsidered")
	n := m.entries[i].node
	nodes := n.Descendants()
	for a := n.Parent(); a != nil; a = a.Parent() {
		nodes = append(nodes, a)
	}
	var want []int
	for _, n := range nodes {
		if e := m.entries[n.Own]; e.faults != 0 {
			e.faults = 0
			want = append(want, n.Own)
			m.better(n.Own)
		}
	}
	slices.Sort(want)
	m.same("cleared", m.tree.ClearFault(nodes, AnyFault), want)
}

func (m *model) prefer() {
	i := m.draw("preferred")
	if !m.work(i).Lt(m.work(m.tip)) {
		m.favour++
		m.entries[i].favour = m.favour
	}
	m.tree.Prefer(m.entries[i].node)
}

// forget drops a leaf that is neither active nor complete, and those before it that
// are like it.
func (m *model) forget() {
	var nodes []*Node[int]
	for i := m.draw("forgotten"); i > 0 && m.entries[i].seq == 0; i = m.entries[i].parent {
		if slices.ContainsFunc(m.entries, func(e *entry) bool { return !e.gone && e.parent == i }) {
			break
		}
		m.entries[i].gone = true
		nodes = append(nodes, m.entries[i].node)
	}
	was := m.entries[m.best].gone
	if got := m.tree.Forget(nodes); got != was {
		m.t.Fatalf("the best was forgotten: %v, want %v", got, was)
	}
	m.replaceBest()
}

// follow moves the active chain to the best candidate, as far as a fork may lie.
func (m *model) follow() {
	least := uint32(0)
	if rapid.Bool().Draw(m.t, "limited") {
		least = m.tree.Tip().Height() - min(3, m.tree.Tip().Height())
	}
	reachable := func(n *Node[int]) bool { return Fork(m.tree.Tip(), n).Height() >= least }
	want := m.tip
	for i, e := range m.entries {
		if !e.gone && e.seq > 0 && e.faults == 0 && m.naiveBetter(i, want) && m.fork(m.tip, i) >= least {
			want = i
		}
	}
	best, passed := m.tree.Candidate(reachable)
	if best.Own != want {
		m.t.Fatalf("the best candidate is %d, want %d", best.Own, want)
	}
	for _, n := range passed {
		if reachable(n) || !n.Better(best) {
			m.t.Fatalf("%d was passed over", n.Own)
		}
	}
	base := Fork(m.tree.Tip(), best)
	for m.tree.Tip() != base {
		m.tree.Disconnect()
	}
	for _, n := range Path(base, best) {
		m.tree.Connect(n)
	}
	m.tip = want
}

func (m *model) naiveBetter(i, j int) bool {
	a, b := m.entries[i], m.entries[j]
	return cmp.Or(m.work(i).Cmp(m.work(j)), cmp.Compare(a.favour, b.favour), cmp.Compare(b.seq, a.seq)) > 0
}

// fork is the height of the last common ancestor, found one by one.
func (m *model) fork(i, j int) uint32 {
	for !m.descends(j, i) {
		i = m.entries[i].parent
	}
	return m.entries[i].node.Height()
}

func (m *model) same(what string, got []*Node[int], want []int) {
	numbers := make([]int, len(got))
	for i, n := range got {
		numbers[i] = n.Own
	}
	if what != "completed" { // in the order in which they are complete
		slices.Sort(numbers)
	}
	if !slices.Equal(numbers, want) {
		m.t.Fatalf("%s are %v, want %v", what, numbers, want)
	}
}

// check compares all that can be asked.
func (m *model) check() {
	if err := m.tree.Check(); err != nil {
		m.t.Fatal(err)
	}
	if m.tree.Tip().Own != m.tip || m.tree.Best().Own != m.best {
		m.t.Fatalf("tip %d, best %d, want %d, %d", m.tree.Tip().Own, m.tree.Best().Own, m.tip, m.best)
	}
	there, tips := 0, make(map[int]bool)
	for i, e := range m.entries {
		n, ok := m.tree.Find(e.node.Hash())
		if ok == e.gone || ok && n != e.node {
			m.t.Fatalf("%d is found: %v", i, ok)
		}
		if e.gone {
			continue
		}
		there++
		tips[i] = true
		delete(tips, e.parent)
		if got := fmt.Sprint(n.IsStored(), n.Seq(), n.Faults(), m.tree.IsActive(n)); got != fmt.Sprint(e.place > 0, e.seq, e.faults, m.isActive(i)) {
			m.t.Fatalf("%d: stored, seq, faults, active: %s", i, got)
		}
		want := Faulty
		switch {
		case e.faults != 0:
		case e.seq > 0:
			want = Complete
		case e.place > 0:
			want = Waiting
		default:
			want = HeaderOnly
		}
		if n.Stage() != want {
			m.t.Fatalf("%d is at stage %d, want %d", i, n.Stage(), want)
		}
	}
	for n := range m.tree.Tips() {
		if !tips[n.Own] {
			m.t.Fatalf("%d is a tip", n.Own)
		}
		delete(tips, n.Own)
	}
	if len(tips) > 0 || there != m.tree.Len() {
		m.t.Fatalf("%d tips were not found, %d of %d nodes", len(tips), m.tree.Len(), there)
	}
}

// TestAncestors compares what skip pointers find with a walk from parent to parent.
func TestAncestors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(1, 150).Draw(t, "headers") {
			m.add()
		}
		for range 5 {
			i, j := m.draw("a"), m.draw("b")
			if got := Fork(m.entries[i].node, m.entries[j].node).Height(); got != m.fork(i, j) {
				t.Fatalf("the fork of %d and %d is at height %d, want %d", i, j, got, m.fork(i, j))
			}
			for a := i; a >= 0; a = m.entries[a].parent {
				if n := m.entries[a].node; m.entries[i].node.Ancestor(n.Height()) != n {
					t.Fatalf("the ancestor of %d at height %d is another", i, n.Height())
				}
			}
		}
	})
}

// TestAncestorIsNear: no ancestor of a chain of 100,000 headers is more than 40
// steps away.
func TestAncestorIsNear(t *testing.T) {
	heights := make([]uint32, 100_000) // of what the skip pointers lead to
	for h := uint32(1); int(h) < len(heights); h++ {
		heights[h] = h - 1
		if once := heights[h-1]; h-1-once == once-heights[once] {
			heights[h] = heights[once]
		}
	}
	for target := uint32(0); int(target) < len(heights); target += 7 {
		steps := 0
		for h := uint32(len(heights) - 1); h > target; steps++ {
			if h = h - 1; heights[h+1] >= target {
				h = heights[h+1]
			}
		}
		if steps > 40 {
			t.Fatalf("height %d is %d steps away", target, steps)
		}
	}
}

// TestCandidateAmongUnreachable: of many branches, most of them out of reach, the
// best of the others is found.
func TestCandidateAmongUnreachable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		near := make(map[int]bool)
		for range rapid.IntRange(1, 20).Draw(t, "branches") {
			m.nonce++
			h := consensus.Header{Version: 4, Prev: m.entries[0].node.Hash(), Bits: rapid.Uint32Range(0x203fffff, 0x207fffff).Draw(t, "bits"), Nonce: m.nonce}
			n, err := m.tree.Add(Saved{Header: h}, len(m.entries))
			if err != nil {
				t.Fatal(err)
			}
			m.entries = append(m.entries, &entry{node: n})
			m.tree.Store(n, uint64(len(m.entries)))
			near[n.Own] = rapid.IntRange(0, 3).Draw(t, "near") == 0
		}
		want, better := m.tree.Tip(), 0
		for _, e := range m.entries {
			if near[e.node.Own] && e.node.Better(want) {
				want = e.node
			}
		}
		for _, e := range m.entries {
			if e.node.Better(want) {
				better++
			}
		}
		got, passed := m.tree.Candidate(func(n *Node[int]) bool { return near[n.Own] })
		if got != want || len(passed) != better {
			t.Fatalf("the best is %d and %d are better, want %d and %d", got.Own, len(passed), want.Own, better)
		}
	})
}

// TestTreeAgainstNaiveModel has everything happen to a tree in any order, and asks it
// everything after each step.
func TestTreeAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		steps := []struct {
			name string
			do   func()
		}{
			{"header", m.add}, {"header", m.add}, {"header", m.add}, {"store", m.store}, {"store", m.store}, {"store", m.store},
			{"follow", m.follow}, {"follow", m.follow}, {"lose", m.lose}, {"fault", m.fault}, {"reconsider", m.reconsider},
			{"prefer", m.prefer}, {"forget", m.forget},
		}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			steps[rapid.IntRange(0, len(steps)-1).Draw(t, "step")].do()
			m.check()
		}
	})
}
