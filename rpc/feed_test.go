package rpc_test

import (
	"encoding/json"
	"testing"

	"lode/consensus"
	"lode/testnet/feed"
)

// blockLine is a block, or a description of the UTXO set, and what Bitcoin Core
// 30.99 said of it: see chain/testdata/README.md.
type blockLine struct {
	Label, Hex, Result, Kind string
	Tip                      consensus.Hash
	Info                     struct {
		TxOuts   uint64         `json:"txouts"`
		BogoSize uint64         `json:"bogosize"`
		Serial   consensus.Hash `json:"hash_serialized_3"`
		MuHash   consensus.Hash `json:"muhash"`
	}
}

// txLine is a transaction and what Bitcoin Core said of it: see
// mempool/testdata/README.md.
type txLine struct {
	Label, Hex, Reason, Details string
	Allowed                     bool
}

// TestFeed replays blocks through submitblock and then transactions through
// testmempoolaccept, as a client sees them: every answer must be that of Bitcoin
// Core, to the last word of its details.
func TestFeed(t *testing.T) {
	n := newNode(t, "regtest", 0)
	blocks, err := feed.Read[blockLine]("../chain/testdata/feed-a.jsonl.gz")
	check(t, err)
	for i, line := range blocks {
		if line.Hex == "" {
			n.wantSet(line)
			continue
		}
		if got := n.submitHex(line.Hex); got != line.Result {
			t.Errorf("line %d (%s): %q, want %q", i, line.Label, got, line.Result)
		}
		if tip := ok[consensus.Hash](n, "getbestblockhash"); tip != line.Tip {
			t.Fatalf("line %d (%s): tip %s, want %s", i, line.Label, tip, line.Tip)
		}
	}
	txs, err := feed.Read[txLine]("../mempool/testdata/pool-a.jsonl.gz")
	check(t, err)
	for i, line := range txs {
		if line.Hex == "" {
			continue
		}
		got := ok[[]struct {
			Allowed bool   `json:"allowed"`
			Reason  string `json:"reject-reason"`
			Details string `json:"reject-details"`
		}](n, "testmempoolaccept", []string{line.Hex}, 0)[0]
		if got.Allowed != line.Allowed || got.Reason != line.Reason || line.Details != "" && got.Details != line.Details {
			t.Errorf("line %d (%s): %+v, want %v, %q, %q", i, line.Label, got, line.Allowed, line.Reason, line.Details)
		}
		if line.Allowed {
			ok[string](n, "sendrawtransaction", line.Hex, 0)
		}
	}
}

// submitHex is what submitblock says, in the words of the feed.
func (n *testNode) submitHex(block string) (answer string) {
	result, failure := n.call("submitblock", block)
	if failure != nil {
		return "error: " + failure.Message
	}
	if string(result) != "null" {
		check(n.tb, json.Unmarshal(result, &answer))
	}
	return answer
}

func (n *testNode) wantSet(line blockLine) {
	n.tb.Helper()
	got := ok[struct {
		TxOuts   uint64         `json:"txouts"`
		BogoSize uint64         `json:"bogosize"`
		Serial   consensus.Hash `json:"hash_serialized_3"`
		MuHash   consensus.Hash `json:"muhash"`
	}](n, "gettxoutsetinfo", line.Kind)
	if got != line.Info {
		n.tb.Errorf("UTXO set %+v, want %+v", got, line.Info)
	}
}
