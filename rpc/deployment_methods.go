package rpc

import (
	"context"
	"math"

	"lode/consensus"
)

// scriptFlags are what Bitcoin Core verifies of scripts in every block of a chain
// on which all its soft forks hold. Lode has one kind of spend, which all of them
// let pass.
var scriptFlags = []string{"CHECKLOCKTIMEVERIFY", "CHECKSEQUENCEVERIFY", "DERSIG", "NULLDUMMY", "P2SH", "TAPROOT", "WITNESS"}

// deployment is a change of the rules as getdeploymentinfo shows it. The buried
// ones of Bitcoin hold from the first block on.
type deployment struct {
	Type   string  `json:"type"` // "buried", or "bip9" where blocks signal
	Height *uint32 `json:"height,omitempty"`
	Active bool    `json:"active"`
	BIP9   *bip9   `json:"bip9,omitempty"`
}

type bip9 struct {
	Bit        *uint8     `json:"bit,omitempty"`
	StartTime  int64      `json:"start_time"`
	Timeout    int64      `json:"timeout"`
	MinHeight  uint32     `json:"min_activation_height"`
	Start      *uint32    `json:"start_height,omitempty"` // what Lode's upgrades have in the place of times
	End        *uint32    `json:"timeout_height,omitempty"`
	Status     string     `json:"status"`
	Since      *uint32    `json:"since,omitempty"`
	StatusNext string     `json:"status_next"`
	Statistics *bip9Count `json:"statistics,omitempty"`
}

type bip9Count struct {
	Period    uint32 `json:"period"`
	Threshold uint32 `json:"threshold"`
	Elapsed   uint32 `json:"elapsed"`
	Count     uint32 `json:"count"`
	Possible  bool   `json:"possible"`
}

// getDeploymentInfo shows the changes of the rules as the block after one finds
// them.
func (s *Server) getDeploymentInfo(_ context.Context, p *params) (any, error) {
	hash := s.cfg.Chain.Tip().Hash
	if !p.absent(0) {
		hash = p.hash(0, "blockhash")
	}
	if p.err != nil {
		return nil, p.err
	}
	state, ok := s.cfg.Chain.State(hash)
	if !ok {
		return nil, fail(codeAddress, "Block not found")
	}
	list := make(map[string]deployment)
	for _, name := range []string{"bip34", "bip65", "bip66", "csv"} {
		list[name] = deployment{Type: "buried", Height: new(uint32(1)), Active: true}
	}
	list["segwit"] = deployment{Type: "buried", Height: new(uint32), Active: true}
	list["taproot"] = deployment{Type: "bip9", Height: new(uint32), Active: true, BIP9: &bip9{
		StartTime: -1, Timeout: math.MaxInt64, Status: "active", Since: new(uint32), StatusNext: "active",
	}}
	for _, u := range s.cfg.Chain.Rules().Upgrades(&state) {
		list[u.Name] = deploymentOf(&u, state.Height)
	}
	return struct {
		Hash        consensus.Hash        `json:"hash"`
		Height      uint32                `json:"height"`
		ScriptFlags []string              `json:"script_flags"`
		Deployments map[string]deployment `json:"deployments"`
	}{hash, state.Height, scriptFlags, list}, nil
}

// deploymentOf is an upgrade as the block after one at a height finds it.
func deploymentOf(u *consensus.UpgradeState, height uint32) deployment {
	d := deployment{Type: "buried", Active: u.Status == consensus.UpgradeActive}
	if u.Height > 0 {
		d.Height = &u.Height
		return d
	}
	status := u.Status.String()
	d.Type, d.BIP9 = "bip9", &bip9{
		Bit: &u.Signal.Bit, StartTime: -1, Timeout: math.MaxInt64, Start: &u.Signal.Start, End: &u.Signal.Timeout, Status: status, StatusNext: status,
	}
	if u.Status == consensus.UpgradeStarted || u.Status == consensus.UpgradeLockedIn {
		elapsed := (height + 1) % u.Signal.Window // blocks of the window that are there
		left := u.Signal.Window - elapsed
		d.BIP9.Statistics = &bip9Count{
			Period: u.Signal.Window, Threshold: u.Signal.Threshold, Elapsed: elapsed, Count: u.Count, Possible: u.Count+left >= u.Signal.Threshold,
		}
	}
	return d
}
