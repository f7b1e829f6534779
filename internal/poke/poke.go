// Package poke wakes who waits for something, and never waits for them. Pokes are not
// counted: one that comes before the last was seen adds nothing, so who is woken looks
// how things are.
package poke

// New makes a channel for pokes.
func New() chan struct{} { return make(chan struct{}, 1) }

// Send wakes the one who receives from c, now or when it comes to it.
func Send(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
