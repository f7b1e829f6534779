package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/chain"
	"lode/consensus"
	"lode/wallet/descriptor"
)

// coinScan is the one scan of all coins that may go on at a time.
type coinScan struct {
	mu     sync.Mutex // guards what follows
	cancel context.CancelFunc
	done   float64 // from 0 to 1
}

// begin gives a context that abort ends; ok is false while another scan goes on.
func (c *coinScan) begin(ctx context.Context) (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		return nil, false
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.done = 0
	return ctx, true
}

func (c *coinScan) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	c.cancel = nil
}

// abort ends the scan, if there is one.
func (c *coinScan) abort() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		return false
	}
	c.cancel()
	return true
}

func (c *coinScan) progress(done float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = done
}

// status is how far the scan is; ok is false if there is none.
func (c *coinScan) status() (done float64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, c.cancel != nil
}

func (s *Server) scanTxOutSet(ctx context.Context, p *params) (any, error) {
	action := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	switch action {
	case "status":
		if done, ok := s.scan.status(); ok {
			return map[string]int{"progress": int(math.Round(done * 100))}, nil
		}
		return nil, nil
	case "abort":
		return s.scan.abort(), nil
	case "start":
	default:
		return nil, fail(codeParameter, "Invalid action '%.80s'", action)
	}
	scanned, ok := s.scan.begin(ctx)
	if !ok {
		return nil, fail(codeParameter, "Scan already in progress, use action \"abort\" or \"status\"")
	}
	defer s.scan.end()
	if p.absent(1) {
		return nil, fail(codeMisc, "scanobjects argument is required for the start action")
	}
	found, err := s.scanCoins(scanned, p.list(1))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return found, err
}

// unspentJSON is a coin that was found.
type unspentJSON struct {
	TxID          consensus.Hash `json:"txid"`
	Index         uint32         `json:"vout"`
	Script        string         `json:"scriptPubKey"`
	Descriptor    string         `json:"desc"`
	Amount        coins          `json:"amount"`
	Coinbase      bool           `json:"coinbase"`
	Height        uint32         `json:"height"`
	BlockHash     consensus.Hash `json:"blockhash"`
	Confirmations uint32         `json:"confirmations"`
}

type scanResultJSON struct {
	Success  bool           `json:"success"`
	Coins    uint64         `json:"txouts"`
	Height   uint32         `json:"height"`
	Best     consensus.Hash `json:"bestblock"`
	Unspents []unspentJSON  `json:"unspents"`
	Total    coins          `json:"total_amount"`
}

// scanCoins finds the coins of descriptors. The result of one that was aborted says
// that it has no success, and holds what was found before.
func (s *Server) scanCoins(ctx context.Context, objects []json.RawMessage) (any, error) {
	descriptors, err := s.scanKeys(ctx, objects)
	if err != nil {
		return nil, err
	}
	keys := make(map[[32]byte]struct{}, len(descriptors))
	for key := range descriptors {
		keys[key] = struct{}{}
	}
	j := scanResultJSON{Unspents: []unspentJSON{}}
	var total consensus.Amount
	scan, err := s.cfg.Chain.ScanCoins(ctx, keys, func(o consensus.OutPoint, coin consensus.Coin) {
		total += coin.Value
		j.Unspents = append(j.Unspents, unspentJSON{
			TxID: o.TxID, Index: o.Index, Script: hex.EncodeToString(consensus.TaprootScript(coin.Key)), Descriptor: descriptors[coin.Key],
			Amount: coins(coin.Value), Coinbase: coin.Coinbase, Height: coin.Height,
		})
	}, s.scan.progress)
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	j.Success, j.Coins, j.Height, j.Best, j.Total = err == nil, scan.Coins, scan.Height, scan.Tip, coins(total)
	return j, s.placeCoins(j.Unspents, scan)
}

// placeCoins adds the blocks of coins, which are of the chain that the scan was of.
func (s *Server) placeCoins(list []unspentJSON, scan chain.CoinScan) error {
	tip, ok := s.cfg.Chain.HashAt(scan.Height)
	moved := !ok || tip != scan.Tip // then blocks are found by walking back
	at := make(map[uint32]consensus.Hash)
	if moved && len(list) > 0 {
		for info, ok := s.cfg.Chain.Header(scan.Tip); ok && !info.Active; info, ok = s.cfg.Chain.Header(info.Header.Prev) {
			at[info.Height] = info.Hash
		}
	}
	for i := range list {
		u := &list[i]
		u.Confirmations = scan.Height - u.Height + 1
		if hash, ok := at[u.Height]; ok {
			u.BlockHash = hash
		} else if hash, ok := s.cfg.Chain.HashAt(u.Height); ok {
			u.BlockHash = hash
		} else {
			return fail(codeMisc, "The chain was reorganized while its coins were scanned; scan again")
		}
	}
	return nil
}

// scanKeys derives the output keys to look for, each with what describes it. A
// script that is none of Taproot has no coins here.
func (s *Server) scanKeys(ctx context.Context, objects []json.RawMessage) (map[[32]byte]string, error) {
	keys := make(map[[32]byte]string)
	err := s.eachScript(ctx, objects, func(d *descriptor.Descriptor, index uint32, script []byte) int {
		if key, ok := consensus.TaprootKey(script); ok {
			keys[key] = describeScript(d, index, script, s.descriptors)
		}
		return len(keys)
	})
	return keys, err
}

// eachScript derives the scripts to look for, and gives each to take, which says how many
// it has.
func (s *Server) eachScript(ctx context.Context, objects []json.RawMessage, take func(d *descriptor.Descriptor, index uint32, script []byte) int) error {
	for _, raw := range objects {
		o, err := readScanObject(raw)
		if err != nil {
			return err
		}
		d, err := descriptor.Parse(o.text, s.descriptors)
		if err != nil {
			return descriptorError(err)
		}
		if !d.IsRange() {
			o.r = indexes{}
		}
		for _, one := range d.Expand() {
			for i := o.r.first; i <= o.r.last; i++ {
				if err := ctx.Err(); err != nil {
					return err
				}
				script, ok := one.Raw()
				if !ok {
					script, err = one.Script(uint32(i))
				}
				if errors.Is(err, descriptor.ErrNoPrivate) {
					return fail(codeAddress, "Cannot derive script without private keys: '%s'", o.text)
				}
				if err != nil {
					return descriptorError(err)
				}
				if take(one, uint32(i), script) > maxDescriptorRange {
					return fail(codeParameter, "Range is too large")
				}
			}
		}
	}
	return nil
}

// describeScript gives the descriptor of one script: with the key and where that comes
// from, if there is one key.
func describeScript(d *descriptor.Descriptor, index uint32, script []byte, net descriptor.Network) string {
	origins, err := d.Origins(index)
	if kind := d.Kind(); err != nil || len(origins) != 1 || kind != "tr" && kind != "rawtr" {
		return descriptor.Infer(script, net)
	}
	var path strings.Builder
	for _, step := range origins[0].Path {
		const hardened = 1 << 31
		fmt.Fprintf(&path, "/%d", step&^hardened)
		if step >= hardened {
			path.WriteByte('h')
		}
	}
	return descriptor.AddChecksum(fmt.Sprintf("%s([%x%s]%x)", d.Kind(), origins[0].Fingerprint, path.String(), schnorr.SerializePubKey(origins[0].Key)))
}
