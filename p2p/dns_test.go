package p2p

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestDNSSeedCannotFillAllPlaces: of the outbound places those of whom DNS seeds told
// have half, also once they are in the table of those that answered; others get the rest.
// What a seed says of this machine and its link, of other paths and beyond a number, is
// left out.
func TestDNSSeedCannotFillAllPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.add("a", func(c *Config) { c.Outbound = 8 }).Node
		n.SetActive(false) // it dials nobody
		for _, url := range []string{"ws://127.0.0.1:1/p2p", "ws://169.254.169.254:80/p2p", "ws://11.0.0.1:1/admin", "no URL"} {
			if n.LearnSeeds("seed.test", []string{url}) != 0 {
				t.Errorf("%s is taken", url)
			}
		}
		var told []string
		for i := range 4 * maxLearned {
			told = append(told, fmt.Sprintf("ws://%d.9.0.1:9555/p2p", 11+i))
		}
		if kept := n.LearnSeeds("seed.test", told); kept == 0 || kept > maxLearned {
			t.Errorf("%d addresses are taken at once", kept)
		}
		n.LearnSeeds("other.test", told[maxLearned:])
		choose := func() (dns, all int) {
			used, anchors, feeler := make(slots), []string(nil), n.wall.Now().Add(time.Hour)
			for {
				a, kind := n.nextDial(used, &anchors, &feeler)
				if kind == "" {
					return dns, all
				}
				if all++; fromDNS(&a) {
					dns++
				}
				n.book.good(a.URL, serviceNetwork|serviceWitness, n.wall.Now())
				used[a.URL] = slot{kind, n.space.slotGroup(a.ip, a.name), fromDNS(&a)}
			}
		}
		if dns, all := choose(); dns != 5 || all != 5 {
			t.Errorf("with nobody else, %d of %d places, want 5", dns, all)
		}
		for i := range 40 {
			n.book.learn(fmt.Sprintf("ws://%d.77.0.1:9555/p2p", 11+i), serviceNetwork|serviceWitness, n.wall.Now(), "20.0.0.0/16")
		}
		if dns, all := choose(); dns > 5 || all != 10 {
			t.Errorf("beside others, %d of %d places, want up to 5 of 10", dns, all)
		}
	})
}
