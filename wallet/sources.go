package wallet

import (
	"errors"
	"fmt"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// sourceDoc is where keys come from, as the watch file has it: an account of the
// words, or a descriptor that was imported. Sources are numbered in the order of
// the file, and never removed.
type sourceDoc struct {
	Descriptor string    `json:"descriptor"`         // public, normalized, with its checksum
	Account    *uint32   `json:"account,omitempty"`  // of BIP86, if the words lead to it
	Internal   bool      `json:"internal,omitempty"` // its only chain gives change
	Watched    bool      `json:"watched,omitempty"`  // the wallet has no private key of it
	Active     [2]bool   `json:"active"`             // by chain: new addresses come from it
	Next       [2]uint32 `json:"next"`               // by chain: the first index that was never handed out
	Least      uint32    `json:"least,omitempty"`    // so many keys count in any case
	Created    int64     `json:"created,omitempty"`  // Unix seconds: nobody has paid it before
}

// source is a sourceDoc that was read.
type source struct {
	*sourceDoc
	whole  *descriptor.Descriptor
	chains [2]*descriptor.Descriptor // of receive and change keys; nil for one that there is not
}

// OutputKey derives a key.
func (s *source) OutputKey(p KeyPath) ([32]byte, error) {
	if p.Chain > ChangeChain || s.chains[p.Chain] == nil {
		return [32]byte{}, fmt.Errorf("key %s: there is no such chain", p)
	}
	key, err := s.chains[p.Chain].OutputKey(p.Index)
	if err != nil {
		return key, fmt.Errorf("deriving key %s: %w", p, err)
	}
	return key, nil
}

// readSource reads a source of a network.
func readSource(doc *sourceDoc, net descriptor.Network) (*source, error) {
	d, err := descriptor.ParseChecked(doc.Descriptor, net)
	if err != nil {
		return nil, err
	}
	if err := d.Usable(); err != nil {
		return nil, err
	}
	s := &source{sourceDoc: doc, whole: d}
	switch list := d.Expand(); {
	case d.IsPrivate():
		return nil, errors.New("a private key stands where none belongs")
	case len(list) == 2 && !doc.Internal:
		s.chains = [2]*descriptor.Descriptor(list)
	case len(list) == 1:
		s.chains[s.onlyChain()] = d
	default:
		return nil, fmt.Errorf("%w: it stands for %d descriptors, and a wallet has receive and change addresses", ErrImport, len(list))
	}
	for chain, one := range s.chains {
		if one == nil {
			if doc.Active[chain] || doc.Next[chain] > 0 {
				return nil, errors.New("a source gives keys that it has not")
			}
		} else if _, err := one.OutputKey(0); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *source) onlyChain() uint32 {
	if s.Internal {
		return ChangeChain
	}
	return ReceiveChain
}

// windowOf says which keys of a chain count.
func (s *source) windowOf(chain uint32, gap uint32) window {
	w := window{gap: gap, handed: s.Next[chain], least: s.Least}
	if !s.chains[chain].IsRange() {
		w.most = 1
	}
	return w
}

// addSource derives the keys of one more source.
func (w *Wallet) addSource(doc *sourceDoc) (*source, error) {
	s, err := readSource(doc, w.net)
	if err != nil {
		return nil, err
	}
	number := uint32(len(w.sourced))
	w.sourced = append(w.sourced, s)
	for chain, one := range s.chains {
		if one != nil {
			w.keys.add(branchID{number, uint32(chain)}, s, s.windowOf(uint32(chain), w.doc.Gap))
		}
	}
	return s, nil
}

// role is the branch that new addresses of a kind come from: that of the account
// that was selected, or the active one. The error says what to do if there is none.
func (w *Wallet) role(chain uint32) (*branch, error) {
	for i, s := range w.sourced {
		chosen := s.Active[chain] && s.Account == nil || s.Active[chain] && *s.Account == 0
		if w.selected != nil {
			chosen = s.Account != nil && *s.Account == *w.selected
		}
		if chosen {
			return w.keys.of(KeyID{uint32(i), KeyPath{Chain: chain}}), nil
		}
	}
	return nil, fmt.Errorf("%w: import one with `lode wallet descriptor import --active`", ErrNoActive)
}

// ErrNoActive is the kind of the error of a wallet that has no descriptor to take
// new addresses from.
var ErrNoActive = errors.New("the wallet has no descriptor that gives new addresses")

// WatchOnly reports whether the wallet is to have no private keys.
func (w *Wallet) WatchOnly() bool { return w.doc.WatchOnly }

// ErrWatchOnly is the kind of the error for what wants a private key of a wallet
// that has none.
var ErrWatchOnly = errors.New("this wallet only watches: whoever has its private keys can sign what `lode wallet psbt create` makes")

// shown reports whether the keys of a source are part of what is shown, see
// SelectAccount.
func (w *Wallet) shown(number uint32) bool {
	if number == silentSource {
		return w.selected == nil || *w.selected == 0
	}
	n := w.sourced[number].Account
	if w.selected != nil {
		return n != nil && *n == *w.selected
	}
	return n == nil || *n == 0
}

// mine gives the key that a script pays, if it counts and is shown.
func (w *Wallet) mine(script []byte) (KeyID, bool) {
	id, ok := w.keys.counts(script)
	return id, ok && w.shown(id.Source)
}

// watchedAlone reports whether the coins of a source are for others to spend.
func (w *Wallet) watchedAlone(number uint32) bool {
	return number != silentSource && w.sourced[number].Watched && !w.doc.WatchOnly
}

// identityOf binds a journal to its wallet: the network and the first account. The
// account is written as Bitcoin does, whatever the network's own versions are.
func identityOf(spec *consensus.Spec, a *Account) consensus.Hash {
	id := spec.Rules.ID()
	return consensus.TaggedHash("lode/wallet", id[:], []byte(a.bitcoinXPub()))
}
