package faucet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// Path is where a faucet is asked.
const Path = "/faucet"

const (
	maxBody  = 4 << 10
	patience = time.Minute // to mine a hundred blocks may take a while
)

// ServeHTTP pays by POST, and says by GET what there is. Who asks was looked at before: it is a
// program, or a page of this server.
func (f *Faucet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		f.state(ctx, w)
	case http.MethodPost:
		f.pay(ctx, w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		answer(w, http.StatusMethodNotAllowed, problem("method not allowed"))
	}
}

// problem is an answer that says what is wrong.
func problem(text string) any { return map[string]string{"error": text} }

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the caller has gone if this fails
}

// state tells where the faucet is paid, what it has, and what it pays.
func (f *Faucet) state(ctx context.Context, w http.ResponseWriter) {
	address, err := f.Address(ctx)
	var balance json.Number
	if err == nil {
		balance, err = f.Balance(ctx)
	}
	if err != nil {
		f.refuse(ctx, w, err)
		return
	}
	number := func(a consensus.Amount) json.Number { return json.Number(a.String()) }
	answer(w, http.StatusOK, struct {
		Address    string      `json:"address"`
		Balance    json.Number `json:"balance"`
		Payment    json.Number `json:"most_at_once"`
		PerAddress json.Number `json:"most_to_an_address_in_an_hour"`
		PerHour    json.Number `json:"most_in_an_hour"`
	}{address, balance, number(f.cfg.Limits.Payment), number(f.cfg.Limits.Address), number(f.cfg.Limits.Hour)})
}

// defaultPayment is what is paid where no amount is named.
const defaultPayment = consensus.Amount(consensus.SatPerCoin)

// least is what is paid at least, so that no payment is dust.
const least = consensus.Amount(1000)

func (f *Faucet) pay(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" { // no other page can send that without asking first
		answer(w, http.StatusUnsupportedMediaType, problem("want application/json"))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, problem(fmt.Sprintf("a request may have %d bytes", maxBody)))
		return
	}
	var q struct {
		Address string      `json:"address"`
		Amount  json.Number `json:"amount"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		answer(w, http.StatusBadRequest, problem(`want {"address": "…", "amount": 1}, the amount in coins, or without it`))
		return
	}
	amount := defaultPayment
	if q.Amount != "" {
		if amount, err = wallet.ParseAmount(q.Amount.String()); err != nil || amount < least {
			answer(w, http.StatusBadRequest, problem(fmt.Sprintf("the amount must be a number of coins, at least %s", least)))
			return
		}
	}
	if _, err := consensus.ParseAddress(f.cfg.Spec.Defaults.AddressPrefix, q.Address); err != nil {
		answer(w, http.StatusBadRequest, problem("this is no address of this network: "+err.Error()))
		return
	}
	txid, err := f.Pay(ctx, q.Address, amount)
	if err != nil {
		f.refuse(ctx, w, err)
		return
	}
	answer(w, http.StatusOK, struct {
		TxID   string      `json:"txid"`
		Amount json.Number `json:"amount"`
	}{txid, json.Number(amount.String())})
}

// refuse answers a request that has failed.
func (f *Faucet) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errTooMuch):
		answer(w, http.StatusTooManyRequests, problem(err.Error()))
	case errors.Is(err, errEmpty), errors.Is(err, context.DeadlineExceeded):
		answer(w, http.StatusServiceUnavailable, problem(err.Error()))
	default:
		if ctx.Err() == nil {
			f.cfg.Log.Warn("the faucet cannot pay", "error", err)
		}
		answer(w, http.StatusInternalServerError, problem("the faucet cannot pay: "+err.Error()))
	}
}
