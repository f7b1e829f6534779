package wallet

import (
	"fmt"
	"time"

	"lode/wallet/descriptor"
)

// DescriptorView is a descriptor of a wallet, or one of the two that one stands
// for.
type DescriptorView struct {
	Descriptor string    `json:"descriptor"` // public, with its checksum
	Active     bool      `json:"active"`     // new addresses come from it
	Internal   bool      `json:"internal"`   // of change
	Range      bool      `json:"range"`      // it has an index
	Watched    bool      `json:"watched"`    // the wallet has no private key of it
	Account    *uint32   `json:"account,omitempty"`
	End        uint32    `json:"end"`  // the first index whose key does not count
	Next       uint32    `json:"next"` // the first index that was neither handed out nor seen
	Created    time.Time `json:"created,omitzero"`
	Source     uint32    `json:"-"`
}

// Descriptors lists the descriptors of the wallet's keys.
func (w *Wallet) Descriptors() (list []DescriptorView) {
	w.refresh()
	for _, b := range w.keys.branches {
		s := w.sourced[b.id.source]
		one := s.chains[b.id.chain]
		v := DescriptorView{
			Descriptor: one.String(), Active: s.Active[b.id.chain], Internal: b.id.chain == ChangeChain, Range: one.IsRange(),
			Watched: s.Watched, Account: s.Account, End: b.end, Next: b.window.next(), Source: b.id.source,
		}
		if s.Created > 0 {
			v.Created = time.Unix(s.Created, 0).UTC()
		}
		list = append(list, v)
	}
	return list
}

// DescriptorOf gives the descriptor of a key, which it derives at its index, and
// false if the wallet has no such source.
func (w *Wallet) DescriptorOf(id KeyID) (*descriptor.Descriptor, bool) {
	if uint64(id.Source) >= uint64(len(w.sourced)) || id.Chain > ChangeChain || w.sourced[id.Source].chains[id.Chain] == nil {
		return nil, false
	}
	return w.sourced[id.Source].chains[id.Chain], true
}

// PrivateDescriptor is the descriptor of a source with its private keys.
func (w *Wallet) PrivateDescriptor(number uint32, s *Secret) (*descriptor.Descriptor, error) {
	if uint64(number) >= uint64(len(w.sourced)) {
		return nil, fmt.Errorf("the wallet has no descriptor %d", number)
	}
	return s.privateOf(w.sourced[number], w.net)
}

// WholeDescriptors lists what Descriptors does, receive and change keys in one where
// they were so.
func (w *Wallet) WholeDescriptors() (list []string) {
	for _, s := range w.sourced {
		list = append(list, s.Descriptor)
	}
	return list
}

// PrivateDescriptors is WholeDescriptors with private keys, of those that have some.
func (w *Wallet) PrivateDescriptors(s *Secret) (list []string, err error) {
	for i, source := range w.sourced {
		if source.Watched {
			continue
		}
		d, err := w.PrivateDescriptor(uint32(i), s)
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", i, err)
		}
		list = append(list, d.Private())
	}
	return list, nil
}

// Path is where a key comes from: m/86'/1'/0'/0/5, or what its descriptor says.
func (w *Wallet) Path(id KeyID) string {
	if id.IsSilent() {
		return fmt.Sprintf("m/%d'/%d'/0'/%d'/0 and a tweak", silentPurpose, w.spec.Defaults.CoinType, silentSpendChain)
	}
	if uint64(id.Source) < uint64(len(w.sourced)) {
		if n := w.sourced[id.Source].Account; n != nil {
			return fmt.Sprintf("m/%d'/%d'/%d'/%s", purpose, w.spec.Defaults.CoinType, *n, id.KeyPath)
		}
	}
	d, ok := w.DescriptorOf(id)
	if !ok {
		return id.String()
	}
	if d.Kind() != "tr" && d.Kind() != "rawtr" {
		return d.Kind()
	}
	origins, err := d.Origins(id.Index)
	if err != nil || len(origins) != 1 {
		return fmt.Sprintf("%s/%d", d.Kind(), id.Index)
	}
	return origins[0].String()
}
