package psbt

import "lode/consensus"

// sigHashNames are those of Bitcoin Core.
var sigHashNames = map[consensus.SigHashType]string{
	consensus.SigHashDefault: "DEFAULT", consensus.SigHashAll: "ALL", consensus.SigHashNone: "NONE", consensus.SigHashSingle: "SINGLE",
	consensus.SigHashAll | consensus.SigHashAnyoneCanPay:    "ALL|ANYONECANPAY",
	consensus.SigHashNone | consensus.SigHashAnyoneCanPay:   "NONE|ANYONECANPAY",
	consensus.SigHashSingle | consensus.SigHashAnyoneCanPay: "SINGLE|ANYONECANPAY",
}

// SigHashName is how people write a type of signatures, "ALL|ANYONECANPAY", and
// empty for one that there is not.
func SigHashName(t uint32) string {
	if t > 0xff {
		return ""
	}
	return sigHashNames[consensus.SigHashType(t)]
}

// ParseSigHash is the inverse of SigHashName.
func ParseSigHash(name string) (consensus.SigHashType, bool) {
	for t, have := range sigHashNames {
		if have == name {
			return t, true
		}
	}
	return 0, false
}
