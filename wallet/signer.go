package wallet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/wallet/descriptor"
)

// privateOf is the descriptor of a source with its private keys.
func (s *Secret) privateOf(of *source, net descriptor.Network) (*descriptor.Descriptor, error) {
	if of.Account != nil {
		text, err := s.accountDescriptor(net, *of.Account)
		if err != nil {
			return nil, err
		}
		d, err := descriptor.Parse(text, net)
		if err != nil {
			return nil, err
		}
		if d.String() != of.Descriptor {
			return nil, errOtherWords
		}
		return d, nil
	}
	for _, text := range s.Descriptors {
		d, err := descriptor.Parse(text, net)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if normal, err := d.Normalized(); err == nil && normal.String() == of.Descriptor {
			return d, nil
		}
	}
	return nil, descriptor.ErrNoPrivate
}

var errOtherWords = errors.New("the account is of other words")

// addDescriptor takes up private keys.
func (s *Secret) addDescriptor(d *descriptor.Descriptor) error {
	text := d.Private()
	if slices.Contains(s.Descriptors, text) {
		return nil
	}
	total := len(text)
	for _, have := range s.Descriptors {
		total += len(have)
	}
	if total > maxSecretSize/2 {
		return fmt.Errorf("%w: there is no room for more private keys", ErrImport)
	}
	s.Descriptors = append(s.Descriptors, text)
	return nil
}

// signer is the private side of the sources.
type signer struct {
	wallet  *Wallet
	secret  *Secret
	sources map[uint32][2]*descriptor.Descriptor // by number: those that were asked for
	spend   *btcec.PrivateKey                    // of silent payments, if it was asked for
}

func (w *Wallet) newSigner(s *Secret) *signer {
	return &signer{wallet: w, secret: s, sources: make(map[uint32][2]*descriptor.Descriptor)}
}

// descriptor is the private one of a chain.
func (s *signer) descriptor(id KeyID) (*descriptor.Descriptor, error) {
	if id.IsSilent() {
		return s.silentDescriptor(id)
	}
	chains, ok := s.sources[id.Source]
	if !ok {
		d, err := s.wallet.PrivateDescriptor(id.Source, s.secret)
		switch {
		case errors.Is(err, errOtherWords):
			return nil, fmt.Errorf("%s does not belong to %s: move the watch file away, and the next command builds it anew", s.wallet.files.Watch, s.wallet.files.Secret)
		case err != nil:
			return nil, err
		}
		if list := d.Expand(); len(list) == 2 {
			chains = [2]*descriptor.Descriptor(list)
		} else {
			chains[s.wallet.sourced[id.Source].onlyChain()] = d
		}
		s.sources[id.Source] = chains
	}
	if id.Chain > ChangeChain || chains[id.Chain] == nil {
		return nil, fmt.Errorf("key %s: the wallet has no such keys", id)
	}
	return chains[id.Chain], nil
}
