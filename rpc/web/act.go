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
	"strings"
	"time"

	"lode/consensus"
	"lode/rpc/explain"
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
		v, err = h.check(ctx, body)
	}
	h.reply(w, v, err)
}

const (
	maxMined = 100
	maxTries = 1 << 26
)

// mine mines blocks, on a network for playing.
func (h *Handler) mine(ctx context.Context, body []byte) (any, error) {
	var q struct {
		Count   int    `json:"count"`
		Address string `json:"address"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, badInput("want {\"count\": 1, \"address\": \"…\"}")
	}
	key := consensus.Unspendable()
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

// check says what the node would make of a block or a transaction in hex: what its
// rules say of it, one after the other. It changes nothing, and nothing of it is
// remembered.
func (h *Handler) check(ctx context.Context, body []byte) (any, error) {
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
	if q.Block != "" {
		b, err := consensus.DecodeBlock(raw)
		if err != nil {
			return nil, badInput("these bytes are no block: " + err.Error())
		}
		return h.explained(h.cfg.Explain.Block(ctx, b))
	}
	tx, err := consensus.DecodeTx(raw)
	if err != nil {
		return nil, badInput("these bytes are no transaction: " + err.Error())
	}
	return h.explained(h.cfg.Explain.Tx(ctx, tx))
}

// explained has the errors of an explanation be for people.
func (h *Handler) explained(a *explain.Answer, err error) (any, error) {
	switch {
	case errors.Is(err, explain.ErrUnknown):
		return nil, notFound(err.Error())
	case errors.Is(err, explain.ErrInput):
		return nil, badInput(err.Error())
	case errors.Is(err, explain.ErrBusy):
		return nil, &problem{http.StatusServiceUnavailable, err.Error()}
	case err != nil:
		return nil, err
	}
	return a, nil
}

// why explains what is known by a hash, a height or an id.
func (h *Handler) why(r *http.Request, args []string) (any, error) {
	var in *consensus.Hash
	if text := r.URL.Query().Get("block"); text != "" {
		hash, err := consensus.ParseHash(text)
		if err != nil {
			return nil, badInput("a block is named by 64 hexadecimal digits")
		}
		in = &hash
	}
	return h.explained(h.cfg.Explain.Text(r.Context(), strings.Join(args, "/"), in))
}
