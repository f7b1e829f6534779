package p2p

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
)

// Peers of every version are told what that version knows, as by Bitcoin Core, and no
// more; the oldest leave out parts of their version message.
func TestOldVersionsAreToldWhatTheyKnow(t *testing.T) {
	all := []string{cmdWTxIDRelay, cmdSendAddrV2, cmdSendHeaders, cmdFeeFilter, cmdSendCmpct, cmdPong}
	for version, want := range map[int32][]string{
		31800: {}, 60000: {}, 60001: {cmdPong}, 70011: {cmdPong}, 70012: {cmdPong, cmdSendHeaders},
		70013: {cmdPong, cmdSendHeaders, cmdFeeFilter}, 70014: {cmdPong, cmdSendHeaders, cmdFeeFilter, cmdSendCmpct},
		70015: {cmdPong, cmdSendHeaders, cmdFeeFilter, cmdSendCmpct}, 70016: all, 70017: all,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.add("s", nil)
			a := w.call(s, "203.0.113.1:1")
			v := actorVersion(version)
			if version < 60000 {
				v.without = versionTail
			}
			a.say(v)
			a.say(msgEmpty(cmdVerack))
			a.say(msgPing(7))
			time.AfterFunc(time.Second, func() { _ = a.Close("") })
			var got []string
			var ping []byte
			for {
				command, payload, err := a.ReadMessage()
				if err != nil {
					break
				}
				got = append(got, command)
				if command == cmdPing {
					ping = payload
				}
			}
			for _, command := range all {
				if slices.Contains(got, command) != slices.Contains(want, command) {
					t.Errorf("version %d was sent %v, want %v of %v", version, got, want, all)
				}
			}
			if (len(ping) == 0) != (version < 60001) {
				t.Errorf("version %d was sent a ping of %d bytes", version, len(ping))
			}
		})
	}
}

// A peer that does not know what to make of a ping with a nonce is not cut for silence
// about it.
func TestOldPeerOwesNoPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(60000)
		time.Sleep(pongTimeout + time.Minute)
		if p := s.Peers(); len(p) != 1 || p[0].PingWait != 0 {
			t.Errorf("peers: %+v", p)
		}
	})
}

func TestVersionMessageOfOldPrograms(t *testing.T) {
	whole := actorVersion(ProtocolVersion)
	for without := range versionTail + 1 {
		v := *whole
		v.without = without
		m, err := decodeMessage(cmdVersion, v.append(nil))
		got, ok := m.(*msgVersion)
		if err != nil || !ok {
			t.Fatalf("without %d parts: %v", without, err)
		}
		want := v
		if without > 0 {
			want.relay = true
		}
		if without > 1 {
			want.startHeight = -1
		}
		if without > 2 {
			want.userAgent = ""
		}
		if without > 3 {
			want.nonce = 1
		}
		if *got != want {
			t.Errorf("without %d parts: %+v, want %+v", without, *got, want)
		}
	}
	if _, err := decodeMessage(cmdVersion, whole.append(nil)[:60]); err == nil {
		t.Error("a version message that ends within a part was taken")
	}
}

// Before version 70015 an invalid block in compact form was a reason to ban: such a peer
// is sent one only when it is known to be valid.
func TestBlocksAreForwardedUncheckedToNoOldVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &slowLedger{pause: 5 * time.Second}
		s := w.add("s", func(c *Config) { ledger.Chain = c.Chain.(*chain.Chain); c.Chain = ledger })
		coins := rich(w, 1, s)
		block := s.spendingBlock(w.spec, 1, coins...)
		var actors []*actor
		for i, version := range []int32{ProtocolVersion, 70015, 70014} {
			a := w.call(s, fmt.Sprintf("203.0.113.%d:1", i+1))
			a.shake(version)
			a.say(msgSendCmpct{true, compactVersion})
			a.hear(cmdGetHeaders)
			a.say(msgHeaders{s.ledger.BestHeader().Header})
			actors = append(actors, a)
		}
		time.Sleep(time.Second) // virtual
		start := time.Now()
		actors[0].say(msgHeaders{block.Header})
		actors[0].hear(cmdGetData)
		actors[0].say(msgBlock{block})
		actors[1].hear(cmdCmpctBlock)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the recent one was sent the block after %v", took)
		}
		actors[2].hear(cmdCmpctBlock)
		if took := time.Since(start); took < ledger.pause {
			t.Errorf("the old one was sent the block after %v, before it was judged", took)
		}
	})
}

// Who serves no blocks is asked for headers by its first announcement alone.
func TestWhoServesNothingIsFollowedOnce(t *testing.T) {
	for services, once := range map[uint64]bool{serviceWitness: true, serviceWitness | serviceNetwork: false, serviceWitness | serviceNetworkLimited: false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.add("s", nil)
			blocks := longChain(t, 3)
			a := w.call(s, "203.0.113.1:1")
			v := actorVersion(ProtocolVersion)
			v.services = services
			a.shakeAs(v)
			a.hear(cmdGetHeaders)
			a.say(msgHeaders{w.spec.Rules.Genesis().Header})
			a.stillThere()
			asked := 0
			for _, b := range blocks {
				a.say(&msgInv{cmdInv, []invItem{{invBlock, b.Header.Hash()}}})
				a.stillThere()
				for _, m := range a.unheard {
					if m.command() == cmdGetHeaders {
						asked++
					}
				}
				a.unheard = nil
				a.say(msgHeaders{b.Header})
				a.stillThere()
			}
			if asked == 0 || (asked == 1) != once {
				t.Errorf("services %x: asked %d times for %d announcements", services, asked, len(blocks))
			}
		})
	}
}

// Nobody may set a filter here: whoever tries is disconnected, as by Bitcoin Core
// without -peerbloomfilters.
func TestFiltersAreRefused(t *testing.T) {
	for _, command := range []string{cmdFilterLoad, cmdFilterAdd, cmdFilterClear} {
		for _, payload := range [][]byte{nil, make([]byte, 36_000)} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				a := w.call(s, "203.0.113.1:1")
				a.shake(ProtocolVersion)
				_ = a.WriteMessage(command, payload)
				start := time.Now()
				a.isCut()
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s: after %v", command, took)
				}
				if s.bans.isDiscouraged(hostOfString("203.0.113.1:1")) {
					t.Errorf("%s: discouraged", command)
				}
			})
		}
	}
}
