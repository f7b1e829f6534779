package wallet

import (
	"encoding/hex"
	"fmt"
	"strings"

	"lode/wallet/descriptor"
	"lode/wallet/psbt"
)

// KeyView describes a key of a wallet as Bitcoin Core writes it.
type KeyView struct {
	Descriptor  string // of this key alone, with its origin and checksum
	Parent      string // the descriptor that it comes from; empty for a silent payment
	Path        string // "m/86h/1h/0h/0/5"; empty if it has none
	Fingerprint string // of the master key, in hex
}

// DescribeKey describes a key.
func (w *Wallet) DescribeKey(id KeyID) (v KeyView, err error) {
	if id.IsSilent() {
		output, err := w.outputKey(id)
		v.Descriptor = descriptor.AddChecksum(fmt.Sprintf("rawtr(%x)", output))
		return v, err
	}
	d, ok := w.DescriptorOf(id)
	if !ok {
		return v, fmt.Errorf("key %s: the wallet has no such keys", id)
	}
	v.Parent = d.String()
	output, err := d.OutputKey(id.Index)
	if err != nil {
		return v, err
	}
	v.Descriptor = descriptor.AddChecksum(fmt.Sprintf("rawtr(%x)", output))
	origins, err := d.Origins(id.Index)
	if err != nil || len(origins) != 1 || d.Kind() != "tr" || strings.Contains(v.Parent, ",") {
		return v, nil // of no single key
	}
	o := origins[0]
	path := psbt.KeyOrigin{Path: o.Path}
	v.Path, v.Fingerprint = path.PathString(), hex.EncodeToString(o.Fingerprint[:])
	internal, err := d.InternalKey(id.Index)
	if err != nil {
		return v, err
	}
	v.Descriptor = descriptor.AddChecksum(fmt.Sprintf("tr([%s%s]%x)", v.Fingerprint, v.Path[1:], internal.SerializeCompressed()[1:]))
	return v, nil
}

// Parents is the descriptor that a key comes from, as a list.
func (v *KeyView) Parents() []string {
	if v.Parent == "" {
		return []string{}
	}
	return []string{v.Parent}
}

// WatchedSince is the block before those that were looked at.
func (w *Wallet) WatchedSince() Point { return w.start }

// RootKey is the extended public key in a descriptor of the wallet, empty if it has
// none.
func (w *Wallet) RootKey(v *DescriptorView) string {
	if uint64(v.Source) >= uint64(len(w.sourced)) {
		return ""
	}
	if key := w.sourced[v.Source].whole.RootKey(); key != nil {
		return key.String()
	}
	return ""
}

// ShowPrivate has descriptors of the wallet show the private keys that it has.
func (w *Wallet) ShowPrivate(list []DescriptorView, s *Secret) error {
	for i := range list {
		v := &list[i]
		if v.Watched {
			continue
		}
		chain := uint32(ReceiveChain)
		if v.Internal {
			chain = ChangeChain
		}
		d, err := w.newSigner(s).descriptor(KeyID{v.Source, KeyPath{Chain: chain}})
		if err != nil {
			return err
		}
		v.Descriptor = d.Private()
	}
	return nil
}

// PrivateRootKey is the private side of RootKey.
func (w *Wallet) PrivateRootKey(v *DescriptorView, s *Secret) (string, error) {
	d, err := w.PrivateDescriptor(v.Source, s)
	if err != nil {
		return "", err
	}
	key := d.PrivateRootKey()
	if key == nil {
		return "", descriptor.ErrNoPrivate
	}
	return key.String(), nil
}
