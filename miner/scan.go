package miner

import (
	"crypto/sha256"
	"encoding/binary"

	"lode/consensus"
)

// scan tries count nonces from first on and reports the first with which the
// header meets the target. Nonces wrap around.
func scan(h consensus.Header, target *consensus.Target, first uint32, count int) (nonce uint32, found bool) {
	buf := h.Append(make([]byte, 0, consensus.HeaderSize))
	nonce = first
	for range count {
		binary.LittleEndian.PutUint32(buf[76:], nonce)
		once := sha256.Sum256(buf)
		hash := sha256.Sum256(once[:])
		// A target leaves the highest bytes zero; the comparison of 256 bits
		// is only needed where they are.
		if hash[31] <= byte(target[3]>>56) && consensus.Hash(hash).MeetsTarget(target) {
			return nonce, true
		}
		nonce++
	}
	return 0, false
}
