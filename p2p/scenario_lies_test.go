package p2p

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// forgery is a chain that a liar shows in place of the honest one: each answer to
// getheaders has the next of its headers.
type forgery struct {
	begin  func() (next func() msgHeaders)     // for each connection
	bodies map[consensus.Hash]*consensus.Block // that it gives
	conns  sync.Map                            // what begin gave, by Conn
}

func (f *forgery) lie(c Conn, command string, payload []byte) error {
	switch command {
	case cmdHeaders:
		next, begun := f.conns.Load(c)
		if !begun {
			next = f.begin()
			f.conns.Store(c, next)
		}
		return c.WriteMessage(cmdHeaders, next.(func() msgHeaders)().append(nil))
	case cmdNotFound: // so says the honest node beneath
		for _, hash := range askedHashes(payload) {
			if body, ok := f.bodies[hash]; ok {
				if err := c.WriteMessage(cmdBlock, body.Bytes()); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return c.WriteMessage(command, payload)
}

func askedHashes(notFound []byte) (hashes []consensus.Hash) {
	m, err := decodeMessage(cmdNotFound, notFound)
	if err != nil {
		return nil
	}
	for _, item := range m.(*msgInv).items {
		hashes = append(hashes, item.hash)
	}
	return hashes
}

// inTurns gives the headers of a chain of blocks, and again from the first when
// it is through.
func inTurns(blocks []*consensus.Block) func() func() msgHeaders {
	return func() func() msgHeaders {
		from := 0
		return func() msgHeaders {
			to := min(from+maxHeaders, len(blocks))
			headers := headersOf(blocks[from:to])
			if from = to; len(headers) < maxHeaders {
				from = 0
			}
			return headers
		}
	}
}

// change has a liar do something else than send a message of one command.
func change(command string, instead func(c Conn, payload []byte) error) lie {
	return func(c Conn, said string, payload []byte) error {
		if said == command {
			return instead(c, payload)
		}
		return c.WriteMessage(said, payload)
	}
}

func never(Conn, []byte) error { return nil }

// hardSpec is a network whose difficulty rises, so that headers can have less
// work than others.
var hardSpec = sync.OnceValue(func() *consensus.Spec {
	return chaingen.Spec(func(s *consensus.Spec) {
		s.Rules.Difficulty = consensus.Difficulty{Algorithm: consensus.AlgorithmASERT, HalfLife: 3600}
		s.Defaults.MaxDrift = 600
	})
})

// hardChain is n blocks after some others, the first of which come so fast that
// those after them are 16 times as hard as genesis.
func hardChain(after []*consensus.Block, salt byte, n int) (blocks []*consensus.Block) {
	spec := hardSpec()
	state := spec.Rules.GenesisState()
	for _, b := range after {
		state = spec.Rules.NextState(state, &b.Header)
	}
	start := state.Time
	const fast = 6 * 4 // a sixth of the half-life each
	for i := range n {
		b := mineOn(spec, state, salt)
		if i < fast {
			b.Time = start + uint32(i) + 1
			work(spec, b)
		}
		blocks = append(blocks, b)
		state = spec.Rules.NextState(state, &b.Header)
	}
	return blocks
}

// syncLie makes peers that lie to somebody who fetches the chain from them.
type syncLie struct {
	make  func() lie
	costs time.Duration // that one such peer can take, see the constants
}

// syncLies are the ways to do that, for peers on the honest chain.
func syncLies(honest []*consensus.Block) map[string]syncLie {
	spec := hardSpec()
	genesis := spec.Rules.GenesisState()
	better := hardChain(nil, 66, len(honest)+20)
	// Block 5 of another one takes too large a reward.
	first := hardChain(nil, 67, 5)
	greedy := first[4]
	greedy.Txs[0].Out = greedy.Txs[0].Out[:1]
	greedy.Txs[0].Out[0].Value++
	greedy.Seal()
	work(spec, greedy)
	invalid := append(first, hardChain(first, 67, len(honest)+20)...)

	always := func(l lie, costs time.Duration) syncLie { return syncLie{func() lie { return l }, costs} }
	block := func(costs time.Duration, instead func(c Conn, payload []byte) error) syncLie {
		return always(change(cmdBlock, instead), costs)
	}
	return map[string]syncLie{
		"silent on getheaders": always(change(cmdHeaders, never), headersTimeout),
		"no headers": always(change(cmdHeaders, func(c Conn, _ []byte) error {
			return c.WriteMessage(cmdHeaders, msgHeaders{}.append(nil))
		}), 0),
		"headers without work": always(change(cmdHeaders, func(c Conn, payload []byte) error {
			m, err := decodeMessage(cmdHeaders, payload)
			if err != nil || len(m.(msgHeaders)) == 0 {
				return c.WriteMessage(cmdHeaders, payload)
			}
			headers := m.(msgHeaders)
			for last := &headers[len(headers)-1]; spec.Rules.CheckWork(last) == nil; {
				last.Nonce++
			}
			return c.WriteMessage(cmdHeaders, headers.append(nil))
		}), 0),
		"headers without end": {func() lie { // and with so little work that they never have as much as the honest
			return (&forgery{begin: func() func() msgHeaders {
				last := spec.Rules.Genesis().Header
				return func() msgHeaders {
					time.Sleep(4 * time.Second) // virtual
					list := make(msgHeaders, maxHeaders)
					for i := range list {
						h := &list[i]
						*h = consensus.Header{Version: last.Version, Prev: last.Hash(), Time: last.Time + 1, Bits: last.Bits}
						for spec.Rules.CheckWork(h) != nil {
							h.Nonce++
						}
						last = *h
					}
					return list
				}
			}}).lie
		}, leaderTerm},
		"a chain with little work": {func() lie {
			return (&forgery{begin: inTurns(mine(spec, genesis, 65, len(honest)+20))}).lie
		}, 0},
		"a better chain without bodies": {func() lie { return (&forgery{begin: inTurns(better)}).lie }, 0},
		"a better chain that is invalid": {func() lie {
			f := &forgery{begin: inTurns(invalid), bodies: make(map[consensus.Hash]*consensus.Block)}
			for _, b := range invalid {
				f.bodies[b.Header.Hash()] = b
			}
			return f.lie
		}, 0},
		"blocks never given": block(moveTimeout, never),
		"one block a minute": block(moveTimeout, func(c Conn, payload []byte) error {
			time.Sleep(time.Minute) // virtual
			return c.WriteMessage(cmdBlock, payload)
		}),
		"blocks with a changed byte": block(0, func(c Conn, payload []byte) error {
			changed := slices.Clone(payload)
			changed[consensus.HeaderSize+rand.IntN(len(changed)-consensus.HeaderSize)] ^= 1 << rand.IntN(8)
			return c.WriteMessage(cmdBlock, changed)
		}),
		"blocks with a changed witness": block(0, func(c Conn, payload []byte) error {
			b, err := consensus.DecodeBlock(payload)
			if err != nil {
				return err
			}
			return c.WriteMessage(cmdBlock, mutations["another reserved value"](b).Bytes())
		}),
		"always the same block": block(moveTimeout, func(c Conn, _ []byte) error { return c.WriteMessage(cmdBlock, honest[0].Bytes()) }),
		"notfound for all": block(0, func(c Conn, payload []byte) error {
			h, err := consensus.DecodeHeader(payload[:consensus.HeaderSize])
			if err != nil {
				return err
			}
			m := &msgInv{cmdNotFound, []invItem{{invBlock | invWitness, h.Hash()}}}
			return c.WriteMessage(cmdNotFound, m.append(nil))
		}),
		"garbage": block(0, func(c Conn, payload []byte) error {
			noise := make([]byte, len(payload))
			for i := range noise {
				noise[i] = byte(rand.Uint32())
			}
			return c.WriteMessage(cmdBlock, noise)
		}),
	}
}
