package consensus

import "fmt"

// Upgrade is a change of the rules to come. It is a soft fork: whatever it
// allows was allowed before, so that nodes that do not know it stay on the same
// chain. That is why it stands among the defaults and not among the rules that
// name the network.
type Upgrade struct {
	Name   string `json:"name"`   // [a-z0-9-]{1,32}
	Height uint32 `json:"height"` // of the first block under the upgrade; 0 where blocks signal for it
	Signal Signal `json:"signal"` // all zero where the height is fixed

	// What changes.
	MaxBlockWeight int `json:"max_block_weight"` // weight units (BIP141), at most what the rules say
}

// Signal says how blocks decide on an upgrade by a bit of their version. It is
// BIP9 with heights in the place of times. All of it is counted over windows of
// blocks whose first height is a multiple of the window.
type Signal struct {
	Bit       uint8  `json:"bit"`       // 0 to 28
	Start     uint32 `json:"start"`     // signals count in windows from this height on
	Timeout   uint32 `json:"timeout"`   // the upgrade fails if it is not locked in by the first window from here on
	Window    uint32 `json:"window"`    // blocks
	Threshold uint32 `json:"threshold"` // signals in one window that lock the upgrade in
}

// maxUpgrades bounds what a State must carry.
const maxUpgrades = 8

// The version of a block that may signal begins with the bits 001 (BIP9).
const (
	versionTopMask   = 0xe000_0000
	versionTop       = 0x2000_0000
	maxSignalBit     = 28
	maxSignalsWindow = 65535
)

// UpgradeStatus is how far an upgrade is (BIP9).
type UpgradeStatus uint8

// The order in which an upgrade goes through them; it ends as active or failed.
const (
	UpgradeDefined  UpgradeStatus = iota // nothing counts yet
	UpgradeStarted                       // signals are counted
	UpgradeLockedIn                      // it will be active after one more window
	UpgradeActive                        // its rules hold
	UpgradeFailed                        // too few signalled in time
)

// String gives the name that getdeploymentinfo has for it.
func (s UpgradeStatus) String() string {
	names := [...]string{"defined", "started", "locked_in", "active", "failed"}
	if int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// signals is what a State knows of the upgrades for which blocks signal, in the
// order of the chainspec.
type signals struct {
	status [maxUpgrades]UpgradeStatus // for the block after the tip
	count  [maxUpgrades]uint16        // of signals in the window in progress, the tip's included
}

// UpgradeState is an upgrade as the block after s finds it.
type UpgradeState struct {
	Upgrade
	Status UpgradeStatus
	Count  uint32 // signals in the window in progress
}

// Upgrades gives all upgrades of the network as the block after s finds them.
func (r *Rules) Upgrades(s *State) []UpgradeState {
	states := make([]UpgradeState, len(r.upgrades))
	for i, u := range r.upgrades {
		states[i] = UpgradeState{u, r.upgradeStatus(s, i), uint32(s.signals.count[i])}
	}
	return states
}

func (r *Rules) upgradeStatus(s *State, i int) UpgradeStatus {
	u := &r.upgrades[i]
	switch {
	case u.Height == 0:
		return s.signals.status[i]
	case s.Height+1 >= u.Height:
		return UpgradeActive
	}
	return UpgradeDefined
}

// BlockWeightLimit is the largest weight that the block after s may have.
func (r *Rules) BlockWeightLimit(s *State) int {
	limit := r.MaxBlockWeight
	for i := range r.upgrades {
		if r.upgradeStatus(s, i) == UpgradeActive {
			limit = min(limit, r.upgrades[i].MaxBlockWeight)
		}
	}
	return limit
}

// BlockVersion is the version that the block after s should have: it signals
// for every upgrade that is not decided yet, and for those that are locked in.
func (r *Rules) BlockVersion(s *State) int32 {
	version := uint32(versionTop)
	for i := range r.upgrades {
		if status := s.signals.status[i]; status == UpgradeStarted || status == UpgradeLockedIn {
			version |= 1 << r.upgrades[i].Signal.Bit
		}
	}
	return int32(version)
}

// nextSignals is the signals after a block with this version at this height.
func (r *Rules) nextSignals(s signals, version int32, height uint32) signals {
	for i := range r.upgrades {
		u := &r.upgrades[i].Signal
		if u.Window == 0 {
			continue // its height is fixed
		}
		signalling := uint32(version)&versionTopMask == versionTop && uint32(version)>>u.Bit&1 == 1
		if signalling && s.status[i] == UpgradeStarted {
			s.count[i]++
		}
		if next := height + 1; next%u.Window == 0 {
			s.status[i] = u.after(s.status[i], uint32(s.count[i]), next)
			s.count[i] = 0
		}
	}
	return s
}

// after is the status of the window that begins at height, which follows one
// with this status and count.
func (u *Signal) after(status UpgradeStatus, count, height uint32) UpgradeStatus {
	switch {
	case status == UpgradeDefined && height >= u.Start:
		return UpgradeStarted
	case status == UpgradeStarted && count >= u.Threshold:
		return UpgradeLockedIn
	case status == UpgradeStarted && height >= u.Timeout:
		return UpgradeFailed
	case status == UpgradeLockedIn:
		return UpgradeActive
	}
	return status
}

func (s *Spec) checkUpgrades() error {
	upgrades := s.Defaults.Upgrades
	if len(upgrades) > maxUpgrades {
		return fieldError("defaults.upgrades", "has %d elements: want at most %d", len(upgrades), maxUpgrades)
	}
	names, bits := make(map[string]bool), make(map[uint8]bool)
	for i := range upgrades {
		u := &upgrades[i]
		path := fmt.Sprintf("defaults.upgrades[%d].", i)
		signalled := u.Height == 0
		if err := firstImpossible([]possible{
			{nameForm.MatchString(u.Name) && !names[u.Name], path + "name", "1 to 32 of a-z, 0-9 and -, each name once"},
			{signalled || u.Signal == Signal{}, path + "signal", "zeros where the height is fixed"},
			{u.MaxBlockWeight >= minBlockWeight && u.MaxBlockWeight <= s.Rules.MaxBlockWeight, path + "max_block_weight", "4000 up to the weight of the rules"},
		}); err != nil {
			return err
		}
		names[u.Name] = true
		if !signalled {
			continue
		}
		if err := u.Signal.check(path+"signal.", bits[u.Signal.Bit]); err != nil {
			return err
		}
		bits[u.Signal.Bit] = true
	}
	s.Rules.upgrades = upgrades
	return nil
}

func (u *Signal) check(path string, taken bool) error {
	return firstImpossible([]possible{
		{u.Bit <= maxSignalBit && !taken, path + "bit", "0 to 28, each once"},
		{u.Window > 0 && u.Window <= maxSignalsWindow, path + "window", "1 to 65535 blocks"},
		{u.Threshold > 0 && u.Threshold <= u.Window, path + "threshold", "1 up to the window"},
		{u.Timeout > u.Start, path + "timeout", "a height above the start"},
	})
}
