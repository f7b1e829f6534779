package poke

import "testing"

func TestPokesAreNotLostAndNotCounted(t *testing.T) {
	c := New()
	Send(c) // nobody waits yet
	Send(c)
	select {
	case <-c:
	default:
		t.Fatal("the poke is lost")
	}
	select {
	case <-c:
		t.Fatal("pokes are counted")
	default:
	}
	Send(c)
	<-c
}
