package p2p

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// logText holds what a node logs.
type logText struct {
	mu   sync.Mutex // guards what follows
	text strings.Builder
}

// Write implements io.Writer.
func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) lines() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

// choose has a station have an actor at addr as a peer of some kind.
func (w *world) choose(s *station, kind connectionKind, addr string) *actor {
	ours, theirs := Pipe(s.addr, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)), w.latency)
	s.begin(func() { _ = s.runPeer(s.ctx, ours, kind, "tcp://"+addr) })
	w.t.Cleanup(func() { _ = theirs.Close("") })
	return &actor{Conn: theirs, t: w.t}
}

// welcome answers the version of a station that has dialled.
func (a *actor) welcome(services uint64) {
	a.t.Helper()
	a.hear(cmdVersion)
	v := actorVersion(ProtocolVersion)
	v.services, v.nonce = services, 2
	a.say(v)
	for _, m := range []msgEmpty{cmdWTxIDRelay, cmdSendAddrV2, cmdSendAddrURL, cmdVerack} {
		a.say(m)
	}
}

// badLine is a connection on which a message arrives with a wrong checksum.
type badLine struct{ Conn }

// ReadMessage implements Conn.
func (c badLine) ReadMessage() (string, []byte, error) {
	command, payload, err := c.Conn.ReadMessage()
	if command == cmdPing {
		return "", nil, errChecksum
	}
	return command, payload, err
}

const culprit = "203.0.113.9:1"

// conducts does, for each line of the table, what ends a connection for that
// reason. It gives the actor that loses its connection.
var conducts = map[error]func(w *world, s *station) *actor{
	consensus.ErrDecode: says(func(_ *world, a *actor) { _ = a.WriteMessage(cmdPing, make([]byte, minPayloadLimit+1)) }),
	errInvalidBlock: says(func(w *world, a *actor) {
		b := greedy(w.spec)
		a.say(msgHeaders{b.Header})
		a.hear(cmdGetData)
		a.say(msgBlock{b})
	}),
	errInvalidHeader: says(func(w *world, a *actor) {
		h := mineOn(w.spec, w.spec.Rules.GenesisState(), 1).Header
		for w.spec.Rules.CheckWork(&h) == nil {
			h.Nonce++
		}
		a.say(msgHeaders{h})
	}),

	errOversized: says(func(_ *world, a *actor) { _ = a.WriteMessage(cmdBlock, make([]byte, maxPayload+1)) }),
	errBloom:     says(func(_ *world, a *actor) { a.say(msgEmpty(cmdMempool)) }),
	errFilters: says(func(w *world, a *actor) {
		a.say(&msgGetFilters{cmd: cmdGetCFHeaders, stop: w.spec.Rules.GenesisHash()}) // of a node that serves none
	}),
	errFlood: says(func(_ *world, a *actor) { a.say(&msgInv{cmdGetData, make([]invItem, maxQueuedRequests+1)}) }),
	errMutated: says(func(w *world, a *actor) {
		b := mineOn(w.spec, w.spec.Rules.GenesisState(), 1)
		b.Txs = append(b.Txs, b.Txs[0])
		a.say(msgBlock{b})
	}),
	errOutside: says(func(w *world, a *actor) {
		b := mineOn(w.spec, w.spec.Rules.GenesisState(), 1)
		b.Txs[0].Out = b.Txs[0].Out[:1]
		b.Txs[0].Out[0].Script = append([]byte{0, 20}, make([]byte, 20)...)
		b.Seal()
		work(w.spec, b)
		a.say(msgBlock{b})
	}),
	errInvalidChain: func(w *world, s *station) *actor {
		b := greedy(w.spec)
		first := w.call(s, "192.0.2.1:1")
		first.shake(ProtocolVersion)
		first.say(msgBlock{b})
		first.isCut()
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		a.say(msgHeaders{b.Header})
		return a
	},
	errProtocol:         says(func(_ *world, a *actor) { a.say(msgEmpty(cmdWTxIDRelay)) }),
	errHandshakeTimeout: func(w *world, s *station) *actor { return w.call(s, culprit) },
	errTooOld: func(w *world, s *station) *actor {
		a := w.call(s, culprit)
		a.say(actorVersion(minProtocolVersion - 1))
		return a
	},
	errUseless: func(w *world, s *station) *actor {
		a := w.choose(s, kindOutbound, culprit)
		a.welcome(0)
		return a
	},
	errUnwanted: func(w *world, s *station) *actor {
		a := w.choose(s, kindBlocks, culprit)
		a.welcome(serviceNetwork | serviceWitness)
		a.say(msgTx{spend(mineOn(w.spec, w.spec.Rules.GenesisState(), 1).Txs[0], 1000)})
		return a
	},
	errUnconnected: says(func(w *world, a *actor) { a.say(msgBlock{mine(w.spec, w.spec.Rules.GenesisState(), 1, 2)[1]}) }),
	errTooDeep: func(w *world, s *station) *actor {
		s.cfg.Pruned = true
		blocks := longChain(w.t, chain.KeptBlocks+4)
		s.feed(blocks...)
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		a.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, blocks[0].Header.Hash()}}})
		return a
	},
	errMissing: says(func(w *world, a *actor) {
		a.say(msgHeaders{mineOn(w.spec, w.spec.Rules.GenesisState(), 1).Header})
		a.say(&msgInv{cmdNotFound, a.hear(cmdGetData).(*msgInv).items})
	}),
	errSelf: func(w *world, s *station) *actor {
		a := w.choose(s, kindOutbound, "198.51.100.1:1")
		v := a.hear(cmdVersion).(*msgVersion)
		mirror := w.call(s, culprit) // it has the same version, so it is the station
		mirror.say(v)
		return mirror
	},
	errSlowReader: says(func(_ *world, a *actor) { flood(a); time.Sleep(time.Minute) }), // virtual
	errStalled: says(func(w *world, a *actor) {
		a.say(msgHeaders{mineOn(w.spec, w.spec.Rules.GenesisState(), 1).Header})
		a.hear(cmdGetData)
	}),
	errHoldsUp: func(w *world, s *station) *actor {
		blocks := longChain(w.t, downloadWindow+1)
		first := w.call(s, culprit)
		first.shake(ProtocolVersion)
		first.say(headersOf(blocks))
		first.hear(cmdGetData)
		go first.listenTo()
		w.withholder(s, 1, kindOutbound, blocks, 0).tell(headersOf(blocks))
		return first
	},
	errOutdated: func(w *world, s *station) *actor {
		a := w.choose(s, kindBlocks, culprit)
		a.welcome(serviceNetwork | serviceWitness)
		go a.listenTo()
		s.feed(mineOn(w.spec, s.ledger.Tip(), 1))
		time.Sleep(catchUpTime + answerTime + time.Minute) // virtual
		return a
	},
	errMute: func(w *world, s *station) *actor {
		s.wall.Forward(30 * 365 * 24 * time.Hour) // so that the chain is old
		a := w.choose(s, kindOutbound, culprit)
		a.welcome(serviceNetwork | serviceWitness)
		w.choose(s, kindOutbound, "198.51.100.1:1").welcome(serviceNetwork | serviceWitness)
		time.Sleep(muteTime + time.Minute) // virtual
		return a
	},
	errNoPong: says(func(*world, *actor) {}),

	errClosed: says(func(_ *world, a *actor) { _ = a.Close("") }),
	errStopping: func(w *world, s *station) *actor {
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		s.stop()
		return a
	},
	errAsked: does(func(_ *world, s *station) { _ = s.Disconnect(0, "") }),
	errFull: func(w *world, s *station) *actor {
		s.mu.Lock()
		s.inbound += maxInbound // of whom nobody can go
		s.mu.Unlock()
		return w.call(s, culprit)
	},
	errBanned: does(func(_ *world, s *station) {
		_ = s.Ban(Subnet{Prefix: netip.MustParsePrefix("203.0.113.0/24")}, time.Now().Add(time.Hour))
	}),
	errQuiet: does(func(_ *world, s *station) { s.SetActive(false) }),
	errEvicted: func(w *world, s *station) *actor {
		for i := range maxInbound - 1 {
			w.call(s, fmt.Sprintf("203.0.1.%d:1", i)).shake(ProtocolVersion)
		}
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		w.call(s, "198.51.100.1:1").shake(ProtocolVersion)
		return a
	},
	errFeeler: func(w *world, s *station) *actor {
		a := w.choose(s, kindFeeler, culprit)
		a.welcome(serviceNetwork | serviceWitness)
		return a
	},
	errFetched: func(w *world, s *station) *actor {
		a := w.choose(s, kindAddrFetch, culprit)
		a.welcome(serviceNetwork | serviceWitness)
		a.say(msgAddrV2{namedAddr(0), namedAddr(1)})
		return a
	},
	errFetchTimeout: func(w *world, s *station) *actor {
		a := w.choose(s, kindAddrFetch, culprit)
		a.welcome(serviceNetwork | serviceWitness)
		a.say(msgAddrV2{namedAddr(0)}) // itself
		return a
	},
	errCrowded: func(w *world, s *station) *actor {
		w.choose(s, kindOutbound, "203.0.1.1:1").welcome(serviceNetwork | serviceWitness)
		w.until("there is one", func() bool { return s.count(kindOutbound) == 1 })
		return w.choose(s, kindBlocks, culprit)
	},
	errUploadLimit: func(w *world, s *station) *actor {
		old := mineOn(w.spec, s.ledger.Tip(), 1)
		late := mineOn(w.spec, w.spec.Rules.NextState(s.ledger.Tip(), &old.Header), 1)
		late.Time += uint32(oldBlock / time.Second)
		late.Seal()
		work(w.spec, late)
		s.feed(old, late)
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		a.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, late.Header.Hash()}}})
		a.hear(cmdBlock) // a new one is served all the same
		a.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, old.Header.Hash()}}})
		return a
	},
}

// says has the culprit shake hands and then say something.
func says(what func(w *world, a *actor)) func(*world, *station) *actor {
	return func(w *world, s *station) *actor {
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		what(w, a)
		return a
	}
}

// does has a station do something when the culprit has shaken hands.
func does(what func(w *world, s *station)) func(*world, *station) *actor {
	return func(w *world, s *station) *actor {
		a := w.call(s, culprit)
		a.shake(ProtocolVersion)
		what(w, s)
		return a
	}
}

// greedy is a block whose coinbase takes too much.
func greedy(spec *consensus.Spec) *consensus.Block {
	b := mineOn(spec, spec.Rules.GenesisState(), 1)
	b.Txs[0].Out = b.Txs[0].Out[:1]
	b.Txs[0].Out[0].Value++
	b.Seal()
	work(spec, b)
	return b
}

// TestConduct goes through the table: each line has a case, the log says what
// the verdict wants, and only who is proven faulty may not come again.
func TestConduct(t *testing.T) {
	for _, line := range conduct {
		play, ok := conducts[line.reason]
		if !ok {
			t.Errorf("no case for %q", line.reason)
			continue
		}
		t.Run(line.reason.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var log logText
				s := w.add("s", func(c *Config) {
					c.Log, c.MaxUpload = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), 1
				})
				play(w, s).isCut()
				synctest.Wait()
				var about []string
				for _, l := range log.lines() {
					if strings.Contains(l, culprit) && (strings.Contains(l, "WARN") || strings.Contains(l, "peer gone")) {
						about = append(about, l)
					}
				}
				text := strings.Join(about, "")
				if len(about) != 1 || !strings.Contains(text, line.reason.Error()) || strings.Contains(text, "level=WARN") != (line.verdict != blameless) ||
					strings.Contains(text, "discouraged") != (line.verdict == proven) {
					t.Errorf("the log says %q", text)
				}
				if got := s.bans.isDiscouraged(hostOfString(culprit)); got != (line.verdict == proven) {
					t.Errorf("discouraged is %v", got)
				}
			})
		})
	}
	if len(conducts) != len(conduct) {
		t.Errorf("%d cases for %d lines", len(conducts), len(conduct))
	}
}

// A feeler goes when it knows that somebody is there: it waits for no verack.
func TestFeelerEndsWithTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		s := w.add("s", nil)
		a := w.choose(s, kindFeeler, culprit)
		if v := a.hear(cmdVersion).(*msgVersion); v.relay {
			t.Error("a feeler asks for transactions")
		}
		begun := time.Now()
		a.say(actorVersion(ProtocolVersion))
		if a.isCut(); time.Since(begun) > time.Second {
			t.Errorf("ended after %v", time.Since(begun))
		}
	})
}

// What a bad line, an older program or one that orders its messages otherwise may do
// costs it nothing: the conversation goes on.
func TestOddMessagesAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(culprit))
		theirs, ours := Pipe(from, s.addr, w.latency)
		s.Accept(badLine{ours})
		a := &actor{Conn: theirs, t: w.t}
		a.say(msgEmpty(cmdGetAddr))
		a.shake(ProtocolVersion)
		a.say(actorVersion(ProtocolVersion))
		a.say(msgPing(1)) // with a wrong checksum
		_ = a.WriteMessage("something", []byte("unknown"))
		_ = a.WriteMessage(cmdPong, []byte{1})
		_ = a.WriteMessage(cmdPing, []byte{1})        // too short
		_ = a.WriteMessage(cmdSendHeaders, []byte{1}) // too long
		_ = a.WriteMessage(cmdAddrV2, nil)
		_ = a.WriteMessage(cmdTx, []byte{1, 2, 3})
		a.say(&msgLocate{cmdGetHeaders, ProtocolVersion, nil, w.spec.Rules.GenesisState().Hash})
		if got := a.hear(cmdHeaders).(msgHeaders); len(got) != 1 {
			t.Errorf("%d headers", len(got))
		}
	})
}

// Somebody who talks without ever sending a version is cut off, long before the time
// for the handshake is over.
func TestTooMuchBeforeTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		a := w.call(w.add("s", nil), culprit)
		begun := time.Now()
		for range maxEarly {
			a.say(msgEmpty(cmdGetAddr))
		}
		if a.isCut(); time.Since(begun) > time.Second {
			t.Errorf("cut off after %v", time.Since(begun))
		}
	})
}
