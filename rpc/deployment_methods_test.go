package rpc_test

import (
	"math"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// Bitcoin's soft forks hold from the first block on, and clients look for them
// by name; an upgrade of the chainspec stands beside them.
func TestGetDeploymentInfo(t *testing.T) {
	t.Parallel()
	spec := chaingen.Spec(func(s *consensus.Spec) {
		s.Defaults.Upgrades = []consensus.Upgrade{
			{Name: "fixed", Height: 3, MaxBlockWeight: 3_000_000},
			{Name: "voted", Signal: consensus.Signal{Bit: 5, Start: 4, Timeout: 400, Window: 4, Threshold: 3}, MaxBlockWeight: 2_000_000},
		}
	})
	n := newNodeWith(t, chain.Config{Spec: spec}, "", 1)
	buried := func(height int) object { return object{"type": "buried", "height": height, "active": true} }
	voted := object{
		"bit": 5, "start_time": -1, "timeout": int64(math.MaxInt64), "min_activation_height": 0, "start_height": 4, "timeout_height": 400,
		"status": "defined", "status_next": "defined",
	}
	want := object{
		"bip34": buried(1), "bip65": buried(1), "bip66": buried(1), "csv": buried(1), "segwit": buried(0),
		"taproot": object{"type": "bip9", "height": 0, "active": true, "bip9": object{
			"start_time": -1, "timeout": int64(math.MaxInt64), "min_activation_height": 0, "status": "active", "since": 0, "status_next": "active",
		}},
		"fixed": object{"type": "buried", "height": 3, "active": false},
		"voted": object{"type": "bip9", "active": false, "bip9": voted},
	}
	at := func(hash any, height int) object {
		return object{"hash": hash, "height": height, "deployments": want, "script_flags": []string{
			"CHECKLOCKTIMEVERIFY", "CHECKSEQUENCEVERIFY", "DERSIG", "NULLDUMMY", "P2SH", "TAPROOT", "WITNESS",
		}}
	}
	first := n.chain.Tip().Hash
	same(t, ok[any](n, "getdeploymentinfo"), at(first, 1))

	// Two of four blocks of the window have signalled.
	n.mine(4)
	later := n.chain.Tip().Hash
	same(t, ok[any](n, "getdeploymentinfo", first), at(first, 1))
	want["fixed"] = object{"type": "buried", "height": 3, "active": true}
	voted["status"], voted["status_next"] = "started", "started"
	voted["statistics"] = object{"period": 4, "threshold": 3, "elapsed": 2, "count": 2, "possible": true}
	same(t, ok[any](n, "getdeploymentinfo", later), at(later, 5))

	n.refused(-5, "Block not found", "getdeploymentinfo", consensus.Hash{1})
	n.refused(-8, "blockhash must be of length 64 (not 1, for 'x')", "getdeploymentinfo", "x")
}

func TestEcho(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	same(t, ok[any](n, "echo"), []any{})
	same(t, ok[any](n, "echojson", 1, "two", nil, object{"3": []int{4}}), []any{1, "two", nil, object{"3": []int{4}}})
	answer, failure := n.named("echo", map[string]any{"arg1": true})
	if failure != nil || string(answer) != "[null,true]" {
		t.Errorf("echo by name: %s, %v", answer, failure)
	}
}
