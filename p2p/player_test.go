package p2p

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// player is the other side of a conversation, see FuzzConversation.
type player struct {
	t      *testing.T
	spec   *consensus.Spec
	ledger *chain.Chain
	node   *Node
	txs    []*consensus.Tx    // that can be spent: coinbases, and what it has made
	blocks []*consensus.Block // that it has made
	said   []message          // samples to choose from
	links  []*playerLink
	calls  int
	hurry  bool // does not wait for what the node does with a message
}

type playerLink struct {
	conn  Conn
	asked chan invItem // by getdata of the node

	mu    sync.Mutex // guards what follows
	nonce uint64     // of the node's last ping
}

// call connects to the node, or has the node dial, and reads what the node says,
// at last until it hangs up.
func (p *player) call(kind connectionKind) {
	p.calls++
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{80, byte(p.calls), 0, 1}), 1) // each in a part of the network of its own
	a, b := Pipe(net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:1")), 0)
	l := &playerLink{conn: a, asked: make(chan invItem, 1000)}
	p.links = append(p.links, l)
	if kind == kindInbound {
		p.node.Accept(b)
	} else if url := "ws://" + from.String() + socketPath; !p.node.begin(func() { _ = p.node.runPeer(p.node.ctx, b, kind, url) }) {
		p.t.Error("the node has ended")
	}
	go p.listen(l)
	synctest.Wait()
}

// listen reads what the node says on a link.
func (p *player) listen(l *playerLink) {
	for {
		command, payload, err := l.conn.ReadMessage()
		if err != nil {
			return
		}
		m, err := decodeMessage(command, payload)
		if err != nil {
			p.t.Errorf("the node sent %s that cannot be read: %v", command, err)
			return
		}
		var items []invItem
		switch m := m.(type) {
		case *msgInv:
			if m.cmd == cmdGetData {
				items = m.items
			}
		case *msgGetBlockTxn:
			items = []invItem{{askedPlaces, m.hash}}
		case msgPing:
			l.mu.Lock()
			l.nonce = uint64(m)
			l.mu.Unlock()
		}
		for _, item := range items {
			select {
			case l.asked <- item:
			default:
			}
		}
	}
}

// askedPlaces is no kind of BIP144: it marks what getblocktxn asked for.
const askedPlaces = 0xffff

// shake does the handshake in one of several ways.
func (p *player) shake(way byte) {
	v := actorVersion(ProtocolVersion)
	features := []msgEmpty{cmdWTxIDRelay, cmdSendAddrV2, cmdSendAddrURL}
	switch way % 8 {
	case 1:
		v.version, features = ProtocolVersion-1, nil // txids, addr
	case 2:
		v.version = minProtocolVersion
	case 3:
		v.services = serviceNetworkLimited | serviceWitness
	case 4:
		v.services, v.relay = 0, false
	case 5:
		features = features[1:] // txids, but a new version
	case 6:
		features = append(features, cmdSendHeaders, cmdGetAddr) // too early
	case 7:
		v.version = minProtocolVersion - 1
	}
	p.say(v)
	for _, f := range features {
		p.say(f)
	}
	p.say(msgEmpty(cmdVerack))
}

func (p *player) link() *playerLink { return p.links[len(p.links)-1] }

// send does not mind if the node has hung up.
func (p *player) send(command string, payload []byte) {
	_ = p.link().conn.WriteMessage(command, payload)
	if !p.hurry {
		synctest.Wait()
	}
}

func (p *player) say(m message) { p.send(m.command(), m.append(nil)) }

// take cuts n bytes off the script, or as many as are left, and zeros for the rest.
func take(script *[]byte, n int) []byte {
	b := make([]byte, n)
	*script = (*script)[copy(b, *script):]
	return b
}

// pick chooses one of a list.
func pick[T any](list []T, arg byte) T { return list[int(arg)%len(list)] }

// step plays one step.
func (p *player) step(op, arg byte, script *[]byte) {
	sample := pick(p.said, arg)
	payload := sample.append(nil)
	switch op % opCount {
	case opSend:
		p.say(sample)
	case opMutate:
		at := take(script, 2)
		if len(payload) > 0 {
			payload[int(at[0])%len(payload)] ^= at[1]
		}
		p.send(sample.command(), payload)
	case opTruncate:
		p.send(sample.command(), payload[:max(0, len(payload)-int(take(script, 1)[0]))])
	case opRaw:
		p.send(sample.command(), take(script, int(take(script, 1)[0])))
	case opUnknown:
		p.send("hello", []byte{arg})
	case opWait:
		time.Sleep(time.Duration(arg) * time.Second) // virtual
	case opMine:
		p.feed(mineOn(p.spec, p.ledger.Tip(), arg, p.pooled(int(arg%4))...))
	case opHeaders:
		p.announce(p.ledger.Tip(), arg)
	case opFork:
		if tip := p.ledger.Tip(); tip.Height > 2 {
			p.announce(p.stateAt(tip.Height-1-uint32(arg%2)), arg)
		}
	case opBlock:
		p.block(arg)
	case opTx:
		p.tx(arg, take(script, 1)[0])
	case opAnswer:
		p.answer(arg)
	case opPong:
		l := p.link()
		l.mu.Lock()
		nonce := l.nonce
		l.mu.Unlock()
		p.say(msgPong(nonce + uint64(arg%2)))
	case opReconnect:
		_ = p.link().conn.Close("")
		p.call(kindInbound)
		p.shake(arg)
	case opSecond:
		p.call(pick([]connectionKind{kindInbound, kindOutbound, kindBlocks, kindManual, kindFeeler}, arg))
		p.shake(arg / 5)
	case opTurn: // another link goes on
		i := int(arg) % len(p.links)
		l := p.links[i]
		p.links = append(slices.Delete(p.links, i, i+1), l)
	case opCompact:
		p.compact(arg)
	case opAddrs:
		p.addrs(arg)
	case opSubmit:
		tx := spend(pick(p.txs, arg), 5000)
		p.node.Broadcast(tx.TxID())
		if p.node.pool.Add(tx) == nil {
			p.txs = append(p.txs, tx)
		}
	}
	synctest.Wait()
}

func (p *player) feed(b *consensus.Block) {
	if err := p.ledger.AddBlock(b); err != nil {
		p.t.Fatal(err)
	}
	p.txs, p.blocks = append(p.txs, b.Txs[0]), append(p.blocks, b)
}

// stateAt gives the state of the chain at a height.
func (p *player) stateAt(height uint32) consensus.State {
	s := p.spec.Rules.GenesisState()
	for h := uint32(1); h <= height; h++ {
		hash, _ := p.ledger.HashAt(h)
		info, ok := p.ledger.Header(hash)
		if !ok {
			p.t.Fatalf("no block at %d", h)
		}
		s = p.spec.Rules.NextState(s, &info.Header)
	}
	return s
}

// pooled gives up to n transactions of the pool that spend none of it.
func (p *player) pooled(n int) (txs []*consensus.Tx) {
	for _, made := range p.txs {
		tx, in := p.node.pool.ByTxID(made.TxID())
		_, needs := p.node.pool.ByTxID(made.In[0].PrevOut.TxID)
		if in && !needs && len(txs) < n && !slices.Contains(txs, tx) {
			txs = append(txs, tx)
		}
	}
	return txs
}

// announce sends the headers of up to 20 new blocks.
func (p *player) announce(after consensus.State, arg byte) {
	blocks := mine(p.spec, after, arg, int(arg%20)+1)
	p.blocks = append(p.blocks, blocks...)
	p.say(headersOf(blocks))
}

// block sends a block on top of the node's tip, good or changed.
func (p *player) block(arg byte) {
	b := mineOn(p.spec, p.ledger.Tip(), arg, p.pooled(2)...)
	switch arg % 8 {
	case 1: // takes too much
		b.Txs[0].Out[0].Value++
		b.Seal()
		work(p.spec, b)
	case 2: // its hash does not commit to that
		b.Txs = append(b.Txs, b.Txs[len(b.Txs)-1])
	case 3:
		b.Txs[0].In[0].Witness[0][0] ^= 1
	case 4:
		b.Time = uint32(now().Add(24 * time.Hour).Unix())
		work(p.spec, b)
	case 5: // without work
		for p.spec.Rules.CheckWork(&b.Header) == nil {
			b.Nonce++
		}
	case 6: // an orphan
		b.Prev[0] ^= 1
		work(p.spec, b)
	}
	p.say(msgBlock{b})
}

// The ways of a transaction.
const (
	txAnnounced = 1 << iota // and sent if it is asked for
	txSpoilt
	txV3
	txStripped
	txFree
	txDear
	txNowhere // spends an output that there is not
)

// tx makes a transaction that spends another one.
func (p *player) tx(arg, way byte) {
	prev, fee := pick(p.txs, arg), 1000+consensus.Amount(arg)
	if way&txFree != 0 {
		fee = 0
	}
	if way&txDear != 0 {
		fee += 100_000
	}
	tx := spend(prev, fee)
	if way&txV3 != 0 {
		tx = truc(prev, fee)
	}
	if way&txNowhere != 0 {
		tx.In[0].PrevOut.Index += 3
	}
	if way&txSpoilt != 0 {
		tx = spoilt(tx)
	} else {
		p.txs = append(p.txs, tx)
	}
	switch {
	case way&txAnnounced != 0:
		p.say(&msgInv{cmdInv, []invItem{{invWTx, tx.WTxID()}, {invTx, tx.TxID()}}})
	case way&txStripped != 0:
		p.send(cmdTx, tx.AppendStripped(nil))
	default:
		p.say(msgTx{tx})
	}
}

// compact sends a block with transactions that the node may have or not.
func (p *player) compact(arg byte) {
	p.say(msgSendCmpct{arg%2 == 0, compactVersion})
	txs := append(p.pooled(2), spend(pick(p.txs[:coinsAtFirst], arg), 2000))
	if arg&32 != 0 { // all known
		txs = txs[:len(txs)-1]
	}
	b := mineOn(p.spec, p.ledger.Tip(), arg, txs...)
	switch arg % 16 {
	case 9: // takes too much
		b.Txs[0].Out[0].Value += 1 << 40
		b.Seal()
	case 10: // an orphan
		b.Prev[0] ^= 1
	case 11:
		b.Time = uint32(now().Add(24 * time.Hour).Unix())
	case 12: // of a wrong difficulty
		b.Bits--
	}
	work(p.spec, b)
	p.blocks = append(p.blocks, b)
	m, _ := compactOf(b, uint64(arg))
	switch arg % 16 {
	case 1:
		m.shortIDs = append(m.shortIDs, m.shortIDs...)
	case 2:
		if len(m.shortIDs) > 0 {
			m.shortIDs[0]++
		}
	case 3:
		m.prefilled[0].tx = pick(p.txs, arg)
	case 4:
		m.shortIDs = nil
		for i, tx := range b.Txs[1:] {
			m.prefilled = append(m.prefilled, placedTx{uint16(i + 1), tx})
		}
	case 5:
		m.header.Nonce++
	case 6:
		p.say(m) // twice
	case 7:
		p.say(msgSendCmpct{true, compactVersion + 1})
	}
	p.say(m)
	p.say(&msgGetBlockTxn{b.Header.Hash(), []uint16{uint16(arg % 3)}})
}

// addrs tells up to 250 addresses.
func (p *player) addrs(arg byte) {
	list := make(msgAddrV2, arg)
	for i := range list {
		list[i] = addrV2{time: uint32(time.Now().Unix()), services: serviceNetwork | serviceWitness, network: networkURL,
			addr: []byte("ws://" + netip.AddrFrom4([4]byte{byte(11 + i%20), arg, 1, byte(i)}).String() + ":9555/p2p")}
		if i%3 == 1 {
			list[i].network, list[i].addr, list[i].port = networkIPv4, []byte{byte(50 + i%30), 1, arg, byte(i)}, 18444
		}
	}
	p.say(list)
}

// answer gives what the node has asked for, if the player has it; much of it all
// at once.
func (p *player) answer(arg byte) {
	p.hurry = arg >= 128
	defer func() { p.hurry = false }()
	for range arg {
		select {
		case item := <-p.link().asked:
			p.give(item)
		default:
			return
		}
	}
}

func (p *player) give(item invItem) {
	if i := slices.IndexFunc(p.blocks, func(b *consensus.Block) bool { return b.Header.Hash() == item.hash }); i >= 0 {
		switch b := p.blocks[i]; item.kind {
		case askedPlaces:
			p.say(&msgBlockTxn{item.hash, b.Txs[1:]})
		case invCmpct:
			m, _ := compactOf(b, 1)
			p.say(m)
		default:
			p.say(msgBlock{b})
		}
		return
	}
	for _, tx := range p.txs {
		if tx.WTxID() == item.hash || tx.TxID() == item.hash {
			p.say(msgTx{tx})
			return
		}
	}
	p.say(&msgInv{cmdNotFound, []invItem{item}})
}

// Where some of the samples stand, for the seeds.
const (
	sampleInv    = 34 // the first of own
	sampleGet    = sampleInv + 4
	sampleLong   = sampleInv + 15
	sampleLast   = sampleLong + 3
	coinsAtFirst = 6
)

// own are messages about the blocks of this conversation.
func (p *player) own() []message {
	genesis, first, last := p.spec.Rules.GenesisHash(), p.blocks[0].Header.Hash(), p.blocks[len(p.blocks)-1].Header.Hash()
	many := make([]invItem, 2000)
	for i := range many {
		many[i].kind = invWTx
		binary.LittleEndian.PutUint32(many[i].hash[:], uint32(i))
	}
	side := mine(p.spec, p.spec.Rules.GenesisState(), 9, 8)
	p.blocks = append(p.blocks, side...)
	return []message{
		&msgInv{cmdInv, []invItem{{invBlock, first}, {invBlock, consensus.Hash{1}}, {invTx, consensus.Hash{2}}}},
		&msgInv{cmdInv, many}, &msgInv{cmdGetData, many}, &msgInv{cmdNotFound, many},
		&msgInv{cmdGetData, []invItem{{invBlock, first}, {invBlock | invWitness, first}, {invBlock, consensus.Hash{1}}, {invCmpct, last}, {invCmpct, first}}},
		&msgLocate{cmdGetHeaders, ProtocolVersion, []consensus.Hash{genesis}, consensus.Hash{}},
		&msgLocate{cmdGetHeaders, ProtocolVersion, nil, first},
		&msgLocate{cmdGetBlocks, ProtocolVersion, []consensus.Hash{first}, consensus.Hash{}},
		&msgGetBlockTxn{last, []uint16{0}}, &msgGetBlockTxn{last, []uint16{7}}, &msgBlockTxn{last, p.txs[:1]},
		headersOf(side), headersOf(side[3:]), msgBlock{side[0]}, msgBlock{side[4]},
		headersOf(longChain(p.t, maxHeaders)), headersOf(longChain(p.t, 2*maxHeaders)[maxHeaders:]), headersOf(longChain(p.t, 2*maxHeaders+200)[2*maxHeaders:]),
		msgTx{spend(spend(p.txs[0], 1000), 1000)},
	}
}
