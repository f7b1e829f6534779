package psbt

import "lode/consensus"

// MuSigGroup is the keys that an aggregate key consists of, in the order of the
// aggregation (BIP373).
type MuSigGroup struct {
	Aggregate    [33]byte
	Participants [][33]byte
}

// MuSigID says whose and what for a nonce or a partial signature is.
type MuSigID struct {
	Participant [33]byte
	Aggregate   [33]byte
	Leaf        *consensus.Hash // of the script; nil for the key path
}

func (id *MuSigID) data() []byte {
	b := append(append([]byte(nil), id.Participant[:]...), id.Aggregate[:]...)
	if id.Leaf != nil {
		b = append(b, id.Leaf[:]...)
	}
	return b
}

func muSigID(data []byte) (id MuSigID) {
	copy(id.Participant[:], data)
	copy(id.Aggregate[:], data[33:])
	if len(data) > 66 {
		id.Leaf = (*consensus.Hash)(data[66:])
	}
	return id
}

func (m Map) muSigGroups(t uint64) (list []MuSigGroup) {
	for key, value := range m.All(t) {
		g := MuSigGroup{Aggregate: [33]byte(key)}
		for ; len(value) > 0; value = value[33:] {
			g.Participants = append(g.Participants, [33]byte(value))
		}
		list = append(list, g)
	}
	return list
}

func (m *Map) setMuSigGroup(t uint64, g MuSigGroup) {
	var value []byte
	for i := range g.Participants {
		value = append(value, g.Participants[i][:]...)
	}
	m.Set(t, g.Aggregate[:], value)
}

// MuSigGroups lists the aggregate keys of the input.
func (in *Input) MuSigGroups() []MuSigGroup { return in.muSigGroups(InMuSigParticipants) }

// SetMuSigGroup adds an aggregate key.
func (in *Input) SetMuSigGroup(g MuSigGroup) { in.setMuSigGroup(InMuSigParticipants, g) }

// MuSigGroups lists the aggregate keys of the output.
func (out *Output) MuSigGroups() []MuSigGroup { return out.muSigGroups(OutMuSigParticipants) }

// SetMuSigGroup adds an aggregate key.
func (out *Output) SetMuSigGroup(g MuSigGroup) { out.setMuSigGroup(OutMuSigParticipants, g) }

// MuSigNonce is the public nonce of a participant.
type MuSigNonce struct {
	MuSigID
	Nonce [66]byte
}

// MuSigNonces lists the public nonces of the input.
func (in *Input) MuSigNonces() (list []MuSigNonce) {
	for key, value := range in.All(InMuSigPubNonce) {
		list = append(list, MuSigNonce{muSigID(key), [66]byte(value)})
	}
	return list
}

// SetMuSigNonce adds a public nonce.
func (in *Input) SetMuSigNonce(n MuSigNonce) { in.Set(InMuSigPubNonce, n.data(), n.Nonce[:]) }

// MuSigPartialSig is the partial signature of a participant.
type MuSigPartialSig struct {
	MuSigID
	Sig [32]byte
}

// MuSigPartialSigs lists the partial signatures of the input.
func (in *Input) MuSigPartialSigs() (list []MuSigPartialSig) {
	for key, value := range in.All(InMuSigPartialSig) {
		list = append(list, MuSigPartialSig{muSigID(key), [32]byte(value)})
	}
	return list
}

// SetMuSigPartialSig adds a partial signature.
func (in *Input) SetMuSigPartialSig(s MuSigPartialSig) {
	in.Set(InMuSigPartialSig, s.data(), s.Sig[:])
}
