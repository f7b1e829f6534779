package psbt

import (
	"encoding/binary"
	"fmt"
	"strings"

	"lode/consensus"
)

// KeyOrigin is where a key comes from: the fingerprint of a master key (BIP32),
// and the steps from it.
type KeyOrigin struct {
	Fingerprint [4]byte
	Path        []uint32 // hardened steps have the top bit set
}

// Hardened is added to a step that is hardened.
const Hardened = 1 << 31

// PathString is the path as "m/86h/1h/0h/0/5".
func (o *KeyOrigin) PathString() string {
	var b strings.Builder
	b.WriteString("m")
	for _, step := range o.Path {
		fmt.Fprintf(&b, "/%d", step&^Hardened)
		if step&Hardened != 0 {
			b.WriteString("h")
		}
	}
	return b.String()
}

func decodeOrigin(b []byte) (o KeyOrigin) {
	copy(o.Fingerprint[:], b)
	for b = b[4:]; len(b) > 0; b = b[4:] {
		o.Path = append(o.Path, binary.LittleEndian.Uint32(b))
	}
	return o
}

func (o *KeyOrigin) append(b []byte) []byte {
	b = append(b, o.Fingerprint[:]...)
	for _, step := range o.Path {
		b = binary.LittleEndian.AppendUint32(b, step)
	}
	return b
}

// Derivation is the origin of a public key of 33 or 65 bytes.
type Derivation struct {
	Key    []byte
	Origin KeyOrigin
}

// TapDerivation is the origin of an x-only key. Leaves are the hashes of the
// scripts that use it: none for an internal key.
type TapDerivation struct {
	Key    [32]byte
	Leaves []consensus.Hash
	Origin KeyOrigin
}

func (m Map) derivations(t uint64) (list []Derivation) {
	for key, value := range m.All(t) {
		list = append(list, Derivation{key, decodeOrigin(value)})
	}
	return list
}

func (m Map) tapDerivations(t uint64) (list []TapDerivation) {
	for key, value := range m.All(t) {
		d := TapDerivation{Key: [32]byte(key)}
		r := consensus.NewDecoder(value)
		for range r.Count(32) {
			d.Leaves = append(d.Leaves, r.Hash())
		}
		d.Origin = decodeOrigin(r.Rest())
		list = append(list, d)
	}
	return list
}

func (m *Map) setTapDerivation(t uint64, d TapDerivation) {
	value := consensus.AppendCompactSize(nil, uint64(len(d.Leaves)))
	for i := range d.Leaves {
		value = append(value, d.Leaves[i][:]...)
	}
	m.Set(t, d.Key[:], d.Origin.append(value))
}

func (m Map) bytes32(t uint64) (b [32]byte, ok bool) {
	value, ok := m.Get(t, nil)
	copy(b[:], value)
	return b, ok
}

// XPub is an extended key that keys of the transaction come from.
type XPub struct {
	Key    []byte // 78 bytes (BIP32)
	Origin KeyOrigin
}

// XPubs lists the extended keys of the global map.
func (p *Packet) XPubs() (list []XPub) {
	for key, value := range p.Global.All(GlobalXPub) {
		list = append(list, XPub{key, decodeOrigin(value)})
	}
	return list
}

// SetXPub adds an extended key.
func (p *Packet) SetXPub(x XPub) { p.Global.Set(GlobalXPub, x.Key, x.Origin.append(nil)) }

// NonWitnessUTXO is the whole transaction that the input spends from.
func (in *Input) NonWitnessUTXO() (*consensus.Tx, bool) {
	value, ok := in.Get(InNonWitnessUTXO, nil)
	if !ok {
		return nil, false
	}
	tx, err := consensus.DecodeTx(value)
	return tx, err == nil
}

// WitnessUTXO is the output that the input spends, as whoever wrote it says.
func (in *Input) WitnessUTXO() (out consensus.TxOut, ok bool) {
	value, ok := in.Get(InWitnessUTXO, nil)
	if !ok {
		return out, false
	}
	return decodeTxOut(value)
}

// SetWitnessUTXO says which output the input spends.
func (in *Input) SetWitnessUTXO(out consensus.TxOut) { in.Set(InWitnessUTXO, nil, encodeTxOut(out)) }

// SetNonWitnessUTXO says which transaction the input spends from.
func (in *Input) SetNonWitnessUTXO(tx *consensus.Tx) { in.Set(InNonWitnessUTXO, nil, tx.Bytes()) }

// SigHash is the type that signatures of the input must have, if it is fixed.
func (in *Input) SigHash() (t uint32, ok bool) {
	return in.uint32(InSigHash, 0), in.Has(InSigHash)
}

// SetSigHash fixes the type of signatures.
func (in *Input) SetSigHash(t consensus.SigHashType) { in.Set(InSigHash, nil, le32(uint32(t))) }

// TapKeySig is the signature for the key path, 64 or 65 bytes.
func (in *Input) TapKeySig() ([]byte, bool) { return in.Get(InTapKeySig, nil) }

// SetTapKeySig sets the signature for the key path.
func (in *Input) SetTapKeySig(sig []byte) { in.Set(InTapKeySig, nil, sig) }

// TapInternalKey is the key of the output before its tweak (BIP341).
func (in *Input) TapInternalKey() ([32]byte, bool) { return in.bytes32(InTapInternalKey) }

// SetTapInternalKey sets the internal key.
func (in *Input) SetTapInternalKey(key [32]byte) { in.Set(InTapInternalKey, nil, key[:]) }

// TapMerkleRoot is the root of the output's scripts, if it has any.
func (in *Input) TapMerkleRoot() ([32]byte, bool) { return in.bytes32(InTapMerkleRoot) }

// TapDerivations are the origins of the input's keys.
func (in *Input) TapDerivations() []TapDerivation { return in.tapDerivations(InTapDerivation) }

// SetTapDerivation adds the origin of a key.
func (in *Input) SetTapDerivation(d TapDerivation) { in.setTapDerivation(InTapDerivation, d) }

// Derivations are the origins of keys in other scripts than Taproot's.
func (in *Input) Derivations() []Derivation { return in.derivations(InDerivation) }

// FinalWitness is the whole witness of an input that is done.
func (in *Input) FinalWitness() ([][]byte, bool) {
	value, ok := in.Get(InFinalWitness, nil)
	if !ok {
		return nil, false
	}
	return decodeWitness(value)
}

// IsFinal reports whether the input has what the transaction will have. Whether
// it is valid is another question: see Packet.Extract.
func (in *Input) IsFinal() bool { return in.Has(InFinalWitness) || in.Has(InFinalScriptSig) }

// TapInternalKey is the key of the output before its tweak (BIP341).
func (out *Output) TapInternalKey() ([32]byte, bool) { return out.bytes32(OutTapInternalKey) }

// SetTapInternalKey sets the internal key.
func (out *Output) SetTapInternalKey(key [32]byte) { out.Set(OutTapInternalKey, nil, key[:]) }

// TapDerivations are the origins of the output's keys.
func (out *Output) TapDerivations() []TapDerivation { return out.tapDerivations(OutTapDerivation) }

// SetTapDerivation adds the origin of a key.
func (out *Output) SetTapDerivation(d TapDerivation) { out.setTapDerivation(OutTapDerivation, d) }

// Derivations are the origins of keys in other scripts than Taproot's.
func (out *Output) Derivations() []Derivation { return out.derivations(OutDerivation) }

// TapLeaf is one script of an output's tree.
type TapLeaf struct {
	Depth, Version byte
	Script         []byte
}

// TapTree lists the scripts of the output, depth first.
func (out *Output) TapTree() (leaves []TapLeaf) {
	value, _ := out.Get(OutTapTree, nil)
	for d := consensus.NewDecoder(value); len(d.Rest()) > 0; {
		leaves = append(leaves, TapLeaf{d.Uint8(), d.Uint8(), d.VarBytes()})
	}
	return leaves
}

// SilentInfo is the scan key and the spend key that the output pays to (BIP352,
// BIP375).
func (out *Output) SilentInfo() (scan, spend [33]byte, ok bool) {
	value, ok := out.Get(OutSilentInfo, nil)
	if ok {
		scan, spend = [33]byte(value[:33]), [33]byte(value[33:])
	}
	return scan, spend, ok
}

// HasSilent reports whether any output is a silent payment.
func (p *Packet) HasSilent() bool {
	for i := range p.Outputs {
		if p.Outputs[i].Has(OutSilentInfo) {
			return true
		}
	}
	return false
}
