package rpc

import (
	"context"
	"errors"
	"regexp"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/message"
)

// Messages are signed and verified by BIP322, as addresses are of Taproot. Bitcoin
// Core knows only its own older form, and answers such an address with an error.

// wif is how a single private key looks.
var wif = regexp.MustCompile(`^[1-9A-HJ-NP-Za-km-z]{50,53}$`)

func (s *Server) signMessageWithPrivKey(_ context.Context, p *params) (any, error) {
	text, said := p.text(0, ""), p.text(1, "")
	if p.err != nil {
		return nil, p.err
	}
	invalid := fail(codeAddress, "Invalid private key")
	if !wif.MatchString(text) {
		return nil, invalid
	}
	d, err := descriptor.Parse("tr("+text+")", s.descriptors)
	if err != nil {
		return nil, invalid
	}
	key, err := d.OutputPrivateKey(0)
	if err != nil {
		return nil, invalid
	}
	signature, err := message.Sign(key, []byte(said))
	if err != nil {
		return nil, fail(codeAddress, "Sign failed: %v", err)
	}
	return signature, nil
}

func (s *Server) verifyMessage(_ context.Context, p *params) (any, error) {
	address, signature, said := p.text(0, ""), p.text(1, ""), p.text(2, "")
	if p.err != nil {
		return nil, p.err
	}
	key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, address)
	if err != nil {
		return nil, fail(codeAddress, "Invalid address")
	}
	switch err := message.Verify(key, []byte(said), signature); {
	case errors.Is(err, message.ErrEncoding):
		return nil, fail(codeType, "Malformed base64 encoding")
	case err != nil:
		return false, nil
	}
	return true, nil
}
