// Package zmq publishes what happens in a node on ZeroMQ's PUB sockets, with the topics,
// the bodies and the numbers of Bitcoin Core, for the many programs that know only those.
// Messages may be lost; who must not lose one uses package stream.
//
// The sockets are written here because what there is in Go sends to one subscriber after
// the other, so that one that does not read stops all the others.
package zmq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// Topics are what can be published, in the order in which one event is told.
var Topics = []string{"hashblock", "hashtx", "rawblock", "rawtx", "sequence"}

// Notification is a topic that is published at an address.
type Notification struct {
	Topic   string // one of Topics
	Address string // tcp://HOST:PORT, ipc://PATH or unix:PATH
	HWM     int    // messages that wait for a subscriber; of the first topic at an address
}

// Chain is what the publisher needs of the ledger.
type Chain interface {
	Header(hash consensus.Hash) (chain.HeaderInfo, bool)
	HashAt(height uint32) (consensus.Hash, bool)
	Block(hash consensus.Hash) (*consensus.Block, error)
	Subscribe(poke func()) (cancel func())
}

// Config is what is published of what.
type Config struct {
	Chain   Chain
	Sync    func() error                            // brings the pool up to date with the ledger
	Initial func() bool                             // whether the initial block download goes on: then no hashblock and rawblock
	Point   func() (tip consensus.Hash, known bool) // up to which the pool follows the ledger
	Log     *slog.Logger
}

// outlet is a notification and its number.
type outlet struct {
	Notification
	socket *socket
	next   uint32
}

// Publisher tells of blocks and of the mempool in order.
type Publisher struct {
	cfg     Config
	outlets []*outlet
	listen  map[string]net.Listener
	sockets map[string]*socket
	poked   chan struct{}

	mu    sync.Mutex // guards what follows
	moves []mempool.Move

	// Of the goroutine of Run.
	tip  consensus.Hash // that was told of
	work consensus.Work // that a block must exceed to be the new tip for all
}

const (
	maxMoves = 1 << 16 // that wait to be told; more are lost
	maxSteps = 10_000  // blocks that are told of one after the other
)

// ErrAddress is the kind of the errors of an address.
var ErrAddress = errors.New("want tcp://HOST:PORT, ipc://PATH or unix:PATH")

// parse splits an address for package net. All of a machine's addresses are "*".
func parse(address string) (network, at string, err error) {
	if at, ok := strings.CutPrefix(address, "tcp://"); ok {
		host, port, err := net.SplitHostPort(at)
		if err != nil || port == "" || host == "" {
			return "", "", fmt.Errorf("%w, not %.80q", ErrAddress, address)
		}
		if host == "*" {
			host = ""
		}
		return "tcp", net.JoinHostPort(host, port), nil
	}
	for _, prefix := range []string{"ipc://", "unix:"} {
		if at, ok := strings.CutPrefix(address, prefix); ok && at != "" {
			return "unix", at, nil
		}
	}
	return "", "", fmt.Errorf("%w, not %.80q", ErrAddress, address)
}

// CheckAddress is an error of kind ErrAddress for what is no address.
func CheckAddress(address string) error {
	_, _, err := parse(address)
	return err
}

// IsLocal reports whether only this machine can connect to an address.
func IsLocal(address string) bool {
	network, at, err := parse(address)
	if err != nil || network == "unix" {
		return err == nil
	}
	host, _, _ := net.SplitHostPort(at)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Listen opens the sockets; Run serves them. Several notifications may share one.
func Listen(ctx context.Context, cfg Config, list []Notification) (*Publisher, error) {
	var lc net.ListenConfig
	p := &Publisher{cfg: cfg, poked: make(chan struct{}, 1), listen: make(map[string]net.Listener), sockets: make(map[string]*socket)}
	for _, n := range list {
		n.Address = strings.Replace(n.Address, "unix:", "ipc://", 1)
		if p.sockets[n.Address] == nil {
			network, at, err := parse(n.Address)
			if err == nil && network == "unix" {
				err = removeSocket(at)
			}
			if err == nil {
				p.listen[n.Address], err = lc.Listen(ctx, network, at)
			}
			if err != nil {
				p.close()
				return nil, fmt.Errorf("publishing %s at %s: %w", n.Topic, n.Address, err)
			}
			if !IsLocal(n.Address) {
				cfg.Log.Warn("everybody who can reach this address sees what is published there, without a password", "address", n.Address)
			}
			p.sockets[n.Address] = newSocket(cfg.Log, n.HWM)
		}
		p.outlets = append(p.outlets, &outlet{Notification: n, socket: p.sockets[n.Address]})
	}
	slices.SortStableFunc(p.outlets, func(a, b *outlet) int { return strings.Compare(a.Topic, b.Topic) })
	return p, nil
}

// removeSocket removes a socket that an earlier run has left, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // net.Listen says what is wrong
	}
	return os.Remove(path)
}

func (p *Publisher) close() {
	for _, l := range p.listen {
		if l != nil {
			l.Close()
		}
	}
}

// Notifications lists what is published where.
func (p *Publisher) Notifications() []Notification {
	list := make([]Notification, len(p.outlets))
	for i, o := range p.outlets {
		list[i] = o.Notification
	}
	return list
}

// Move tells of a move of the mempool, see mempool.Pool.OnMove.
func (p *Publisher) Move(m mempool.Move) {
	p.mu.Lock()
	if len(p.moves) < maxMoves {
		p.moves = append(p.moves, m)
	}
	p.mu.Unlock()
	p.poke()
}

func (p *Publisher) poke() {
	select {
	case p.poked <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.close()
	if err := p.cfg.Sync(); err != nil {
		return err
	}
	p.tip, _ = p.cfg.Point()
	if at, ok := p.cfg.Chain.Header(p.tip); ok {
		p.work = at.Work
	}
	defer p.cfg.Chain.Subscribe(p.poke)()
	var group sync.WaitGroup
	defer group.Wait()
	for address, s := range p.sockets {
		group.Go(func() { s.serve(ctx, p.listen[address]) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.poked:
			if err := p.step(); err != nil {
				return err
			}
		}
	}
}

// step tells of what has happened. Each move says up to which block the pool had come:
// what a block takes out of the mempool is told before the block, and what comes in behind
// it after; what a reorganization does is told between the blocks that leave and those
// that come. That is Bitcoin Core's order.
func (p *Publisher) step() error {
	if err := p.cfg.Sync(); err != nil {
		return err
	}
	point, known := p.cfg.Point()
	p.mu.Lock()
	moves := p.moves
	p.moves = nil
	p.mu.Unlock()
	for i := range moves {
		m := &moves[i]
		switch {
		case m.Point == p.tip:
		case m.Reorg:
			p.retreat(m.Point)
		default:
			p.advance(m.Point)
		}
		p.move(m)
	}
	if known {
		p.advance(point)
	}
	if at, ok := p.cfg.Chain.Header(p.tip); ok {
		p.work = at.Work
	}
	return nil
}

func (p *Publisher) move(m *mempool.Move) {
	switch m.Left {
	case "":
		p.tx(m.Entry.Tx, m.Entry.TxID)
		p.sequence(m.Entry.TxID, 'A', m.Seq)
	case mempool.LeftBlock:
	default:
		p.sequence(m.Entry.TxID, 'R', m.Seq)
	}
}

// advance tells of the blocks between the tip that was told of and another one.
func (p *Publisher) advance(to consensus.Hash) {
	target, ok := p.cfg.Chain.Header(to)
	at, known := p.cfg.Chain.Header(p.tip)
	if !ok || !known {
		p.tip = to
		return
	}
	var path []chain.HeaderInfo // to the target, newest first
	for n := target; ok && at.Hash != n.Hash && len(path) < maxSteps; {
		if at.Height >= n.Height { // above, or beside it on another branch
			p.block(&at, 'D')
			at, ok = p.cfg.Chain.Header(at.Header.Prev)
			continue
		}
		path = append(path, n)
		n, ok = p.cfg.Chain.Header(n.Header.Prev)
	}
	for _, n := range slices.Backward(path) {
		p.block(&n, 'C')
		if n.Work.Gt(&p.work) {
			p.work = n.Work
			p.newTip(&n)
		}
	}
	p.tip = to
}

// retreat tells of the blocks that leave on the way to a block.
func (p *Publisher) retreat(to consensus.Hash) {
	target, ok := p.cfg.Chain.Header(to)
	at, known := p.cfg.Chain.Header(p.tip)
	for ok && known && at.Hash != target.Hash {
		if target.Height > at.Height {
			target, ok = p.cfg.Chain.Header(target.Header.Prev)
			continue
		}
		p.block(&at, 'D')
		at, known = p.cfg.Chain.Header(at.Header.Prev)
		p.tip = at.Hash
	}
}

// block tells that a block was connected (C) or disconnected (D).
func (p *Publisher) block(n *chain.HeaderInfo, label byte) {
	if p.wants("hashtx") || p.wants("rawtx") {
		b, err := p.cfg.Chain.Block(n.Hash)
		if err != nil {
			p.cfg.Log.Warn("the transactions of a block are not published", "hash", n.Hash, "error", err)
		} else {
			for _, tx := range b.Txs {
				p.tx(tx, tx.TxID())
			}
		}
	}
	p.each("sequence", func() []byte { return append(reversed(n.Hash), label) })
}

// newTip tells of a block that is the best one.
func (p *Publisher) newTip(n *chain.HeaderInfo) {
	if p.cfg.Initial() {
		return
	}
	p.each("hashblock", func() []byte { return reversed(n.Hash) })
	p.each("rawblock", func() []byte {
		b, err := p.cfg.Chain.Block(n.Hash)
		if err != nil {
			p.cfg.Log.Warn("a block is not published", "hash", n.Hash, "error", err)
			return nil
		}
		return b.Bytes()
	})
}

func (p *Publisher) tx(tx *consensus.Tx, id consensus.Hash) {
	p.each("hashtx", func() []byte { return reversed(id) })
	p.each("rawtx", tx.Bytes)
}

func (p *Publisher) sequence(id consensus.Hash, label byte, seq uint64) {
	p.each("sequence", func() []byte {
		return binary.LittleEndian.AppendUint64(append(reversed(id), label), seq)
	})
}

func (p *Publisher) wants(topic string) bool {
	return slices.ContainsFunc(p.outlets, func(o *outlet) bool { return o.Topic == topic })
}

// each publishes a body under a topic wherever it is wanted: topic, body and number, which
// counts from 0 at each place.
func (p *Publisher) each(topic string, body func() []byte) {
	var b []byte
	for _, o := range p.outlets {
		if o.Topic != topic {
			continue
		}
		if b == nil {
			if b = body(); b == nil {
				return
			}
		}
		o.socket.send(topic, encode([]byte(topic), b, binary.LittleEndian.AppendUint32(nil, o.next)))
		o.next++
	}
}

// reversed is a hash in the order in which it is written.
func reversed(h consensus.Hash) []byte {
	b := h[:]
	slices.Reverse(b)
	return b
}
