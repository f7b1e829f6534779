package musig

import (
	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/wallet/descriptor"
	"lode/wallet/psbt"
)

// Section is what inputs and outputs of a PSBT have in common.
type Section interface {
	SetTapInternalKey(key [32]byte)
	SetMuSigGroup(g psbt.MuSigGroup)
	SetTapDerivation(d psbt.TapDerivation)
}

// Describe adds to an input what its signers need to know (Updater of BIP373), or
// to an output, so that they see that it is theirs: d is the descriptor of its key,
// at an index. It is false if d is not of several owners.
func Describe(s Section, d *descriptor.Descriptor, index uint32) (bool, error) {
	m, ok, err := d.MuSig(index)
	if !ok || err != nil {
		return false, err
	}
	origins, err := d.Origins(index)
	if err != nil {
		return false, err
	}
	internal := [32]byte(schnorr.SerializePubKey(m.Internal))
	if d.Kind() == "tr" {
		s.SetTapInternalKey(internal)
	}
	g := psbt.MuSigGroup{Aggregate: pubKeyOf(m.Aggregate)}
	for _, p := range m.Participants {
		g.Participants = append(g.Participants, pubKeyOf(p))
	}
	s.SetMuSigGroup(g)
	for _, o := range origins {
		s.SetTapDerivation(psbt.TapDerivation{
			Key:    [32]byte(schnorr.SerializePubKey(o.Key)),
			Origin: psbt.KeyOrigin{Fingerprint: o.Fingerprint, Path: o.Path},
		})
	}
	if len(m.Path) > 0 {
		s.SetTapDerivation(psbt.TapDerivation{
			Key:    internal,
			Origin: psbt.KeyOrigin{Fingerprint: [4]byte(address.Hash160(g.Aggregate[:])[:4]), Path: m.Path},
		})
	}
	return true, nil
}
