package kernel

import "lode/consensus"

// VersionBits are the bits of a block's version that miners may use as they
// like (BIP320). A version that begins as BIP9 says stays positive and above 4
// with any of them.
const VersionBits = 0x1fff_e000

// RollableBits are those of VersionBits by which no upgrade of the network is
// signalled, whatever has become of it.
func RollableBits(r *consensus.Rules, s *consensus.State) uint32 {
	mask := uint32(VersionBits)
	for _, u := range r.Upgrades(s) {
		if u.Height == 0 {
			mask &^= 1 << u.Signal.Bit
		}
	}
	return mask
}
