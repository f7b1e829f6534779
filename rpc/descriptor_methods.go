package rpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"

	"lode/wallet/descriptor"
)

// maxDescriptorRange is how many scripts of a descriptor one call may ask for.
const maxDescriptorRange = 1_000_000

// descriptorError is Bitcoin Core's for what is no descriptor, or none that can be
// used here.
func descriptorError(err error) error {
	if e, ok := errors.AsType[*descriptor.Error](err); ok {
		return fail(codeAddress, "%s", e.Why)
	}
	return fail(codeAddress, "%v", err)
}

func (s *Server) getDescriptorInfo(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	d, err := descriptor.Parse(text, s.descriptors)
	if err != nil {
		return nil, descriptorError(err)
	}
	all := d.Expand()
	j := struct {
		Descriptor string   `json:"descriptor"`
		Expansion  []string `json:"multipath_expansion,omitempty"`
		Checksum   string   `json:"checksum"`
		IsRange    bool     `json:"isrange"`
		IsSolvable bool     `json:"issolvable"`
		HasPrivate bool     `json:"hasprivatekeys"`
	}{Descriptor: all[0].String(), IsRange: d.IsRange(), IsSolvable: d.IsSolvable(), HasPrivate: d.IsPrivate()}
	if len(all) > 1 {
		for _, one := range all {
			j.Expansion = append(j.Expansion, one.String())
		}
	}
	bare, _, _ := cutChecksum(text)
	j.Checksum, _, _ = descriptor.Checksum(bare)
	return j, nil
}

// cutChecksum is a descriptor without its checksum.
func cutChecksum(text string) (bare, sum string, ok bool) {
	i := len(text) - 9
	if i < 0 || text[i] != '#' {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// indexes is a range of a descriptor, both ends included.
type indexes struct{ first, last int64 }

// descriptorRange reads n, which means up to n, or [first, last].
func descriptorRange(raw json.RawMessage) (r indexes, err error) {
	var ends []json.RawMessage
	switch jsonType(raw) {
	case "number":
		ends = []json.RawMessage{json.RawMessage("0"), raw}
	case "array":
		_ = json.Unmarshal(raw, &ends)
	}
	if len(ends) != 2 || jsonType(ends[0]) != "number" || jsonType(ends[1]) != "number" {
		return r, fail(codeParameter, "Range must be specified as end or as [begin,end]")
	}
	if json.Unmarshal(ends[0], &r.first) != nil || json.Unmarshal(ends[1], &r.last) != nil {
		return r, fail(codeMisc, "JSON integer out of range")
	}
	switch {
	case jsonType(raw) == "array" && r.first > r.last:
		return r, fail(codeParameter, "Range specified as [begin,end] must not have begin after end")
	case r.first < 0:
		return r, fail(codeParameter, "Range should be greater or equal than 0")
	case r.last < 0 || r.last > math.MaxInt32:
		return r, fail(codeParameter, "End of range is too high")
	case r.last >= r.first+maxDescriptorRange:
		return r, fail(codeParameter, "Range is too large")
	}
	return r, nil
}

func (s *Server) deriveAddresses(ctx context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	var r indexes
	var err error
	if !p.absent(1) {
		if r, err = descriptorRange(p.values[1]); err != nil {
			return nil, err
		}
	}
	d, err := descriptor.ParseChecked(text, s.descriptors)
	switch {
	case err != nil:
		return nil, descriptorError(err)
	case !d.IsRange() && !p.absent(1):
		return nil, fail(codeParameter, "Range should not be specified for an un-ranged descriptor")
	case d.IsRange() && p.absent(1):
		return nil, fail(codeParameter, "Range must be specified for a ranged descriptor")
	case (r.last-r.first+1)*int64(d.Multipath()) > 2*maxDescriptorRange: // receive and change
		return nil, fail(codeParameter, "Range is too large for a descriptor that stands for %d", d.Multipath())
	}
	var lists [][]string
	for _, one := range d.Expand() {
		list := []string{}
		for i := r.first; i <= r.last; i++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			address, err := one.Address(uint32(i))
			if errors.Is(err, descriptor.ErrNoPrivate) {
				return nil, fail(codeAddress, "Cannot derive script without private keys")
			}
			if err != nil {
				return nil, descriptorError(err)
			}
			list = append(list, address)
		}
		lists = append(lists, list)
	}
	if len(lists) == 1 {
		return lists[0], nil
	}
	return lists, nil
}

// scripts are those of a descriptor that is not for a range; that it may be one of
// several (BIP389) is refused.
func (s *Server) scriptOf(text string) ([]byte, error) {
	d, err := descriptor.Parse(text, s.descriptors)
	switch {
	case err != nil:
		return nil, descriptorError(err)
	case d.Multipath() > 1:
		return nil, fail(codeParameter, "Multipath descriptor not accepted")
	case d.IsRange():
		return nil, fail(codeParameter, "Ranged descriptor not accepted. Maybe pass through deriveaddresses first?")
	}
	script, err := d.Script(0)
	if errors.Is(err, descriptor.ErrNoPrivate) {
		return nil, fail(codeAddress, "Cannot derive script without private keys")
	}
	if err != nil {
		return nil, descriptorError(err)
	}
	return script, nil
}

// scanObject is a descriptor with the range to derive from it.
type scanObject struct {
	text string
	r    indexes
}

// defaultScanRange is how far a descriptor is derived where nothing is said.
const defaultScanRange = 1000

// readScanObject reads a descriptor, or an object with "desc" and perhaps "range".
func readScanObject(raw json.RawMessage) (o scanObject, err error) {
	o.r.last = defaultScanRange
	switch jsonType(raw) {
	case "string":
		o.text = unquote(bytes.TrimSpace(raw))
		return o, nil
	case "object":
	default:
		return o, fail(codeParameter, "Scan object needs to be either a string or an object")
	}
	var desc, span json.RawMessage
	for name, value := range members(bytes.TrimSpace(raw)) {
		switch name {
		case "desc":
			desc = value
		case "range":
			span = value
		}
	}
	if isNull(desc) {
		return o, fail(codeParameter, "Descriptor needs to be provided in scan object")
	}
	if jsonType(desc) != "string" {
		return o, fail(codeType, "JSON value of type %s is not of expected type string", jsonType(desc))
	}
	o.text = unquote(desc)
	if !isNull(span) {
		o.r, err = descriptorRange(span)
	}
	return o, err
}

// decodeScript says what a script is.
func (s *Server) decodeScript(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	script, err := hex.DecodeString(text)
	if err != nil {
		return nil, fail(codeParameter, "argument must be hexadecimal string (not '%.80s')", text)
	}
	j := s.scriptJSON(script)
	return struct {
		Asm        string `json:"asm"`
		Descriptor string `json:"desc"`
		Address    string `json:"address,omitempty"`
		Type       string `json:"type"`
	}{j.Asm, j.Descriptor, j.Address, j.Type}, nil
}
