package rpc

import (
	"context"
	"encoding/hex"

	"github.com/btcsuite/btcd/address/v2/base58"

	"lode/consensus"
	"lode/wallet/psbt"
)

// psbtJSON is a PSBT as decodepsbt shows it.
type psbtJSON struct {
	Tx          txJSON            `json:"tx"`
	XPubs       []psbtXPubJSON    `json:"global_xpubs"`
	Version     uint32            `json:"psbt_version"`
	Proprietary []proprietaryJSON `json:"proprietary"`
	Unknown     map[string]string `json:"unknown"`
	Inputs      []psbtInJSON      `json:"inputs"`
	Outputs     []psbtOutJSON     `json:"outputs"`
	Fee         *coins            `json:"fee,omitempty"`
}

type psbtXPubJSON struct {
	XPub        string `json:"xpub"`
	Fingerprint string `json:"master_fingerprint"`
	Path        string `json:"path"`
}

type proprietaryJSON struct {
	Identifier string `json:"identifier"`
	Subtype    uint64 `json:"subtype"`
	Key        string `json:"key"`
	Value      string `json:"value"`
}

type psbtScriptJSON struct {
	Asm  string `json:"asm"`
	Hex  string `json:"hex"`
	Type string `json:"type"`
}

type psbtUTXOJSON struct {
	Amount coins      `json:"amount"`
	Script scriptJSON `json:"scriptPubKey"`
}

type psbtDerivJSON struct {
	PubKey      string `json:"pubkey"`
	Fingerprint string `json:"master_fingerprint"`
	Path        string `json:"path"`
}

type psbtTapDerivJSON struct {
	PubKey      string   `json:"pubkey"`
	Fingerprint string   `json:"master_fingerprint"`
	Path        string   `json:"path"`
	LeafHashes  []string `json:"leaf_hashes"`
}

type tapScriptSigJSON struct {
	PubKey   string `json:"pubkey"`
	LeafHash string `json:"leaf_hash"`
	Sig      string `json:"sig"`
}

type tapScriptJSON struct {
	Script        string   `json:"script"`
	LeafVersion   byte     `json:"leaf_ver"`
	ControlBlocks []string `json:"control_blocks"`
}

type muSigGroupJSON struct {
	Aggregate    string   `json:"aggregate_pubkey"`
	Participants []string `json:"participant_pubkeys"`
}

type muSigPartJSON struct {
	Participant string `json:"participant_pubkey"`
	Aggregate   string `json:"aggregate_pubkey"`
	LeafHash    string `json:"leaf_hash,omitempty"`
	PubNonce    string `json:"pubnonce,omitempty"`
	PartialSig  string `json:"partial_sig,omitempty"`
}

type psbtInJSON struct {
	WitnessUTXO    *psbtUTXOJSON      `json:"witness_utxo,omitempty"`
	NonWitnessUTXO *txJSON            `json:"non_witness_utxo,omitempty"`
	PartialSigs    map[string]string  `json:"partial_signatures,omitempty"`
	SigHash        *string            `json:"sighash,omitempty"`
	RedeemScript   *psbtScriptJSON    `json:"redeem_script,omitempty"`
	WitnessScript  *psbtScriptJSON    `json:"witness_script,omitempty"`
	Derivs         []psbtDerivJSON    `json:"bip32_derivs,omitempty"`
	FinalScriptSig *scriptSigJSON     `json:"final_scriptSig,omitempty"`
	FinalWitness   []string           `json:"final_scriptwitness,omitempty"`
	RIPEMD160      map[string]string  `json:"ripemd160_preimages,omitempty"`
	SHA256         map[string]string  `json:"sha256_preimages,omitempty"`
	Hash160        map[string]string  `json:"hash160_preimages,omitempty"`
	Hash256        map[string]string  `json:"hash256_preimages,omitempty"`
	TapKeySig      string             `json:"taproot_key_path_sig,omitempty"`
	TapScriptSigs  []tapScriptSigJSON `json:"taproot_script_path_sigs,omitempty"`
	TapScripts     []tapScriptJSON    `json:"taproot_scripts,omitempty"`
	TapDerivs      []psbtTapDerivJSON `json:"taproot_bip32_derivs,omitempty"`
	TapInternalKey string             `json:"taproot_internal_key,omitempty"`
	TapMerkleRoot  string             `json:"taproot_merkle_root,omitempty"`
	MuSigGroups    []muSigGroupJSON   `json:"musig2_participant_pubkeys,omitempty"`
	MuSigNonces    []muSigPartJSON    `json:"musig2_pubnonces,omitempty"`
	MuSigSigs      []muSigPartJSON    `json:"musig2_partial_sigs,omitempty"`
	Proprietary    []proprietaryJSON  `json:"proprietary,omitempty"`
	Unknown        map[string]string  `json:"unknown,omitempty"`
}

type tapLeafJSON struct {
	Depth   byte   `json:"depth"`
	Version byte   `json:"leaf_ver"`
	Script  string `json:"script"`
}

type psbtOutJSON struct {
	RedeemScript   *psbtScriptJSON    `json:"redeem_script,omitempty"`
	WitnessScript  *psbtScriptJSON    `json:"witness_script,omitempty"`
	Derivs         []psbtDerivJSON    `json:"bip32_derivs,omitempty"`
	TapInternalKey string             `json:"taproot_internal_key,omitempty"`
	TapTree        []tapLeafJSON      `json:"taproot_tree,omitempty"`
	TapDerivs      []psbtTapDerivJSON `json:"taproot_bip32_derivs,omitempty"`
	MuSigGroups    []muSigGroupJSON   `json:"musig2_participant_pubkeys,omitempty"`
	Proprietary    []proprietaryJSON  `json:"proprietary,omitempty"`
	Unknown        map[string]string  `json:"unknown,omitempty"`
}

func (s *Server) decodePSBT(_ context.Context, p *params) (any, error) {
	packet := p.psbt(0)
	if p.err != nil {
		return nil, p.err
	}
	j, err := s.psbtJSON(packet)
	if err != nil {
		return nil, fail(codeDecode, "TX decode failed %v", err)
	}
	return j, nil
}

// DescribePSBT is what decodepsbt says of a PSBT of a network, for programs that
// have no server.
func DescribePSBT(spec *consensus.Spec, packet *psbt.Packet) (any, error) {
	return (&Server{cfg: Config{Spec: spec}}).psbtJSON(packet)
}

func (s *Server) psbtJSON(packet *psbt.Packet) (*psbtJSON, error) {
	tx, err := packet.Tx()
	if err != nil {
		return nil, err
	}
	proprietary, unknown := others(packet.Global, psbt.KnownGlobal)
	j := &psbtJSON{
		Tx: s.txJSON(tx, nil, false), XPubs: []psbtXPubJSON{}, Version: packet.Version(), Proprietary: proprietary, Unknown: unknown,
		Inputs: make([]psbtInJSON, len(packet.Inputs)), Outputs: make([]psbtOutJSON, len(packet.Outputs)),
	}
	for _, x := range packet.XPubs() {
		j.XPubs = append(j.XPubs, psbtXPubJSON{base58.CheckEncode(x.Key[1:], x.Key[0]), hex.EncodeToString(x.Origin.Fingerprint[:]), x.Origin.PathString()})
	}
	if j.Proprietary == nil {
		j.Proprietary = []proprietaryJSON{}
	}
	if j.Unknown == nil {
		j.Unknown = map[string]string{}
	}
	for i := range packet.Inputs {
		j.Inputs[i] = s.psbtIn(&packet.Inputs[i])
	}
	for i := range packet.Outputs {
		j.Outputs[i] = s.psbtOut(&packet.Outputs[i])
	}
	if fee, ok := s.psbtFee(packet, tx); ok {
		j.Fee = &fee
	}
	return j, nil
}

// psbtFee is what the PSBT says that it pays, which may be negative.
func (s *Server) psbtFee(packet *psbt.Packet, tx *consensus.Tx) (fee coins, ok bool) {
	most := s.cfg.Spec.Rules.MaxMoney
	var in, out consensus.Amount
	for i := range packet.Inputs {
		spent, ok := packet.Inputs[i].WitnessUTXO()
		if whole, found := packet.Inputs[i].NonWitnessUTXO(); found {
			spent, ok = whole.Out[packet.PrevOut(i).Index], true
		}
		if !ok || spent.Value < 0 || spent.Value > most || in+spent.Value > most {
			return 0, false
		}
		in += spent.Value
	}
	for i := range tx.Out {
		if v := tx.Out[i].Value; v < 0 || v > most || out+v > most {
			return 0, false
		}
		out += tx.Out[i].Value
	}
	return coins(in - out), true
}

func (s *Server) psbtIn(in *psbt.Input) (j psbtInJSON) {
	if out, ok := in.WitnessUTXO(); ok {
		j.WitnessUTXO = &psbtUTXOJSON{coins(out.Value), s.scriptJSON(out.Script)}
	}
	if tx, ok := in.NonWitnessUTXO(); ok {
		whole := s.txJSON(tx, nil, false)
		j.NonWitnessUTXO = &whole
	}
	if t, ok := in.SigHash(); ok {
		name := psbt.SigHashName(t & 0xff)
		if name == "DEFAULT" {
			name = "" // as Bitcoin Core has it
		}
		j.SigHash = &name
	}
	j.PartialSigs = hexMap(in.Map, psbt.InPartialSig)
	j.RedeemScript, j.WitnessScript = s.psbtScript(in.Map, psbt.InRedeemScript), s.psbtScript(in.Map, psbt.InWitnessScript)
	j.Derivs = psbtDerivs(in.Derivations())
	if script, ok := in.Get(psbt.InFinalScriptSig, nil); ok {
		asm, _ := disassemble(script)
		j.FinalScriptSig = &scriptSigJSON{asm, hex.EncodeToString(script)}
	}
	witness, _ := in.FinalWitness()
	for _, item := range witness {
		j.FinalWitness = append(j.FinalWitness, hex.EncodeToString(item))
	}
	j.RIPEMD160, j.SHA256 = hexMap(in.Map, psbt.InRIPEMD160), hexMap(in.Map, psbt.InSHA256)
	j.Hash160, j.Hash256 = hexMap(in.Map, psbt.InHash160), hexMap(in.Map, psbt.InHash256)
	j.tapFields(in)
	for _, n := range in.MuSigNonces() {
		part := muSigPart(n.MuSigID)
		part.PubNonce = hex.EncodeToString(n.Nonce[:])
		j.MuSigNonces = append(j.MuSigNonces, part)
	}
	for _, n := range in.MuSigPartialSigs() {
		part := muSigPart(n.MuSigID)
		part.PartialSig = hex.EncodeToString(n.Sig[:])
		j.MuSigSigs = append(j.MuSigSigs, part)
	}
	j.MuSigGroups = muSigGroups(in.MuSigGroups())
	j.Proprietary, j.Unknown = others(in.Map, psbt.KnownInput)
	return j
}

func (j *psbtInJSON) tapFields(in *psbt.Input) {
	j.TapKeySig, j.TapInternalKey, j.TapMerkleRoot = hexField(in.Map, psbt.InTapKeySig), hexField(in.Map, psbt.InTapInternalKey), hexField(in.Map, psbt.InTapMerkleRoot)
	for key, sig := range in.All(psbt.InTapScriptSig) {
		j.TapScriptSigs = append(j.TapScriptSigs, tapScriptSigJSON{hex.EncodeToString(key[:32]), hex.EncodeToString(key[32:]), hex.EncodeToString(sig)})
	}
	at := make(map[string]int)
	for control, leaf := range in.All(psbt.InTapLeafScript) {
		n, seen := at[string(leaf)]
		if !seen {
			n = len(j.TapScripts)
			at[string(leaf)] = n
			j.TapScripts = append(j.TapScripts, tapScriptJSON{Script: hex.EncodeToString(leaf[:len(leaf)-1]), LeafVersion: leaf[len(leaf)-1]})
		}
		j.TapScripts[n].ControlBlocks = append(j.TapScripts[n].ControlBlocks, hex.EncodeToString(control))
	}
	j.TapDerivs = psbtTapDerivs(in.TapDerivations())
}

func (s *Server) psbtOut(out *psbt.Output) (j psbtOutJSON) {
	j.RedeemScript, j.WitnessScript = s.psbtScript(out.Map, psbt.OutRedeemScript), s.psbtScript(out.Map, psbt.OutWitnessScript)
	j.Derivs, j.TapDerivs = psbtDerivs(out.Derivations()), psbtTapDerivs(out.TapDerivations())
	j.TapInternalKey = hexField(out.Map, psbt.OutTapInternalKey)
	for _, leaf := range out.TapTree() {
		j.TapTree = append(j.TapTree, tapLeafJSON{leaf.Depth, leaf.Version, hex.EncodeToString(leaf.Script)})
	}
	j.MuSigGroups = muSigGroups(out.MuSigGroups())
	j.Proprietary, j.Unknown = others(out.Map, psbt.KnownOutput)
	return j
}

func hexField(m psbt.Map, t uint64) string {
	value, _ := m.Get(t, nil)
	return hex.EncodeToString(value)
}

func hexMap(m psbt.Map, t uint64) (list map[string]string) {
	for key, value := range m.All(t) {
		if list == nil {
			list = make(map[string]string)
		}
		list[hex.EncodeToString(key)] = hex.EncodeToString(value)
	}
	return list
}

// others are the records that only programs know, and those that nobody here does.
func others(m psbt.Map, known func(uint64) bool) (list []proprietaryJSON, unknown map[string]string) {
	for i := range m {
		r := &m[i]
		switch t := r.Type(); {
		case t == psbt.Proprietary:
			d := consensus.NewDecoder(r.Data())
			id := d.VarBytes()
			list = append(list, proprietaryJSON{hex.EncodeToString(id), d.CompactSize(), hex.EncodeToString(r.Key), hex.EncodeToString(r.Value)})
		case !known(t):
			if unknown == nil {
				unknown = make(map[string]string)
			}
			unknown[hex.EncodeToString(r.Key)] = hex.EncodeToString(r.Value)
		}
	}
	return list, unknown
}

func (s *Server) psbtScript(m psbt.Map, t uint64) *psbtScriptJSON {
	script, ok := m.Get(t, nil)
	if !ok || len(script) == 0 {
		return nil
	}
	j := s.scriptJSON(script)
	return &psbtScriptJSON{j.Asm, j.Hex, j.Type}
}

func psbtDerivs(origins []psbt.Derivation) (list []psbtDerivJSON) {
	for _, o := range origins {
		list = append(list, psbtDerivJSON{PubKey: hex.EncodeToString(o.Key), Fingerprint: hex.EncodeToString(o.Origin.Fingerprint[:]), Path: o.Origin.PathString()})
	}
	return list
}

func psbtTapDerivs(origins []psbt.TapDerivation) (list []psbtTapDerivJSON) {
	for _, o := range origins {
		j := psbtTapDerivJSON{hex.EncodeToString(o.Key[:]), hex.EncodeToString(o.Origin.Fingerprint[:]), o.Origin.PathString(), []string{}}
		for i := range o.Leaves {
			j.LeafHashes = append(j.LeafHashes, hex.EncodeToString(o.Leaves[i][:]))
		}
		list = append(list, j)
	}
	return list
}

func muSigGroups(groups []psbt.MuSigGroup) (list []muSigGroupJSON) {
	for i := range groups {
		j := muSigGroupJSON{hex.EncodeToString(groups[i].Aggregate[:]), []string{}}
		for _, key := range groups[i].Participants {
			j.Participants = append(j.Participants, hex.EncodeToString(key[:]))
		}
		list = append(list, j)
	}
	return list
}

func muSigPart(id psbt.MuSigID) muSigPartJSON {
	j := muSigPartJSON{Participant: hex.EncodeToString(id.Participant[:]), Aggregate: hex.EncodeToString(id.Aggregate[:])}
	if id.Leaf != nil {
		j.LeafHash = hex.EncodeToString(id.Leaf[:])
	}
	return j
}
