package walletrpc

import (
	"encoding/hex"
	"errors"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// addressCalls are the calls about addresses and their labels.
func (m *Manager) addressCalls() calls {
	return calls{
		"getnewaddress":         m.on(getNewAddress),
		"getrawchangeaddress":   m.on(getRawChangeAddress),
		"getaddressinfo":        m.asIs(getAddressInfo),
		"setlabel":              m.asIs(setLabel),
		"listlabels":            m.asIs(listLabels),
		"getaddressesbylabel":   m.asIs(getAddressesByLabel),
		"getreceivedbyaddress":  m.on(getReceivedByAddress),
		"getreceivedbylabel":    m.on(getReceivedByLabel),
		"listreceivedbyaddress": m.on(listReceivedByAddress),
		"listreceivedbylabel":   m.on(listReceivedByLabel),
	}
}

// labelOf reads the label that argument i is.
func labelOf(a *rpc.Args, i int) string {
	label := a.Text(i, "")
	if label == "*" {
		a.Fail(fail(codeLabel, "Invalid label name"))
	}
	return label
}

// checkAddressType refuses all that is not bech32m.
func checkAddressType(a *rpc.Args, i int) {
	switch kind := a.Text(i, "bech32m"); kind {
	case "bech32m":
	case "legacy", "p2sh-segwit", "bech32":
		a.Fail(fail(codeAddress, "Address type '%s' is not to be had: every coin of this network is a Taproot output, with an address of type 'bech32m'", kind))
	default:
		a.Fail(fail(codeAddress, "Unknown address type '%.40s'", kind))
	}
}

func getNewAddress(c *call) (any, error) {
	label := labelOf(c.a, 0)
	checkAddressType(c.a, 1)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	a, err := c.w.Receive(wallet.AddressOptions{New: true, Label: label, BeyondGap: true})
	return newAddress(c, a, err)
}

// newAddress answers with an address once it is written down that it was handed
// out.
func newAddress(c *call, a wallet.Address, err error) (any, error) {
	if errors.Is(err, wallet.ErrNoActive) {
		return nil, fail(codeWallet, "Error: This wallet has no available keys")
	}
	if errors.Is(err, wallet.ErrGap) {
		return nil, fail(codeKeypool, "Error: Keypool ran out, please call keypoolrefill first (%v)", err)
	}
	if err == nil {
		err = c.w.Save()
	}
	return a.Address, err
}

func getRawChangeAddress(c *call) (any, error) {
	checkAddressType(c.a, 0)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	a, err := c.w.RawChange()
	return newAddress(c, a, err)
}

type addressInfoJSON struct {
	Address     string   `json:"address"`
	Script      string   `json:"scriptPubKey"`
	Mine        bool     `json:"ismine"`
	Solvable    bool     `json:"solvable"`
	Desc        string   `json:"desc,omitempty"`
	Parent      string   `json:"parent_desc,omitempty"`
	WatchOnly   bool     `json:"iswatchonly"`
	IsScript    bool     `json:"isscript"`
	IsWitness   bool     `json:"iswitness"`
	Version     int      `json:"witness_version"`
	Program     string   `json:"witness_program"`
	IsChange    bool     `json:"ischange"`
	Timestamp   *int64   `json:"timestamp,omitempty"`
	Path        string   `json:"hdkeypath,omitempty"`
	Seed        string   `json:"hdseedid,omitempty"`
	Fingerprint string   `json:"hdmasterfingerprint,omitempty"`
	Labels      []string `json:"labels"`
}

func getAddressInfo(c *call) (any, error) {
	text := c.a.Text(0, "")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	key, err := c.parseAddress(text)
	if err != nil {
		return nil, fail(codeAddress, "Invalid address: %v", err)
	}
	script := consensus.TaprootScript(key)
	j := addressInfoJSON{
		Address: consensus.Address(c.m.cfg.Spec.Defaults.AddressPrefix, key), Script: hex.EncodeToString(script), IsScript: true, IsWitness: true, Version: 1,
		Program: hex.EncodeToString(key[:]), Labels: []string{},
	}
	label := c.w.Label("addr", j.Address)
	id, mine := c.w.KeyOf(key)
	if !mine {
		if label != "" {
			j.Labels = []string{label}
		}
		return j, nil
	}
	k, err := c.w.DescribeKey(id)
	if err != nil {
		return nil, err
	}
	j.Mine, j.Solvable, j.Desc, j.Parent, j.Path, j.Fingerprint = true, true, k.Descriptor, k.Parent, k.Path, k.Fingerprint
	if k.Path != "" {
		j.Seed = consensus.Hash{}.String()[:40]
	}
	since := c.birth()
	j.Timestamp = &since
	if label != "" || c.w.HandedOut(id) {
		j.Labels = []string{label}
	} else {
		j.IsChange = true
	}
	return j, nil
}

// birth is the time of the block before those that the wallet looks at.
func (c *call) birth() int64 {
	h, _ := c.m.cfg.Chain.Header(c.w.WatchedSince().Hash)
	return int64(h.Header.Time)
}

func setLabel(c *call) (any, error) {
	text, label := c.a.Text(0, ""), labelOf(c.a, 1)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	key, err := c.parseAddress(text)
	if err != nil {
		return nil, fail(codeAddress, "Invalid Bitcoin address")
	}
	return nil, c.w.SetLabel("addr", consensus.Address(c.m.cfg.Spec.Defaults.AddressPrefix, key), label)
}

// purpose is what an address is for in Bitcoin Core's words.
func purpose(mine bool) string {
	if mine {
		return "receive"
	}
	return "send"
}

func listLabels(c *call) (any, error) {
	want := c.a.Text(0, "")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if want != "" && want != "send" && want != "receive" {
		return nil, fail(codeParameter, "Invalid 'purpose' argument, must be a known purpose string, typically 'send', or 'receive'.")
	}
	found := make(map[string]bool)
	for _, e := range c.w.Book() {
		if want == "" || want == purpose(e.Mine) {
			found[e.Label] = true
		}
	}
	return sortedKeys(found), nil
}

func getAddressesByLabel(c *call) (any, error) {
	label := labelOf(c.a, 0)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	type entry struct {
		Purpose string `json:"purpose"`
	}
	found := make(map[string]entry)
	for _, e := range c.w.Book() {
		if e.Label == label {
			found[e.Address] = entry{purpose(e.Mine)}
		}
	}
	if len(found) == 0 {
		return nil, fail(codeLabel, "No addresses with label %s", label)
	}
	return found, nil
}
