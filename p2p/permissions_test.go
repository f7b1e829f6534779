package p2p

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseGrant(t *testing.T) {
	prefix := netip.MustParsePrefix
	legacy := Implicit(true, false)
	for s, want := range map[string]Grant{
		"127.0.0.1":                   {prefix("127.0.0.1/32"), legacy, true, false},
		"@127.0.0.1":                  {prefix("127.0.0.1/32"), 0, true, false},
		"noban@10.0.0.0/8":            {prefix("10.0.0.0/8"), MayNotBeBanned, true, false},
		"relay,,download@::1":         {prefix("::1/128"), MayRelay | MayDownload, true, false},
		"noban,out@127.0.0.1":         {prefix("127.0.0.1/32"), MayNotBeBanned, false, true},
		"in,out,forcerelay@127.0.0.1": {prefix("127.0.0.1/32"), MayForceRelay | MayRelay, true, true},
		"::ffff:10.0.0.1":             {prefix("10.0.0.1/32"), legacy, true, false},
	} {
		if got, err := ParseGrant(s, legacy); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]error{
		"in,out@127.0.0.1": errDirection, "oopsie@127.0.0.1": errPermission, "noban@127.0.0.1:230": errNetmask,
		"noban@": errNetmask, "": errNetmask, "example.org": errNetmask, "noban@10.0.0.0/33": errNetmask,
	} {
		if _, err := ParseGrant(s, legacy); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
}

func TestParseBind(t *testing.T) {
	if address, may, err := ParseBind("bloomfilter,forcerelay@127.0.0.1:18444", 0); err != nil || address != "127.0.0.1:18444" || may != MayAskBloom|MayForceRelay {
		t.Errorf("%q, %v, %v", address, may.Names(), err)
	}
	if _, may, err := ParseBind("[::1]:1", Implicit(false, true)); err != nil || !slices.Equal(may.Names(), []string{"noban", "forcerelay", "relay", "mempool", "download"}) {
		t.Errorf("%v, %v", may.Names(), err)
	}
	for s, want := range map[string]error{
		"noban@127.0.0.1/10": errBind, "noban@127.0.0.1": errBindPort, "out,noban@127.0.0.1:1": errBindOut, "in@127.0.0.1:1": errDirection,
		"x@127.0.0.1:1": errPermission, "noban@127.0.0.1:0": errBindPort, "localhost:1": errBind, "": errBindPort,
	} {
		if _, _, err := ParseBind(s, 0); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
}

func TestAllPermissionsHaveBitcoinCoresNames(t *testing.T) {
	if got := strings.Join(mayAll.Names(), " "); got != "bloomfilter noban forcerelay relay mempool download addr" {
		t.Errorf("all are %s", got)
	}
	if names := (mayNotBeBan | mayForce).Names(); len(names) != 0 {
		t.Errorf("halves of permissions have the names %v", names)
	}
}

// Of two peers one may ask for the mempool, is told of transactions at once and has
// what it sends announced again; the other has none of that, and its connection ends
// when it asks.
func TestPermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		s := w.add("s", func(c *Config) {
			c.Clock = nowClock()
			g, err := ParseGrant("mempool,noban,forcerelay@198.51.0.0/16", 0)
			if err != nil {
				t.Fatal(err)
			}
			c.Grants, c.TxInterval = []Grant{g}, time.Hour
		})
		coins := rich(w, 2, s)
		s.feed(mineOn(w.spec, s.ledger.Tip(), 1)) // of today: the initial download is over
		friend, other := w.call(s, "198.51.1.1:1"), w.call(s, "203.0.113.1:1")
		friend.shake(ProtocolVersion)
		other.shake(ProtocolVersion)
		tx := spend(coins[0], 1000)
		if err := s.pool.Add(tx); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		want := invItem{invWTx, tx.WTxID()}
		if got := friend.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0] != want || time.Since(begun) > time.Second {
			t.Errorf("announced %v after %v, want at once", got.items, time.Since(begun))
		}
		friend.say(msgEmpty(cmdMempool))
		if got := friend.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0] != want {
			t.Errorf("the mempool is %v", got.items)
		}
		if may := s.Peers()[0].May; !may.Has(MayForceRelay) || s.Peers()[1].May != 0 {
			t.Errorf("permissions %v and %v", may.Names(), s.Peers()[1].May.Names())
		}
		other.say(msgEmpty(cmdMempool))
		other.isCut()
	})
}
