package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"lode/chain"
	"lode/consensus"
)

// coinOverhead is what Bitcoin Core reckons for a coin besides its output, in
// bytes: its outpoint, height and coinbase flag.
const coinOverhead = 36 + 4 + 1

// outputSize is the encoded size of an output, in bytes.
func outputSize(o *consensus.TxOut) int64 {
	return int64(8 + len(consensus.AppendVarBytes(nil, o.Script)))
}

// blockStats are what getblockstats says of a block, all amounts in sat.
type blockStats struct {
	AvgFee       int64          `json:"avgfee"`
	AvgFeeRate   int64          `json:"avgfeerate"` // sat/vB
	AvgTxSize    int64          `json:"avgtxsize"`
	Hash         consensus.Hash `json:"blockhash"`
	Percentiles  [5]int64       `json:"feerate_percentiles"` // by weight: 10th, 25th, 50th, 75th, 90th, sat/vB
	Height       uint32         `json:"height"`
	Ins          int64          `json:"ins"`
	MaxFee       int64          `json:"maxfee"`
	MaxFeeRate   int64          `json:"maxfeerate"`
	MaxTxSize    int64          `json:"maxtxsize"`
	MedianFee    int64          `json:"medianfee"`
	MedianTime   uint32         `json:"mediantime"`
	MedianTxSize int64          `json:"mediantxsize"`
	MinFee       int64          `json:"minfee"`
	MinFeeRate   int64          `json:"minfeerate"`
	MinTxSize    int64          `json:"mintxsize"`
	Outs         int64          `json:"outs"`
	Subsidy      int64          `json:"subsidy"`
	SegwitSize   int64          `json:"swtotal_size"`
	SegwitWeight int64          `json:"swtotal_weight"`
	SegwitTxs    int64          `json:"swtxs"`
	Time         uint32         `json:"time"`
	TotalOut     int64          `json:"total_out"`
	TotalSize    int64          `json:"total_size"`
	TotalWeight  int64          `json:"total_weight"`
	TotalFee     int64          `json:"totalfee"`
	Txs          int            `json:"txs"`
	CoinsMore    int64          `json:"utxo_increase"`
	SizeMore     int64          `json:"utxo_size_inc"`
	RealMore     int64          `json:"utxo_increase_actual"`
	RealSizeMore int64          `json:"utxo_size_inc_actual"`
}

// getBlockStats gives all figures of a block, or those that were asked for.
func (s *Server) getBlockStats(_ context.Context, p *params) (any, error) {
	info, err := s.hashOrHeight(p, 0)
	if err != nil {
		return nil, err
	}
	wanted := p.texts(1)
	if p.err != nil {
		return nil, p.err
	}
	block, err := s.block(info.Hash)
	if err != nil {
		return nil, err
	}
	spent, err := s.cfg.Chain.Spent(info.Hash)
	switch {
	case errors.Is(err, chain.ErrNotFound) && info.Height > 0:
		return nil, fail(codeMisc, "Undo data not available")
	case err != nil && !errors.Is(err, chain.ErrNotFound):
		return nil, err
	}
	stats, err := s.blockStats(info, block, spent)
	if err != nil || len(wanted) == 0 {
		return stats, err
	}
	return pick(stats, wanted)
}

// pick keeps the members of v that are wanted.
func pick(v any, wanted []string) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	picked := make(map[string]json.RawMessage)
	for _, name := range wanted {
		value, ok := all[name]
		if !ok {
			return nil, fail(codeParameter, "Invalid selected statistic '%.80s'", name)
		}
		picked[name] = value
	}
	return picked, nil
}

// hashOrHeight is the block that argument i names, either way.
func (s *Server) hashOrHeight(p *params, i int) (info chain.HeaderInfo, err error) {
	if jsonType(p.values[i]) != "number" {
		if t := jsonType(p.values[i]); t != "string" {
			return info, fail(codeType, "JSON value of type %s is not of expected type string", t)
		}
		hash := p.hash(i, "hash_or_height")
		if p.err != nil {
			return info, p.err
		}
		return s.header(hash)
	}
	height, tip := p.integer(i, 0, math.MinInt32, math.MaxInt32), s.cfg.Chain.Tip().Height
	switch {
	case p.err != nil:
		return info, p.err
	case height < 0:
		return info, fail(codeParameter, "Target block height %d is negative", height)
	case height > int64(tip):
		return info, fail(codeParameter, "Target block height %d after current tip %d", height, tip)
	}
	hash, ok := s.cfg.Chain.HashAt(uint32(height))
	if !ok {
		return info, fail(codeAddress, "Block not found") // the chain became shorter just now
	}
	return s.header(hash)
}

// blockStats counts. spent are the coins that the block spent, in order.
func (s *Server) blockStats(info chain.HeaderInfo, block *consensus.Block, spent []consensus.Coin) (*blockStats, error) {
	st := &blockStats{
		Hash: info.Hash, Height: info.Height, Time: info.Header.Time, MedianTime: info.MedianTime,
		Subsidy: int64(s.cfg.Chain.Rules().Subsidy(info.Height)), Txs: len(block.Txs),
	}
	var tally feeTally
	var coins int64 // made that can be spent
	for i, tx := range block.Txs {
		st.Outs += int64(len(tx.Out))
		for n := range tx.Out {
			size := outputSize(&tx.Out[n]) + coinOverhead
			st.SizeMore += size
			// Genesis pays nobody, and data is not in the set.
			if info.Height > 0 && !consensus.IsDataScript(tx.Out[n].Script) {
				coins++
				st.RealSizeMore += size
			}
		}
		if i == 0 {
			continue // the reward is not counted
		}
		if len(spent) < len(tx.In) {
			return nil, fmt.Errorf("undo data of block %s does not fit it", info.Hash)
		}
		own := spent[:len(tx.In)]
		spent = spent[len(tx.In):]
		st.countTx(tx, own, &tally)
	}
	st.CoinsMore, st.RealMore = st.Outs-st.Ins, coins-st.Ins
	st.finish(&tally)
	return st, nil
}

// feeTally are the figures of each transaction of a block.
type feeTally struct {
	fees, sizes []int64
	rates       []weighedRate
}

type weighedRate struct{ rate, weight int64 }

func (st *blockStats) countTx(tx *consensus.Tx, own []consensus.Coin, tally *feeTally) {
	st.Ins += int64(len(tx.In))
	out := int64(tx.OutputSum())
	st.TotalOut += out
	size, weight := int64(tx.Size()), int64(tx.Weight())
	st.TotalSize += size
	st.TotalWeight += weight
	if tx.HasWitness() {
		st.SegwitTxs++
		st.SegwitSize += size
		st.SegwitWeight += weight
	}
	fee := -out
	for n := range own {
		fee += int64(own[n].Value)
		o := own[n].Output()
		size := outputSize(&o) + coinOverhead
		st.SizeMore -= size
		st.RealSizeMore -= size
	}
	st.TotalFee += fee
	tally.fees, tally.sizes = append(tally.fees, fee), append(tally.sizes, size)
	tally.rates = append(tally.rates, weighedRate{fee * consensus.WitnessScale / weight, weight})
}

func (st *blockStats) finish(tally *feeTally) {
	n := int64(len(tally.fees))
	if n == 0 {
		return
	}
	st.AvgFee, st.AvgTxSize = st.TotalFee/n, st.TotalSize/n
	st.AvgFeeRate = st.TotalFee * consensus.WitnessScale / st.TotalWeight
	slices.Sort(tally.fees)
	slices.Sort(tally.sizes)
	slices.SortFunc(tally.rates, func(a, b weighedRate) int {
		if a.rate != b.rate {
			return int(max(-1, min(1, a.rate-b.rate)))
		}
		return int(a.weight - b.weight)
	})
	st.MinFee, st.MaxFee, st.MedianFee = tally.fees[0], tally.fees[n-1], truncatedMedian(tally.fees)
	st.MinTxSize, st.MaxTxSize, st.MedianTxSize = tally.sizes[0], tally.sizes[n-1], truncatedMedian(tally.sizes)
	st.MinFeeRate, st.MaxFeeRate = tally.rates[0].rate, tally.rates[n-1].rate
	st.Percentiles = percentiles(tally.rates, st.TotalWeight)
}

// truncatedMedian is the median of a sorted list, rounded down.
func truncatedMedian(list []int64) int64 {
	n := len(list)
	if n%2 == 1 {
		return list[n/2]
	}
	return (list[n/2-1] + list[n/2]) / 2
}

// percentiles are the rates of the weight units at a tenth, a quarter, a half,
// three quarters and nine tenths of a block's transactions, sorted by rate.
func percentiles(rates []weighedRate, total int64) (list [5]int64) {
	weights := [5]float64{float64(total) / 10, float64(total) / 4, float64(total) / 2, float64(total) * 3 / 4, float64(total) * 9 / 10}
	at, sum := 0, int64(0)
	for _, r := range rates {
		sum += r.weight
		for ; at < len(weights) && float64(sum) >= weights[at]; at++ {
			list[at] = r.rate
		}
	}
	return list
}
