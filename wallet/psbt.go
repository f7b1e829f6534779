package wallet

import (
	"errors"
	"fmt"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/psbt"
	psbtkeys "lode/wallet/psbt/signer"
)

// PSBT makes a PSBT of a draft, for whoever has the keys: with what every input
// spends, and where the keys of inputs and of the change come from.
func (w *Wallet) PSBT(d *Draft, version uint32) (*psbt.Packet, error) {
	if d.IsSilent() {
		return nil, ErrSilentPSBT
	}
	p, err := psbt.New(version, d.Tx)
	if err != nil {
		return nil, err
	}
	for i, c := range d.Spends {
		key, err := w.outputKey(c.Key)
		if err != nil {
			return nil, err
		}
		p.Inputs[i].SetWitnessUTXO(consensus.TxOut{Value: c.Value, Script: consensus.TaprootScript(key)})
	}
	return p, w.UpdatePSBT(p, new(psbtkeys.Ring))
}

// UpdatePSBT adds to a PSBT what the wallet knows of it (Updater): what inputs
// spend, as its journal says, and where its own keys come from. The ring gets these
// keys, so that it can be asked for them, without private ones. Errors are of kind
// psbt.ErrAmount if the PSBT says something else of a coin than the journal.
func (w *Wallet) UpdatePSBT(p *psbt.Packet, ring *psbtkeys.Ring) error {
	tx, err := p.Tx()
	if err != nil {
		return err
	}
	for i := range p.Inputs {
		out, err := w.updateCoin(p, i)
		if err != nil {
			return err
		}
		if in := &p.Inputs[i]; w.addTo(ring, out.Script) && !in.IsFinal() {
			if err := ring.UpdateInput(in, out.Script); err != nil {
				return err
			}
		}
	}
	for i := range p.Outputs {
		if w.addTo(ring, tx.Out[i].Script) {
			if err := ring.UpdateOutput(&p.Outputs[i], tx.Out[i].Script); err != nil {
				return err
			}
		}
	}
	return nil
}

// updateCoin compares what the PSBT says of an input with the journal.
func (w *Wallet) updateCoin(p *psbt.Packet, i int) (consensus.TxOut, error) {
	out, known, err := p.UTXO(i)
	if err != nil {
		return out, err
	}
	prev := p.PrevOut(i)
	r := w.journal.byID.of(prev.TxID)
	if r == nil {
		return out, nil
	}
	if prev.Index >= uint32(len(r.tx.Out)) {
		return out, fmt.Errorf("input %d: %w: it spends output %d of a transaction that has %d", i, psbt.ErrAmount, prev.Index, len(r.tx.Out))
	}
	own := r.tx.Out[prev.Index]
	if known && (own.Value != out.Value || string(own.Script) != string(out.Script)) {
		return out, fmt.Errorf("input %d: %w: the PSBT says that it spends %s, the wallet knows that coin %s has %s", i, psbt.ErrAmount, out.Value, prev, own.Value)
	}
	if !known {
		p.Inputs[i].SetWitnessUTXO(own)
	}
	return own, nil
}

// addTo puts the key that a script pays into a ring, if it is the wallet's.
func (w *Wallet) addTo(ring *psbtkeys.Ring, script []byte) bool {
	id, ok := w.keys.find(script)
	if !ok {
		return false
	}
	d, ok := w.DescriptorOf(id)
	return ok && ring.Add(d, id.Index) == nil
}

// AddPrivate puts the private keys of a PSBT's own inputs into a ring: those that
// the wallet knows by what they spend, wherever the PSBT says they come from.
func (w *Wallet) AddPrivate(ring *psbtkeys.Ring, p *psbt.Packet, s *Secret) error {
	keys := w.newSigner(s)
	for i := range p.Inputs {
		out, known, err := p.UTXO(i)
		if err != nil {
			return err
		}
		id, own := w.keys.find(out.Script)
		if !known || !own {
			continue
		}
		d, err := keys.descriptor(id)
		if errors.Is(err, descriptor.ErrNoPrivate) {
			continue
		}
		if err == nil {
			err = ring.Add(d, id.Index)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// WritePSBT writes a PSBT to a file in binary, in place of what it had.
func WritePSBT(path string, p *psbt.Packet) error { return writeFile(path, p.Bytes()) }

// DraftOf describes a transaction that was signed elsewhere, so that Commit can put
// it into the journal. It is false if that is not the wallet's business: no coin of
// its own is spent, or it has this very transaction already. The error is of kind
// ErrChanged if another payment spends one of the coins.
func (w *Wallet) DraftOf(tx *consensus.Tx) (d *Draft, own bool, err error) {
	w.refresh()
	id := tx.TxID()
	spends := make(map[consensus.OutPoint]bool)
	for i := range tx.In {
		o := tx.In[i].PrevOut
		spends[o] = true
		if _, ours := w.ours(o); !ours {
			continue
		}
		own = true
		if r, live := w.liveSpender(o); live && r.id != id {
			return nil, true, fmt.Errorf("%w: payment %s spends coin %s already", ErrChanged, r.id, o)
		}
	}
	if w.journal.byID.of(id) != nil {
		return nil, false, nil
	}
	d = &Draft{Tx: tx}
	for _, c := range w.Coins() {
		if spends[c.OutPoint] && (c.Spendable() || c.Locked) {
			d.Spends = append(d.Spends, c)
		}
	}
	return d, own, nil
}

// UnlockSpent unlocks the coins that a draft spends, and gives those that were.
func (w *Wallet) UnlockSpent(d *Draft) (locked []consensus.OutPoint) {
	for _, c := range d.Spends {
		if w.Unlock(c.OutPoint) {
			locked = append(locked, c.OutPoint)
		}
	}
	return locked
}

// ErrPSBTNetwork is the kind of the error for a PSBT of another network.
var ErrPSBTNetwork = errors.New("a PSBT of another network")

// PSBTRing finds the keys that the words and descriptors of a secret have for a
// PSBT by the origins in it. It needs neither node nor any other file. What strangers
// wrote there decides nothing: a key is only used for the output that it leads to.
func (s *Secret) PSBTRing(spec *consensus.Spec, p *psbt.Packet) (*psbtkeys.Ring, error) {
	if err := CheckPSBTNetwork(spec, p); err != nil {
		return nil, err
	}
	f := &finder{secret: s, spec: spec, ring: new(psbtkeys.Ring), accounts: make(map[uint32]*descriptor.Descriptor)}
	for _, text := range s.Descriptors {
		d, err := descriptor.Parse(text, descriptor.NetworkOf(spec))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		f.imported = append(f.imported, d.Expand()...)
	}
	if s.Mnemonic != "" {
		account, err := s.account(spec, 0)
		if err != nil {
			return nil, err
		}
		f.fingerprint = account.Fingerprint
	}
	for _, d := range f.imported {
		if !d.IsRange() {
			if err := f.ring.Add(d, 0); err != nil {
				return nil, err
			}
		}
	}
	for i := range p.Inputs {
		if err := f.find(p.Inputs[i].TapDerivations()); err != nil {
			return nil, err
		}
	}
	for i := range p.Outputs {
		if err := f.find(p.Outputs[i].TapDerivations()); err != nil {
			return nil, err
		}
	}
	return f.ring, nil
}

// finder derives the keys that a PSBT names.
type finder struct {
	secret      *Secret
	spec        *consensus.Spec
	ring        *psbtkeys.Ring
	fingerprint [4]byte                           // of the words
	accounts    map[uint32]*descriptor.Descriptor // of the words, by number
	imported    []*descriptor.Descriptor
}

func (f *finder) find(origins []psbt.TapDerivation) error {
	for _, o := range origins {
		path := o.Origin.Path
		if len(path) == 0 || path[len(path)-1] >= psbt.Hardened {
			continue
		}
		index := path[len(path)-1]
		for _, d := range f.imported {
			if d.IsRange() {
				if err := f.ring.Add(d, index); err != nil {
					return err
				}
			}
		}
		if f.secret.Mnemonic == "" || o.Origin.Fingerprint != f.fingerprint {
			continue
		}
		chain, number, ok := f.accountOf(path)
		if !ok {
			continue
		}
		d, err := f.account(number)
		if err == nil {
			err = f.ring.Add(d.Expand()[chain], index)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// accountOf reads m/86'/coin'/number'/chain/index.
func (f *finder) accountOf(path []uint32) (chain, number uint32, ok bool) {
	if len(path) != 5 || path[0] != purpose|psbt.Hardened || path[1] != f.spec.Defaults.CoinType|psbt.Hardened || path[2] < psbt.Hardened || path[3] > ChangeChain {
		return 0, 0, false
	}
	number = path[2] &^ psbt.Hardened
	return path[3], number, number <= maxAccount
}

func (f *finder) account(number uint32) (*descriptor.Descriptor, error) {
	if d := f.accounts[number]; d != nil {
		return d, nil
	}
	net := descriptor.NetworkOf(f.spec)
	text, err := f.secret.accountDescriptor(net, number)
	if err != nil {
		return nil, err
	}
	d, err := descriptor.Parse(text, net)
	if err == nil {
		f.accounts[number] = d
	}
	return d, err
}

// CheckPSBTNetwork refuses a PSBT whose keys or outputs say that it is of another
// network. Networks whose coin type and key versions are the same, as those for
// tests often are, cannot be told apart. Errors are of kind
// ErrPSBTNetwork.
func CheckPSBTNetwork(spec *consensus.Spec, p *psbt.Packet) error {
	public := spec.Defaults.BIP32.Public
	for _, x := range p.XPubs() {
		if string(x.Key[:4]) != string(public) {
			return fmt.Errorf("%w: an extended key in it has version %x, want %x", ErrPSBTNetwork, x.Key[:4], []byte(public))
		}
	}
	check := func(where string, i int, list []psbt.TapDerivation) error {
		for _, o := range list {
			path := o.Origin.Path
			if len(path) >= 2 && (path[0] == purpose|psbt.Hardened || path[0] == cosignerPurpose|psbt.Hardened) && path[1] != spec.Defaults.CoinType|psbt.Hardened {
				return fmt.Errorf("%w: %s %d has a key of coin type %d, want %d", ErrPSBTNetwork, where, i, path[1]&^psbt.Hardened, spec.Defaults.CoinType)
			}
		}
		return nil
	}
	for i := range p.Inputs {
		if err := check("input", i, p.Inputs[i].TapDerivations()); err != nil {
			return err
		}
	}
	for i := range p.Outputs {
		if err := check("output", i, p.Outputs[i].TapDerivations()); err != nil {
			return err
		}
	}
	tx, err := p.Tx()
	if err != nil {
		return err
	}
	err = spec.Rules.CheckTx(tx)
	if errors.Is(err, consensus.ErrOutputType) {
		err = fmt.Errorf("%w: %w", ErrPSBTNetwork, err)
	}
	return err
}
