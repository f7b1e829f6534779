package esplora

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"lode/consensus"
)

func (s *Server) mempool(what string) (*answer, error) {
	switch what {
	case "":
		b, err := s.cfg.Summary.Summary()
		if err != nil {
			return nil, err
		}
		bins := make([][2]float64, len(b.Histogram))
		for i, bin := range b.Histogram {
			bins[i] = [2]float64{bin.Rate, float64(bin.VSize)}
		}
		return jsonOf(struct {
			Count     int              `json:"count"`
			VSize     int              `json:"vsize"`
			Fees      consensus.Amount `json:"total_fee"`
			Histogram [][2]float64     `json:"fee_histogram"`
		}{b.Count, b.VSize, b.Fees, bins})
	case "txids":
		ids, _ := s.cfg.Pool.TxIDs()
		return jsonOf(ids)
	case "recent":
		return s.recent()
	}
	return nil, missing("endpoint does not exist")
}

type recentJSON struct {
	TxID  consensus.Hash   `json:"txid"`
	Fee   consensus.Amount `json:"fee"`
	VSize int              `json:"vsize"`
	Value consensus.Amount `json:"value"` // of all outputs
}

func (s *Server) recent() (*answer, error) {
	entries, err := s.cfg.Index.RecentTxs()
	if err != nil {
		return nil, err
	}
	list := make([]recentJSON, len(entries))
	for i, e := range entries {
		list[i] = recentJSON{e.TxID, e.Fee, e.Size, e.Tx.OutputSum()}
	}
	return jsonOf(list)
}

// call makes a call of the node. Its refusal is written as electrs writes that of its
// daemon.
func (s *Server) call(ctx context.Context, method string, args ...any) (json.RawMessage, error) {
	node := s.node.Load()
	if node == nil {
		return nil, &problem{http.StatusServiceUnavailable, "the node is starting"}
	}
	v, err := (*node).Call(ctx, method, args...)
	if err == nil {
		return v, nil
	}
	if refusal, failed := json.Marshal(err); failed == nil && strings.HasPrefix(string(refusal), `{"code":`) {
		return nil, bad("%s RPC error: %s", method, refusal)
	}
	return nil, err
}

// targets are the numbers of blocks for which Esplora estimates fee rates.
func targets() []int {
	list := make([]int, 0, 28)
	for n := 1; n <= 25; n++ {
		list = append(list, n)
	}
	return append(list, 144, 504, 1008)
}

// feeEstimates are in sat per virtual byte. A target without an estimate is left out.
func (s *Server) feeEstimates(ctx context.Context) (*answer, error) {
	rates := make(map[string]float64)
	for _, target := range targets() {
		v, err := s.call(ctx, "estimatesmartfee", target)
		if err != nil {
			return nil, err
		}
		var estimate struct {
			Rate *float64 `json:"feerate"` // coins per 1,000 virtual bytes
		}
		if err := json.Unmarshal(v, &estimate); err != nil {
			return nil, err
		}
		if estimate.Rate != nil {
			rates[strconv.Itoa(target)] = *estimate.Rate * float64(consensus.SatPerCoin) / 1000
		}
	}
	return jsonOf(rates)
}

// post takes in a transaction, or several that belong together.
func (s *Server) post(w http.ResponseWriter, r *http.Request, path string) (*answer, error) {
	if path != "tx" && path != "txs/package" {
		return nil, missing("endpoint does not exist")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, &problem{http.StatusRequestEntityTooLarge, "the body is too large"}
		}
		return nil, bad("the body could not be read")
	}
	if path == "tx" {
		v, err := s.call(r.Context(), "sendrawtransaction", strings.TrimSpace(string(body)))
		if err != nil {
			return nil, err
		}
		var id string
		if err := json.Unmarshal(v, &id); err != nil {
			return nil, err
		}
		return text(id)
	}
	var raws []string
	if json.Unmarshal(body, &raws) != nil {
		return nil, bad("Invalid package: want an array of transactions in hex")
	}
	args := []any{raws}
	for _, name := range []string{"maxfeerate", "maxburnamount"} { // coins per 1,000 virtual bytes, and coins
		v := r.URL.Query().Get(name)
		if v == "" {
			break
		}
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return nil, bad("Invalid %s", name)
		}
		args = append(args, json.Number(v))
	}
	v, err := s.call(r.Context(), "submitpackage", args...)
	if err != nil {
		return nil, err
	}
	return &answer{kind: "application/json", body: v}, nil
}
