package headertree

// heap is nodes of which the first is above all others, and none above the one from
// which it hangs: that of number i hangs from number (i-1)/2. Each knows its place,
// so that it can be taken out from anywhere.
type heap[D any] struct {
	nodes []*Node[D]
	above func(a, b *Node[D]) bool
	place func(*Node[D]) *int32 // where a node keeps its place in nodes, plus one; 0 if it is not there
}

// set has n be one of the heap, or not.
func (h *heap[D]) set(n *Node[D], in bool) {
	at := *h.place(n)
	switch {
	case in && at == 0:
		h.nodes = append(h.nodes, n)
		*h.place(n) = int32(len(h.nodes))
		h.up(len(h.nodes) - 1)
	case !in && at > 0:
		last := len(h.nodes) - 1
		h.swap(int(at)-1, last)
		h.nodes[last] = nil
		h.nodes = h.nodes[:last]
		*h.place(n) = 0
		if int(at)-1 < last {
			h.settle(int(at) - 1)
		}
	}
}

// moved puts n where it belongs after what it is compared by has changed.
func (h *heap[D]) moved(n *Node[D]) {
	if at := *h.place(n); at > 0 {
		h.settle(int(at) - 1)
	}
}

func (h *heap[D]) settle(i int) {
	h.up(i)
	h.down(i)
}

func (h *heap[D]) up(i int) {
	for i > 0 && h.above(h.nodes[i], h.nodes[(i-1)/2]) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *heap[D]) down(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.nodes); child++ {
			if h.above(h.nodes[child], h.nodes[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		h.swap(i, first)
		i = first
	}
}

func (h *heap[D]) swap(i, j int) {
	h.nodes[i], h.nodes[j] = h.nodes[j], h.nodes[i]
	*h.place(h.nodes[i]), *h.place(h.nodes[j]) = int32(i)+1, int32(j)+1
}
