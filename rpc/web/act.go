package web

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"lode/chain"
	"lode/consensus"
)

// act does what a page of the same origin asks for by POST.
func (h *Handler) act(w http.ResponseWriter, r *http.Request, name string) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Origin") == "": // that it is this one was looked at before
		fail(w, http.StatusForbidden, "this is for the page itself")
		return
	case kind != "application/json":
		fail(w, http.StatusUnsupportedMediaType, "want application/json")
		return
	case name != "mine" && name != "check":
		fail(w, http.StatusNotFound, "there is no such call")
		return
	}
	select { // dear ones come one after the other
	case h.checks <- struct{}{}:
		defer func() { <-h.checks }()
	case <-time.After(patience):
		fail(w, http.StatusServiceUnavailable, "too much is asked for at once")
		return
	case <-r.Context().Done():
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCheck))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a question may have %d bytes", maxCheck))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var v any
	if name == "mine" {
		v, err = h.mine(ctx, body)
	} else {
		v, err = h.check(body)
	}
	h.reply(w, v, err)
}

const (
	maxMined = 100
	maxTries = 1 << 26
)

// nobody is an output key that nobody can spend: the point of BIP341 of which nobody
// knows the logarithm.
var nobody = [32]byte{
	0x50, 0x92, 0x9b, 0x74, 0xc1, 0xa0, 0x49, 0x54, 0xb7, 0x8b, 0x4b, 0x60, 0x35, 0xe9, 0x7a, 0x5e,
	0x07, 0x8a, 0x5a, 0x0f, 0x28, 0xec, 0x96, 0xd5, 0x47, 0xbf, 0xee, 0x9a, 0xce, 0x80, 0x3a, 0xc0,
}

// mine mines blocks, on a network for playing.
func (h *Handler) mine(ctx context.Context, body []byte) (any, error) {
	var q struct {
		Count   int    `json:"count"`
		Address string `json:"address"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, badInput("want {\"count\": 1, \"address\": \"…\"}")
	}
	key := nobody
	switch {
	case !h.cfg.Spec.Defaults.Playground || h.cfg.Miner == nil:
		return nil, &problem{http.StatusForbidden, "blocks are mined by a button only on networks for playing"}
	case q.Count < 1 || q.Count > maxMined:
		return nil, badInput(fmt.Sprintf("want 1 to %d blocks", maxMined))
	case q.Address != "":
		var err error
		if key, err = consensus.ParseAddress(h.cfg.Spec.Defaults.AddressPrefix, q.Address); err != nil {
			return nil, badInput("this is no address of this network: " + err.Error())
		}
	}
	hashes, err := h.cfg.Miner.Generate(ctx, consensus.TaprootScript(key), q.Count, maxTries)
	if err != nil && len(hashes) == 0 {
		return nil, &problem{http.StatusConflict, err.Error()}
	}
	return map[string]any{"hashes": hashes}, nil
}

// step is a group of rules and what became of it.
type step struct {
	Name   string `json:"name"` // encoding, work, contents, header, ledger, policy
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // BIP22's
	Text   string `json:"text,omitempty"`
}

// check says what the node would make of a block or a transaction in hex. It changes
// nothing, and nothing of it is remembered.
func (h *Handler) check(body []byte) (any, error) {
	var q struct {
		Block string `json:"block"`
		Tx    string `json:"tx"`
	}
	if err := json.Unmarshal(body, &q); err != nil || (q.Block == "") == (q.Tx == "") {
		return nil, badInput("want {\"block\": \"hex\"} or {\"tx\": \"hex\"}")
	}
	raw, err := hex.DecodeString(q.Block + q.Tx)
	if err != nil {
		return nil, badInput("this is not hexadecimal")
	}
	var steps []step
	if q.Block != "" {
		steps, err = h.checkBlock(raw)
	} else {
		steps, err = h.checkTx(raw)
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{"steps": steps, "ok": steps[len(steps)-1].OK}, nil
}

func outcome(name string, err error) step {
	if err == nil {
		return step{Name: name, OK: true}
	}
	reason, _ := chain.Reason(err)
	return step{name, false, reason, err.Error()}
}

func (h *Handler) checkBlock(raw []byte) (steps []step, err error) {
	b, err := consensus.DecodeBlock(raw)
	steps = append(steps, outcome("encoding", err))
	if err != nil {
		return steps, nil
	}
	if len(b.Txs) == 0 {
		return append(steps, outcome("contents", errors.New("a block without transactions"))), nil
	}
	rules := h.cfg.Chain.Rules()
	work := outcome("work", rules.CheckWork(&b.Header))
	if steps = append(steps, work); !work.OK {
		return steps, nil // the node looks no further
	}
	checked, err := rules.CheckBlock(b)
	contents := outcome("contents", err)
	if steps = append(steps, contents); !contents.OK {
		return steps, nil
	}
	parent, ok := h.cfg.Chain.State(b.Prev)
	if !ok {
		return append(steps, step{"header", false, "prev-blk-not-found", "the node knows no block " + b.Prev.String() + ", on which this one builds"}), nil
	}
	latest := uint32(h.cfg.Now().Unix()) + h.cfg.Spec.Defaults.MaxDrift
	if s := outcome("header", rules.CheckHeader(&parent, &b.Header, latest)); !s.OK {
		return append(steps, s), nil
	}
	steps = append(steps, step{Name: "header", OK: true})
	if s := outcome("place", rules.CheckBlockAfter(&parent, checked)); !s.OK {
		return append(steps, s), nil
	}
	steps = append(steps, step{Name: "place", OK: true})
	if info, known := h.cfg.Chain.Header(b.Header.Hash()); known && info.Connected {
		return append(steps, step{Name: "ledger", OK: true, Text: "duplicate"}), nil
	}
	err = h.cfg.Chain.TestBlock(b)
	if errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	if errors.Is(err, chain.ErrNotOnTip) {
		return append(steps, step{Name: "ledger", OK: true, Text: "fork"}), nil
	}
	return append(steps, outcome("ledger", err)), nil
}

func (h *Handler) checkTx(raw []byte) (steps []step, err error) {
	tx, err := consensus.DecodeTx(raw)
	steps = append(steps, outcome("encoding", err))
	if err != nil {
		return steps, nil
	}
	s := outcome("contents", h.cfg.Chain.Rules().CheckTx(tx))
	if steps = append(steps, s); !s.OK {
		return steps, nil
	}
	_, err = h.cfg.Pool.Test(tx)
	if errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	return append(steps, outcome("mempool", err)), nil
}
