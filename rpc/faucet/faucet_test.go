package faucet

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/clock"
	"lode/miner"
	"lode/rpc"
	"lode/rpc/rpctest"
	"lode/rpc/walletrpc"
)

// TestBudget pays within the limits by address, by hour and in number, forgets what was an hour
// ago and what was not paid.
func TestBudget(t *testing.T) {
	b := budget{limits: Limits{Payment: 10, Address: 15, Hour: 40, Count: 5}}
	now := time.Unix(1_000_000, 0)
	a, c, d := [32]byte{1}, [32]byte{2}, [32]byte{3}
	step := func(after time.Duration, to [32]byte, amount consensus.Amount, ok bool) {
		t.Helper()
		now = now.Add(after)
		if err := b.take(now, to, amount); (err == nil) != ok || err != nil && !errors.Is(err, errTooMuch) {
			t.Errorf("%d to %x: %v", amount, to[0], err)
		}
	}
	step(0, a, 11, false) // at once
	step(0, a, 10, true)
	step(0, a, 6, false) // to one address
	step(time.Minute, a, 5, true)
	step(0, c, 10, true)
	step(0, d, 10, true)
	step(0, [32]byte{4}, 6, false) // to all
	b.giveBack(d, 10)
	step(0, [32]byte{4}, 6, true)
	step(0, [32]byte{5}, 1, true)
	step(0, [32]byte{6}, 1, false)   // in number
	step(59*time.Minute, a, 5, true) // the first is an hour ago
	step(0, a, 6, false)             // the second is not
	step(-24*time.Hour, a, 10, true) // a clock that was set back frees what is ahead of it
	if len(b.paid) != 1 {
		t.Errorf("%d payments are remembered", len(b.paid))
	}
}

type network struct{ rpc.Network }

func (network) Broadcast(...consensus.Hash)          {}
func (network) Syncing() bool                        { return false }
func (network) InitialBlockDownload() bool           { return false }
func (network) Unbroadcast() map[consensus.Hash]bool { return nil }

// newFaucet gives a faucet on a regtest of its own, whose wallet is new.
func newFaucet(t *testing.T, mines bool) (*rpctest.Node, *Faucet) {
	t.Helper()
	n := rpctest.NewWith(t, chain.Config{}, 1)
	times := clock.New(nil)
	log := slog.New(slog.DiscardHandler)
	wallets, err := walletrpc.New(walletrpc.Config{Spec: n.Spec, Chain: n.Chain, Pool: n.Pool, Broadcast: func(...consensus.Hash) {}, Dir: t.TempDir(), WorkFactor: 1})
	rpctest.Check(t, err)
	t.Cleanup(func() { rpctest.Check(t, wallets.Close()) })
	calls := rpc.New(rpc.Config{
		Dir: t.TempDir(), Spec: n.Spec, Chain: n.Chain, Pool: n.Pool, Network: network{}, Clock: times, Wallets: wallets,
		Templates: miner.NewTemplates(miner.TemplatesConfig{Ledger: n.Chain, Pool: n.Pool, Now: times.Wall.Now}),
	})
	rpctest.Check(t, OpenWallet(t.Context(), calls))
	rpctest.Check(t, OpenWallet(t.Context(), calls)) // and again
	cfg := Config{Spec: n.Spec, Wallet: calls, Limits: DefaultLimits(), Now: times.Wall.Now, Log: log}
	if mines {
		cfg.Mine = func(_ context.Context, script []byte, count int) error { n.MineTo(script, count); return nil }
	}
	return n, New(cfg)
}

// ask makes a request to a faucet.
func ask(f *Faucet, method, kind, body string) (status int, answer map[string]any) {
	r := httptest.NewRequest(method, Path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Body)
	_ = json.Unmarshal(b, &answer)
	return w.Code, answer
}

// TestFaucetPays mines coins for itself, pays what is asked for, and one coin where nothing is.
func TestFaucetPays(t *testing.T) {
	t.Parallel()
	n, f := newFaucet(t, true)
	to := consensus.Address(n.Spec.Defaults.AddressPrefix, [32]byte(rpctest.ScriptOf(rpctest.Key(7))[2:]))
	for body, want := range map[string]consensus.Amount{
		`{"address":"` + to + `"}`: consensus.SatPerCoin, `{"address":"` + to + `","amount":0.5}`: consensus.SatPerCoin / 2, `{"address":"` + to + `","amount":"7"}`: 7 * consensus.SatPerCoin,
	} {
		status, answer := ask(f, http.MethodPost, "application/json", body)
		if status != 200 {
			t.Fatalf("%s: %d %v", body, status, answer)
		}
		id, err := consensus.ParseHash(answer["txid"].(string))
		rpctest.Check(t, err)
		tx, ok := n.Pool.ByTxID(id)
		paid := false
		for i := range tx.Out {
			paid = paid || string(tx.Out[i].Script) == string(rpctest.ScriptOf(rpctest.Key(7))) && tx.Out[i].Value == want
		}
		if !ok || !paid {
			t.Errorf("%s: %v pays nothing of that", body, answer)
		}
	}
	if status, answer := ask(f, http.MethodPost, "application/json", `{"address":"`+to+`","amount":3}`); status != http.StatusTooManyRequests {
		t.Errorf("beyond the limit of the address: %d %v", status, answer)
	}
	if status, answer := ask(f, http.MethodGet, "", ""); status != 200 || answer["address"] == "" || answer["balance"] == "" {
		t.Errorf("its state: %d %v", status, answer)
	}
}

// TestFaucetRefuses what is no request, and has nothing to pay with.
func TestFaucetRefuses(t *testing.T) {
	t.Parallel()
	n, f := newFaucet(t, false)
	to := consensus.Address(n.Spec.Defaults.AddressPrefix, [32]byte{2})
	for _, c := range []struct {
		method, kind, body string
		status             int
	}{
		{"POST", "text/plain", `{"address":"` + to + `"}`, 415},
		{"POST", "application/json", `{"address":`, 400},
		{"POST", "application/json", `{"address":"lode1qqq"}`, 400},
		{"POST", "application/json", `{"address":"` + to + `","amount":-1}`, 400},
		{"POST", "application/json", `{"address":"` + to + `","amount":1e3}`, 400},
		{"POST", "application/json", `{"address":"` + to + `","amount":0.00000999}`, 400},
		{"POST", "application/json", `{"address":"` + to + `","amount":10.1}`, 429},
		{"POST", "application/json", `{"address":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"POST", "application/json; charset=utf-8", `{"address":"` + to + `"}`, 503}, // empty, and nobody mines
		{"PUT", "application/json", `{}`, 405},
	} {
		if status, answer := ask(f, c.method, c.kind, c.body); status != c.status || answer["error"] == nil {
			t.Errorf("%s %.80s: %d %v, want %d", c.method, c.body, status, answer, c.status)
		}
	}
	if len(f.budget.paid) > 0 {
		t.Error("what was not paid counts")
	}
}

// TestAutoMinerTakesAllAtOnce: one block for what waits, and none for nothing.
func TestAutoMinerTakesAllAtOnce(t *testing.T) {
	waiting, mined := 3, 0
	a := NewAutoMiner(func() bool { return waiting > 0 }, func(context.Context) error { mined++; waiting = 0; return nil }, slog.New(slog.DiscardHandler))
	for range 3 {
		a.Submitted(t.Context())
	}
	if mined != 1 {
		t.Errorf("%d blocks", mined)
	}
}
