package descriptor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"lode/consensus"
)

// Kinds of errors.
var (
	// ErrDescriptor is a text that is no descriptor of the network.
	ErrDescriptor = errors.New("not a usable descriptor")
	// ErrUnsupported is a descriptor of scripts that Lode's rules do not have.
	ErrUnsupported = errors.New("not a descriptor that this network can use")
	// ErrNoPrivate is asked for what only a private key gives.
	ErrNoPrivate = errors.New("the descriptor has no private key for it")
	// ErrIndex is an index that cannot be derived.
	ErrIndex = errors.New("not an index of the descriptor")
)

// Error is what is wrong in the text of a descriptor, of kind ErrDescriptor.
type Error struct {
	At  int    // of the first character that is wrong, from 0
	Why string // as Bitcoin Core says it, where it does; without any key
}

// Error gives the reason and the place, counted from 1.
func (e *Error) Error() string {
	return fmt.Sprintf("%v: character %d: %s", ErrDescriptor, e.At+1, e.Why)
}

// Unwrap is ErrDescriptor.
func (e *Error) Unwrap() error { return ErrDescriptor }

func fail(at int, format string, args ...any) error {
	return &Error{at, fmt.Sprintf(format, args...)}
}

// Network is what a descriptor needs of a chainspec.
type Network struct {
	AddressPrefix string
	Private       [4]byte // version of extended keys (BIP32)
	Public        [4]byte
	WIF           byte // version of single private keys
}

// NetworkOf takes it from a chainspec.
func NetworkOf(spec *consensus.Spec) Network {
	d := &spec.Defaults
	return Network{d.AddressPrefix, [4]byte(d.BIP32.Private), [4]byte(d.BIP32.Public), d.WIF[0]}
}

// Descriptor is a descriptor that was read. It does not change, and may be used
// by several goroutines at once.
type Descriptor struct {
	net  Network
	root *node
}

// maxLength bounds a descriptor, in bytes, and maxRaw one that holds nothing but a script
// in hex, which may fill a block.
const (
	maxLength = 100_000
	maxRaw    = 2_000_100
)

// Parse reads a descriptor of a network. Its checksum may be missing, but not be
// wrong.
func Parse(text string, net Network) (*Descriptor, error) {
	most := maxLength
	if strings.HasPrefix(text, "raw(") {
		most = maxRaw
	}
	if len(text) > most {
		return nil, fail(most, "longer than %d characters", most)
	}
	body, err := cutChecksum(text)
	if err != nil {
		return nil, err
	}
	p := parser{text: body, net: &net}
	root, err := p.script(inTop, 0)
	if err == nil && p.pos < len(p.text) {
		err = fail(p.pos, "something follows the descriptor")
	}
	if err == nil {
		err = root.checkMultipath()
	}
	if err != nil {
		return nil, err
	}
	d := &Descriptor{net, root}
	d.prepare()
	return d, nil
}

// ParseChecked is Parse for a descriptor whose checksum must be there.
func ParseChecked(text string, net Network) (*Descriptor, error) {
	for i := range text {
		if text[i] == '#' {
			return Parse(text, net)
		}
	}
	return nil, fail(len(text), "Missing checksum")
}

// String is the public form with its checksum: no private key is in it.
func (d *Descriptor) String() string { return AddChecksum(d.root.write(formPublic)) }

// Private is the form that was read, with its private keys, and a checksum.
func (d *Descriptor) Private() string { return AddChecksum(d.root.write(formPrivate)) }

// Kind is the outermost function: "tr", "rawtr", "addr", "raw", "wpkh", ...
func (d *Descriptor) Kind() string { return d.root.fn }

// IsPrivate reports whether there is any private key in it.
func (d *Descriptor) IsPrivate() bool { return d.root.any((*key).isPrivate) }

// IsRange reports whether there is an index to derive at.
func (d *Descriptor) IsRange() bool { return d.root.any((*key).isRange) }

// IsSolvable reports whether it says how to sign, and not only what is paid.
func (d *Descriptor) IsSolvable() bool { return d.root.fn != "addr" && d.root.fn != "raw" }

// Public is d without its private keys.
func (d *Descriptor) Public() *Descriptor {
	public := &Descriptor{d.net, d.root.replace((*key).neuter)}
	public.prepare()
	return public
}

// Multipath is how many descriptors it stands for (BIP389): 1 but for those with
// <0;1> in a path.
func (d *Descriptor) Multipath() int {
	n := 1
	d.root.any(func(k *key) bool { n = max(n, k.paths()); return false })
	return n
}

// Expand gives the descriptors that it stands for (BIP389), itself if it is one.
func (d *Descriptor) Expand() []*Descriptor {
	n := d.Multipath()
	if n == 1 {
		return []*Descriptor{d}
	}
	list := make([]*Descriptor, n)
	for i := range list {
		list[i] = &Descriptor{d.net, d.root.replace(func(k *key) *key { return k.choose(i) })}
		list[i].prepare()
	}
	return list
}

// Usable is nil if scripts can be derived from d, and else the reason of kind
// ErrUnsupported.
func (d *Descriptor) Usable() error {
	switch fn := d.root.fn; {
	case fn == "tr" && len(d.root.args) > 1:
		return fmt.Errorf("%w: tr() has scripts, and coins are spent by their key alone here", ErrUnsupported)
	case fn == "tr" || fn == "rawtr":
		return nil
	case fn == "addr" || fn == "raw":
		return d.root.args[0].usable(fn)
	default:
		return fmt.Errorf("%w: %s() is not of Taproot, and every coin is here", ErrUnsupported, fn)
	}
}

func (n *node) usable(fn string) error {
	if n.output == nil {
		return fmt.Errorf("%w: %s() is not of a Taproot output", ErrUnsupported, fn)
	}
	return nil
}

// Raw is the script of raw(), whatever it is; ok is false for any other descriptor.
func (d *Descriptor) Raw() (script []byte, ok bool) {
	if d.root.fn != "raw" {
		return nil, false
	}
	script, err := hex.DecodeString(d.root.args[0].word)
	return script, err == nil
}

// prepare derives what is the same for every index.
func (d *Descriptor) prepare() { d.root.any(func(k *key) bool { k.prepare(); return false }) }

// Infer describes the script of an output of which no key is known, as Bitcoin
// Core does: rawtr of a Taproot output whose key is on the curve, addr of one
// whose is not, raw of anything else.
func Infer(script []byte, net Network) string {
	output, ok := consensus.TaprootKey(script)
	if !ok {
		return AddChecksum("raw(" + hex.EncodeToString(script) + ")")
	}
	_, err := parseXOnly(output[:])
	return InferKey(output, err == nil, net)
}

// InferKey is Infer for a Taproot output of which is known whether its key is on the
// curve.
func InferKey(output [32]byte, onCurve bool, net Network) string {
	if !onCurve {
		return AddChecksum("addr(" + consensus.Address(net.AddressPrefix, output) + ")")
	}
	return AddChecksum("rawtr(" + hex.EncodeToString(output[:]) + ")")
}
