package main

import (
	"errors"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc/client"
	"lode/rpc/code"
	"lode/wallet"
)

// TestSilentAnswers reads what nodes say of silent payments: those that keep no index, or are too
// old to know of any, one whose chain moves, and one that lies.
func TestSilentAnswers(t *testing.T) {
	t.Parallel()
	tweak, key, hash := "02"+strings.Repeat("11", 32), strings.Repeat("22", 32), consensus.Hash{1}.String()
	const synced, none = `{"silentindex":{"synced":true}}`, `{}`
	block := func(tweak, key string) string {
		return `[{"height":5,"hash":"` + hash + `","previousblockhash":"` + hash + `","transactions":[{"txid":"` + hash + `","tweak":"` + tweak + `","outputs":["` + key + `"]}]}]`
	}
	for name, c := range map[string]struct {
		info, blocks string
		failure      *client.Error
		ok, bad      bool
		count        int
	}{
		"good":         {synced, block(tweak, key), nil, true, false, 1},
		"no index":     {none, "", &client.Error{Code: code.Misc}, false, false, 0},
		"unknown call": {none, "", &client.Error{Code: code.NoMethod}, false, false, 0},
		"moved":        {synced, "", &client.Error{Code: code.Address}, true, false, 0},
		"shorter":      {synced, "", &client.Error{Code: code.Parameter}, true, false, 0},
		"pruned":       {synced, "", &client.Error{Code: code.Misc}, false, true, 0},
		"short tweak":  {synced, block("02", key), nil, false, true, 0},
		"short key":    {synced, block(tweak, "22"), nil, false, true, 0},
	} {
		n := answers(t, map[string]func([]any) (string, *client.Error){
			"getindexinfo":    func([]any) (string, *client.Error) { return c.info, nil },
			"getsilentblocks": func([]any) (string, *client.Error) { return c.blocks, c.failure },
		})
		blocks, ok, err := n.SilentBlocks(t.Context(), 5, 10)
		if ok != c.ok || len(blocks) != c.count || (err != nil) != c.bad {
			t.Errorf("%s: %v, %t, %v", name, blocks, ok, err)
		}
		if strings.HasPrefix(name, "short ") && !errors.Is(err, wallet.ErrBadNode) {
			t.Errorf("%s: %v", name, err)
		}
		if c.count > 0 && (blocks[0].Height != 5 || blocks[0].Txs[0].Tweak[0] != 2 || blocks[0].Txs[0].Outputs[0][31] != 0x22) {
			t.Errorf("%s: %+v", name, blocks)
		}
	}
}
