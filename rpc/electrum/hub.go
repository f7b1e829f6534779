package electrum

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"

	"lode/consensus"
	"lode/rpc/scripthash"
)

// target is a script that is subscribed to.
type target = scripthash.ID

// state is what a subscriber is told: the status of a script, or the tip's hash.
// None is the status of a script without transactions.
type state struct {
	hash consensus.Hash
	some bool
}

// hub knows who has subscribed to what, and tells them.
type hub struct {
	index      *scripthash.Index
	ledger     Ledger
	maxHistory int // transactions of a script
	maxSubs    int // scripts of a connection

	mu      sync.Mutex // guards what follows; before conn.mu
	watches map[target][]*subscription
	headers map[*subscription]struct{}
	count   int // of scripts
}

// subscription is one of a connection.
//
//	state        event                       what happens
//	new          the hub knows a state       it is kept
//	new          the request is answered     settled; the newest state is what was answered,
//	                                         or else it is told behind the answer
//	settled      the hub knows a new state   it is told, once its connection can be written to;
//	                                         until then only the last stays
//	gone         anything                    nothing
type subscription struct {
	c       *conn
	script  target
	headers bool // it is one of the headers

	// Guarded by conn.mu.
	known   bool
	state   state // the newest that is known
	header  headerJSON
	settled bool
	queued  bool
	gone    bool
}

type headerJSON struct {
	Hex    string `json:"hex"`
	Height uint32 `json:"height"`
}

// tipJSON is what clients are told of a tip.
func tipJSON(ledger Ledger, tip *consensus.State) headerJSON {
	info, _ := ledger.Header(tip.Hash) // it is known: it was the tip
	return headerJSON{hex.EncodeToString(info.Header.Append(nil)), tip.Height}
}

func newHub(cfg *Config) *hub {
	return &hub{
		index: cfg.Index, ledger: cfg.Ledger, maxHistory: cfg.MaxHistory, maxSubs: cfg.MaxSubs,
		watches: make(map[target][]*subscription), headers: make(map[*subscription]struct{}),
	}
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// run tells subscribers what happens until ctx ends.
func (h *hub) run(ctx context.Context, s *Server) error {
	feed := h.index.Feed()
	defer feed.Close()
	for {
		changes, err := feed.Next(ctx, func() bool { return h.size() > 0 })
		if err != nil {
			return err
		}
		if changes.Moved {
			h.tellTip(&changes.Tip)
		}
		for _, id := range h.concerned(&changes) {
			if err := h.tellScript(ctx, id); err != nil {
				return err
			}
		}
	}
}

// concerned lists the scripts of changes to which somebody has subscribed. It costs in
// proportion to the smaller of both.
func (h *hub) concerned(c *scripthash.Changes) (ids []target) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.All || len(h.watches) < len(c.Scripts) {
		for id := range h.watches {
			if _, ok := c.Scripts[id]; ok || c.All {
				ids = append(ids, id)
			}
		}
		return ids
	}
	for id := range c.Scripts {
		if h.watches[id] != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// tellTip tells of a new tip.
func (h *hub) tellTip(tip *consensus.State) {
	header := tipJSON(h.ledger, tip)
	h.mu.Lock()
	defer h.mu.Unlock()
	for sub := range h.headers {
		sub.tell(state{tip.Hash, true}, header)
	}
}

// tellScript tells of the status of a script as it is now. A script whose history has
// become too long cuts its subscribers, who learn why when they come again.
func (h *hub) tellScript(ctx context.Context, id target) error {
	st, _, err := h.status(ctx, id)
	large := errors.Is(err, scripthash.ErrTooLarge)
	switch {
	case large || err == nil:
	case errors.Is(err, scripthash.ErrBuilding):
		return nil // who has subscribed while it was kept is told at the next block
	default:
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sub := range h.watches[id] {
		if large {
			sub.c.cut(err)
			continue
		}
		sub.tell(st, headerJSON{})
	}
	return nil
}

// status is the status of a script, and how many transactions it is made of.
func (h *hub) status(ctx context.Context, id target) (state, int, error) {
	txs, pool, err := h.index.History(ctx, id, h.maxHistory)
	if err != nil {
		return state{}, 0, err
	}
	return statusOf(txs, pool), len(txs) + len(pool), nil
}

// statusOf is the hash of a history, as the protocol defines it: of "tx_hash:height:"
// for all transactions in order. Unconfirmed ones are in the order of version 1.6.
func statusOf(txs []scripthash.Tx, pool []scripthash.PoolTx) state {
	if len(txs)+len(pool) == 0 {
		return state{}
	}
	d := sha256.New()
	buf := make([]byte, 0, 96)
	add := func(id consensus.Hash, height int64) {
		for i := len(id) - 1; i >= 0; i-- {
			buf = hex.AppendEncode(buf, id[i:i+1])
		}
		buf = strconv.AppendInt(append(buf, ':'), height, 10)
		_, _ = d.Write(append(buf, ':')) // never fails
		buf = buf[:0]
	}
	for i := range txs {
		add(txs[i].TxID, int64(txs[i].Height))
	}
	for i := range pool {
		add(pool[i].TxID, int64(pool[i].Height()))
	}
	return state{consensus.Hash(d.Sum(nil)), true}
}

// text is a status as it is written: null, or in hex, forwards.
func (s state) text() *string {
	if !s.some {
		return nil
	}
	return new(hex.EncodeToString(s.hash[:]))
}

// tell notes a state that the hub knows. It is the newest.
func (s *subscription) tell(st state, header headerJSON) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.gone || s.known && s.state == st {
		return
	}
	s.known, s.state, s.header = true, st, header
	if s.settled {
		s.queue()
	}
}

// queue has the writer tell the client. The caller holds conn.mu.
func (s *subscription) queue() {
	if !s.queued {
		s.queued = true
		s.c.told = append(s.c.told, s)
		s.c.wake()
	}
}

// settle says that the client has been answered with a state. The caller holds
// conn.mu.
func (s *subscription) settle(answered state) {
	s.settled = true
	if s.gone || s.queued {
		return
	}
	if !s.known {
		s.known, s.state = true, answered
	} else if s.state != answered {
		s.queue()
	}
}

// message is the notification. The caller holds conn.mu.
func (s *subscription) message() []byte {
	if s.headers {
		return notification("blockchain.headers.subscribe", s.header)
	}
	return notification("blockchain.scripthash.subscribe", s.script, s.state.text())
}

var errSubscriptions = errors.New("too many subscriptions")

// subscribe subscribes a connection to a script, or finds its subscription.
func (h *hub) subscribe(s *Server, c *conn, id target) (sub *subscription, fresh bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	sub, count := c.subs[id], len(c.subs)
	c.mu.Unlock()
	if sub != nil {
		return sub, false, nil
	}
	if count >= h.maxSubs || h.count >= allSubs || !s.subscribed(c, 1) {
		return nil, false, errSubscriptions
	}
	sub = &subscription{c: c, script: id}
	c.mu.Lock()
	c.subs[id] = sub
	c.mu.Unlock()
	h.watches[id] = append(h.watches[id], sub)
	h.count++
	return sub, true, nil
}

// unsubscribe ends a subscription; false if there is none.
func (h *hub) unsubscribe(s *Server, c *conn, id target) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	sub := c.subs[id]
	if sub != nil {
		sub.gone = true
		delete(c.subs, id)
	}
	c.mu.Unlock()
	if sub == nil {
		return false
	}
	h.drop(sub)
	s.subscribed(c, -1)
	return true
}

// drop forgets a subscription. The caller holds mu.
func (h *hub) drop(sub *subscription) {
	list := h.watches[sub.script]
	for i, other := range list {
		if other == sub {
			list[i] = list[len(list)-1]
			list = list[:len(list)-1]
			break
		}
	}
	if h.watches[sub.script] = list; len(list) == 0 {
		delete(h.watches, sub.script)
	}
	h.count--
}

// follow subscribes a connection to the headers.
func (h *hub) follow(c *conn) *subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headers == nil {
		c.headers = &subscription{c: c, headers: true}
		h.headers[c.headers] = struct{}{}
	}
	return c.headers
}

// leave ends all subscriptions of a connection.
func (h *hub) leave(s *Server, c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	subs, headers := c.subs, c.headers
	c.subs, c.headers, c.told = make(map[target]*subscription), nil, nil
	for _, sub := range subs {
		sub.gone = true
	}
	c.mu.Unlock()
	for _, sub := range subs {
		h.drop(sub)
	}
	s.subscribed(c, -len(subs))
	delete(h.headers, headers)
}
