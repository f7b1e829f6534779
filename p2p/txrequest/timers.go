package txrequest

// timers are announcements that something happens to at a time: a heap, with the
// first of them at its root. Each knows its place, so that it can be taken out.
type timers[P comparable] []*announcement[P]

func (h timers[P]) before(i, j int) bool {
	a, b := h[i], h[j]
	return a.due < b.due || a.due == b.due && a.number < b.number
}

func (h timers[P]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer, h[j].timer = int32(i), int32(j)
}

func (h *timers[P]) add(a *announcement[P]) {
	a.timer = int32(len(*h))
	*h = append(*h, a)
	h.up(len(*h) - 1)
}

// remove stops the timer of a, if it has one.
func (h *timers[P]) remove(a *announcement[P]) {
	i := int(a.timer)
	if i < 0 {
		return
	}
	a.timer = -1
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	if last != a {
		(*h)[i], last.timer = last, int32(i)
		h.down(i)
		h.up(int(last.timer))
	}
}

func (h timers[P]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h timers[P]) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h.before(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
