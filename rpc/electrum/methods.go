package electrum

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"

	"lode/chain"
	"lode/consensus"
	"lode/rpc/scripthash"
)

// methods lists those of the protocol.
func methods() map[string]*method {
	script := []string{"scripthash"}
	return map[string]*method{
		"blockchain.block.header":                  {params: []string{"height", "cp_height"}, required: 1, call: blockHeader},
		"blockchain.block.headers":                 {params: []string{"start_height", "count", "cp_height"}, required: 2, call: blockHeaders},
		"blockchain.estimatefee":                   {params: []string{"number", "mode"}, required: 1, call: estimateFee},
		"blockchain.headers.subscribe":             {call: headersSubscribe},
		"blockchain.relayfee":                      {to: v143, call: relayFee},
		"blockchain.scripthash.get_balance":        {params: script, required: 1, call: getBalance},
		"blockchain.scripthash.get_history":        {params: script, required: 1, call: getHistory},
		"blockchain.scripthash.get_mempool":        {params: script, required: 1, call: getMempool},
		"blockchain.scripthash.listunspent":        {params: script, required: 1, call: listUnspent},
		"blockchain.scripthash.subscribe":          {params: script, required: 1, call: scriptSubscribe},
		"blockchain.scripthash.unsubscribe":        {params: script, required: 1, call: scriptUnsubscribe}, // since 1.4.2, but clients of 1.4 call it
		"blockchain.transaction.broadcast":         {params: []string{"raw_tx"}, required: 1, call: broadcast},
		"blockchain.transaction.broadcast_package": {params: []string{"raw_txs", "verbose"}, required: 1, from: v16, call: broadcastPackage},
		"blockchain.transaction.get":               {params: []string{"tx_hash", "verbose"}, required: 1, call: getTransaction},
		"blockchain.transaction.get_merkle":        {params: []string{"tx_hash", "height"}, required: 2, call: getMerkle},
		"blockchain.transaction.id_from_pos":       {params: []string{"height", "tx_pos", "merkle"}, required: 2, call: idFromPos},
		"mempool.get_fee_histogram":                {call: feeHistogram},
		"mempool.get_info":                         {from: v16, call: mempoolInfo},
		"server.add_peer":                          {params: []string{"features"}, required: 1, call: addPeer},
		"server.banner":                            {call: banner},
		"server.donation_address":                  {call: donationAddress},
		"server.features":                          {call: features},
		"server.peers.subscribe":                   {call: peersSubscribe},
		"server.ping":                              {call: ping},
		"server.version":                           {params: []string{"client_name", "protocol_version"}, lax: true, call: serverVersion},
	}
}

// historyRow is how many bytes an entry of an answer takes in JSON, and perRow how
// many of them cost a unit.
const (
	historyRow = 110
	perRow     = 100.0
)

type balanceJSON struct {
	Confirmed   consensus.Amount `json:"confirmed"`
	Unconfirmed consensus.Amount `json:"unconfirmed"` // what comes and goes with unconfirmed transactions
}

func getBalance(ctx context.Context, s *session, p *params, _ *reply) (any, error) {
	id := p.script(0)
	if p.err != nil {
		return nil, p.err
	}
	sum, err := s.c.s.cfg.Index.Totals(ctx, id)
	return balanceJSON{sum.Confirmed.Received - sum.Confirmed.Spent, sum.Unconfirmed.Received - sum.Unconfirmed.Spent}, err
}

// txJSON is an entry of a history. Only unconfirmed ones have a fee.
type txJSON struct {
	TxID   consensus.Hash    `json:"tx_hash"`
	Height int64             `json:"height"`
	Fee    *consensus.Amount `json:"fee,omitempty"`
}

func poolJSON(list []txJSON, pool []scripthash.PoolTx) []txJSON {
	for i := range pool {
		list = append(list, txJSON{pool[i].TxID, int64(pool[i].Height()), &pool[i].Fee})
	}
	return list
}

func getHistory(ctx context.Context, s *session, p *params, r *reply) (any, error) {
	id := p.script(0)
	if p.err != nil {
		return nil, p.err
	}
	index := s.c.s.cfg.Index
	sum, err := index.Totals(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.large(r, historyRow*int(min(uint64(s.c.s.cfg.MaxHistory), sum.Confirmed.Txs+sum.Unconfirmed.Txs))); err != nil {
		return nil, err
	}
	txs, pool, err := index.History(ctx, id, s.c.s.cfg.MaxHistory)
	if err != nil {
		return nil, err
	}
	r.cost += float64(len(txs)+len(pool)) / perRow
	list := make([]txJSON, 0, len(txs)+len(pool))
	for _, tx := range txs {
		list = append(list, txJSON{TxID: tx.TxID, Height: int64(tx.Height)})
	}
	return poolJSON(list, pool), nil
}

func getMempool(_ context.Context, s *session, p *params, r *reply) (any, error) {
	id := p.script(0)
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.c.s.cfg.Index.Mempool(id)
	if err != nil {
		return nil, err
	}
	if len(pool) > s.c.s.cfg.MaxHistory {
		return nil, scripthash.ErrTooLarge
	}
	r.cost += float64(len(pool)) / perRow
	return poolJSON([]txJSON{}, pool), s.large(r, historyRow*len(pool))
}

type unspentJSON struct {
	TxID   consensus.Hash   `json:"tx_hash"`
	Index  uint32           `json:"tx_pos"`
	Height uint32           `json:"height"`
	Value  consensus.Amount `json:"value"`
}

func listUnspent(ctx context.Context, s *session, p *params, r *reply) (any, error) {
	id := p.script(0)
	if p.err != nil {
		return nil, p.err
	}
	outs, err := s.c.s.cfg.Index.Unspent(ctx, id, s.c.s.cfg.MaxHistory)
	if err != nil {
		return nil, err
	}
	r.cost += float64(len(outs)) / perRow
	if err := s.large(r, 2*historyRow*len(outs)); err != nil {
		return nil, err
	}
	list := make([]unspentJSON, len(outs))
	for i, o := range outs {
		list[i] = unspentJSON{o.TxID, o.Index, o.Height, o.Value}
	}
	return list, nil
}

func scriptSubscribe(ctx context.Context, s *session, p *params, r *reply) (any, error) {
	id := p.script(0)
	if p.err != nil {
		return nil, p.err
	}
	hub := s.c.s.hub
	sub, fresh, err := hub.subscribe(s.c.s, s.c, id)
	if err != nil {
		return nil, fail(codeExcessive, "%v", err)
	}
	st, count, err := hub.status(ctx, id) // after it has subscribed, so that nothing is missed
	if err != nil {
		if fresh {
			hub.unsubscribe(s.c.s, s.c, id)
		}
		return nil, err
	}
	r.cost += float64(count) / perRow
	st = sub.latest(st)
	r.settles = append(r.settles, settled{sub, st})
	return st.text(), nil
}

// latest is what a subscriber is answered: what the hub has told meanwhile, or else
// what was just found out.
func (s *subscription) latest(found state) state {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.known && !s.settled {
		return s.state
	}
	return found
}

func scriptUnsubscribe(_ context.Context, s *session, p *params, _ *reply) (any, error) {
	id := p.script(0)
	if p.err != nil {
		return nil, p.err
	}
	return s.c.s.hub.unsubscribe(s.c.s, s.c, id), nil
}

func headersSubscribe(_ context.Context, s *session, _ *params, r *reply) (any, error) {
	sub := s.c.s.hub.follow(s.c)
	tip := s.c.s.cfg.Ledger.Tip()
	r.settles = append(r.settles, settled{sub, state{tip.Hash, true}})
	return tipJSON(s.c.s.cfg.Ledger, &tip), nil
}

// daemon is the error of a call that the node has refused.
func daemon(err error) error {
	if errors.Is(err, chain.ErrFatal) || errors.Is(err, context.Canceled) {
		return err
	}
	return fail(codeDaemon, "daemon error: %v", err)
}

func getTransaction(ctx context.Context, s *session, p *params, r *reply) (any, error) {
	id, verbose := p.hash(0, "transaction hash"), p.flag(1)
	if p.err != nil {
		return nil, p.err
	}
	if verbose {
		v, err := s.c.s.cfg.Node.Call(ctx, "getrawtransaction", id, true)
		if err != nil {
			return nil, daemon(err)
		}
		r.cost += float64(len(v)) / 10_000
		return v, s.large(r, len(v))
	}
	tx, err := s.c.s.tx(ctx, id)
	if err != nil {
		return nil, err
	}
	r.cost += float64(tx.Size()) / 10_000
	return hex.EncodeToString(tx.Bytes()), s.large(r, 2*tx.Size())
}

// tx finds a transaction, of the mempool or of the chain.
func (s *Server) tx(ctx context.Context, id consensus.Hash) (*consensus.Tx, error) {
	tx, _, err := s.cfg.Index.Find(ctx, id)
	if errors.Is(err, chain.ErrNoTx) {
		return nil, fail(codeDaemon, "No such mempool or blockchain transaction: %s", id)
	}
	return tx, err
}

func broadcast(ctx context.Context, s *session, p *params, r *reply) (any, error) {
	raw := p.tx(0)
	if p.err != nil {
		return nil, p.err
	}
	r.cost += 10
	id, err := s.c.s.cfg.Node.Call(ctx, "sendrawtransaction", raw)
	if err != nil {
		return nil, fail(codeBad, "the transaction was rejected by network rules.\n\n%v", err)
	}
	return id, nil
}

type packageErrorJSON struct {
	TxID  string `json:"txid"`
	Error string `json:"error"`
}

func broadcastPackage(ctx context.Context, s *session, p *params, r *reply) (any, error) {
	raws, verbose := p.texts(0), p.flag(1)
	for i, raw := range raws {
		if err := checkTx(raw); err != nil {
			p.fail(codeBad, "raw_txs: transaction %d: %v", i, err)
			break
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	r.cost += 10 * float64(len(raws))
	v, err := s.c.s.cfg.Node.Call(ctx, "submitpackage", raws)
	if err != nil {
		return nil, fail(codeBad, "the tx package was rejected by network rules.\n\n%v", err)
	}
	if verbose {
		return v, nil
	}
	var res struct {
		Message string                      `json:"package_msg"`
		Results map[string]packageErrorJSON `json:"tx-results"`
	}
	if err := json.Unmarshal(v, &res); err != nil {
		return nil, err
	}
	out := struct {
		Success bool               `json:"success"`
		Errors  []packageErrorJSON `json:"errors,omitempty"`
	}{Success: res.Message == "success"}
	for _, raw := range raws { // in the order of the package
		for _, one := range res.Results {
			if one.Error != "" && one.TxID == txIDOf(raw) {
				out.Errors = append(out.Errors, one)
			}
		}
	}
	if !out.Success && len(out.Errors) == 0 {
		return nil, fail(codeBad, "the tx package was rejected by network rules.\n\n%s", res.Message)
	}
	return out, nil
}

// txIDOf is the id of a transaction in hex that was checked.
func txIDOf(raw string) string {
	b, _ := hex.DecodeString(raw)
	tx, err := consensus.DecodeTx(b)
	if err != nil {
		return ""
	}
	return tx.TxID().String()
}
