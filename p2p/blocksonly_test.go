package p2p

import (
	"testing"
	"testing/synctest"

	"lode/consensus"
)

// A node that takes no transactions of peers says so in its version, sends no fee
// filter and ends the connections of those that announce or send one; one with the
// relay permission may. Its own transactions go to all.
func TestBlocksOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) {
			g, err := ParseGrant("relay@198.51.0.0/16", 0)
			if err != nil {
				t.Fatal(err)
			}
			c.BlocksOnly, c.Grants = true, []Grant{g}
		})
		coins := rich(w, 3, s)
		for what, m := range map[string]message{
			"tx": msgTx{spend(coins[0], 1000)}, "inv": &msgInv{cmdInv, []invItem{{invWTx, consensus.Hash{1}}}},
		} {
			a := w.call(s, "203.0.113.1:1")
			if a.say(actorVersion(ProtocolVersion)); a.hear(cmdVersion).(*msgVersion).relay {
				t.Error("the version asks for transactions")
			}
			a.say(msgEmpty(cmdVerack))
			a.say(m)
			a.isCut()
			if synctest.Wait(); len(s.Peers()) > 0 {
				t.Errorf("%s: still a peer", what)
			}
		}
		if s.has(spend(coins[0], 1000)) {
			t.Error("the transaction was taken")
		}

		friend, other := w.call(s, "198.51.1.1:1"), w.call(s, "203.0.113.1:1")
		if friend.say(actorVersion(ProtocolVersion)); !friend.hear(cmdVersion).(*msgVersion).relay {
			t.Error("the version asks a peer with permission for no transactions")
		}
		friend.say(msgEmpty(cmdWTxIDRelay))
		friend.say(msgEmpty(cmdVerack))
		other.shake(ProtocolVersion)
		theirs, own := spend(coins[1], 1000), spend(coins[2], 1000)
		friend.say(&msgInv{cmdInv, []invItem{{invWTx, theirs.WTxID()}}})
		if got := friend.hear(cmdGetData).(*msgInv); len(got.items) != 1 || got.items[0].hash != theirs.WTxID() {
			t.Errorf("asked for %v", got.items)
		}
		friend.say(msgTx{theirs})
		s.submit(own)
		told := make(map[consensus.Hash]bool)
		for len(told) < 2 {
			for _, item := range other.hear(cmdInv).(*msgInv).items {
				told[item.hash] = true
			}
		}
		if !told[theirs.WTxID()] || !told[own.WTxID()] {
			t.Errorf("announced %v", told)
		}
		for _, a := range []*actor{friend, other} {
			if !a.silentOn(cmdFeeFilter) {
				t.Error("a fee filter of one who takes no transactions")
			}
		}
	})
}

// It asks nobody for blocks in compact form, which it could not put together, and
// serves them to others.
func TestBlocksOnlyAsksForNoCompactBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.BlocksOnly = true })
		rich(w, 1, s)
		a := w.compactActor(s, "203.0.113.1:1", true)
		for salt := range byte(2) {
			b := mineOn(w.spec, s.ledger.Tip(), salt)
			a.say(msgHeaders{b.Header})
			if got := a.hear(cmdGetData).(*msgInv); len(got.items) != 1 || got.items[0] != (invItem{invBlock | invWitness, b.Header.Hash()}) {
				t.Errorf("asked for %v", got.items)
			}
			a.say(msgBlock{b})
			a.say(&msgInv{cmdGetData, []invItem{{invCmpct, b.Header.Hash()}}})
			if got := a.hear(cmdCmpctBlock).(*msgCmpctBlock); got.header != b.Header {
				t.Errorf("served %v", got.header)
			}
		}
		if !a.silentOn(cmdSendCmpct) {
			t.Error("asked to announce blocks in compact form")
		}
	})
}
