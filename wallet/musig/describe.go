package musig

import (
	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/wallet/descriptor"
	"lode/wallet/psbt"
)

// described is what signers have to know of a key of an account.
type described struct {
	internal    [32]byte
	hasInternal bool // the output key is internal, tweaked
	group       psbt.MuSigGroup
	derivations []psbt.TapDerivation
}

// DescribeInput adds to an input what its signers need to know (Updater of
// BIP373): d is the descriptor of the coin that it spends, at an index. It is
// false if d is not of several owners.
func DescribeInput(in *psbt.Input, d *descriptor.Descriptor, index uint32) (bool, error) {
	x, err := describe(d, index)
	if x == nil || err != nil {
		return false, err
	}
	if x.hasInternal {
		in.SetTapInternalKey(x.internal)
	}
	in.SetMuSigGroup(x.group)
	for _, one := range x.derivations {
		in.SetTapDerivation(one)
	}
	return true, nil
}

// DescribeOutput is DescribeInput for change, so that the signers see that it is
// theirs.
func DescribeOutput(out *psbt.Output, d *descriptor.Descriptor, index uint32) (bool, error) {
	x, err := describe(d, index)
	if x == nil || err != nil {
		return false, err
	}
	if x.hasInternal {
		out.SetTapInternalKey(x.internal)
	}
	out.SetMuSigGroup(x.group)
	for _, one := range x.derivations {
		out.SetTapDerivation(one)
	}
	return true, nil
}

func describe(d *descriptor.Descriptor, index uint32) (*described, error) {
	m, ok, err := d.MuSig(index)
	if !ok || err != nil {
		return nil, err
	}
	x := &described{internal: [32]byte(schnorr.SerializePubKey(m.Internal)), hasInternal: d.Kind() == "tr"}
	x.group.Aggregate = pubKeyOf(m.Aggregate)
	for _, p := range m.Participants {
		x.group.Participants = append(x.group.Participants, pubKeyOf(p))
	}
	origins, err := d.Origins(index)
	if err != nil {
		return nil, err
	}
	for _, o := range origins {
		x.derivations = append(x.derivations, psbt.TapDerivation{
			Key:    [32]byte(schnorr.SerializePubKey(o.Key)),
			Origin: psbt.KeyOrigin{Fingerprint: o.Fingerprint, Path: o.Path},
		})
	}
	if len(m.Path) > 0 {
		x.derivations = append(x.derivations, psbt.TapDerivation{
			Key:    x.internal,
			Origin: psbt.KeyOrigin{Fingerprint: [4]byte(address.Hash160(x.group.Aggregate[:])[:4]), Path: m.Path},
		})
	}
	return x, nil
}
