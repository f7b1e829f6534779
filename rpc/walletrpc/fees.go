package walletrpc

import (
	"encoding/json"
	"strings"

	"lode/consensus"
	"lode/mempool/fees"
	"lode/rpc"
	"lode/wallet"
)

// feeWish is what a call says of the fee.
type feeWish struct {
	rate     wallet.FeeRate // sat per 1,000 vB; 0 if an estimate is wanted
	explicit bool           // rate was said
	target   int            // blocks
	sure     bool           // conservative
	override bool           // of the least rate of the node
}

// readFee reads the arguments at these places, of which -1 is none. Some calls have
// them in options as well, but not both.
func readFee(a *rpc.Args, target, mode, rate int) (f feeWish) {
	f.target = defaultTarget
	has := func(i int) bool { return i >= 0 && !a.Absent(i) }
	text := ""
	if has(mode) {
		text = a.Text(mode, "")
	}
	if has(rate) {
		switch {
		case has(target):
			a.Fail(fail(codeParameter, "Cannot specify both conf_target and fee_rate. Please provide either a confirmation target in blocks for automatic fee estimation, or an explicit fee rate."))
		case has(mode) && text != "unset":
			a.Fail(fail(codeParameter, "Cannot specify both estimate_mode and fee_rate"))
		}
		f.rate, f.explicit = wallet.FeeRate(a.FeeRate(rate)), true
		return f
	}
	switch strings.ToLower(text) {
	case "", "unset", "economical":
	case "conservative":
		f.sure = true
	default:
		a.Fail(fail(codeParameter, `Invalid estimate_mode parameter, must be one of: "unset", "economical", "conservative"`))
	}
	if has(target) {
		n := integer32(a, target, defaultTarget)
		if n < 1 || n > maxTarget {
			a.Fail(fail(codeParameter, "Invalid conf_target, must be between 1 and %d", maxTarget))
		}
		f.target = int(n)
	}
	return f
}

// feeRate is what to pay. The reason is in Bitcoin Core's words.
func (c *call) feeRate(f feeWish) (rate wallet.FeeRate, reason string, err error) {
	least := wallet.FeeRate(c.m.cfg.Pool.MinFeeRate())
	if f.explicit {
		if f.rate <= 0 || f.rate < least && !f.override {
			return 0, "", fail(codeParameter, "Fee rate (%s) is lower than the minimum fee rate setting (%s)", satPerByte(f.rate), satPerByte(least))
		}
		return f.rate, "PayTxFee set", nil
	}
	mode := fees.Economical
	if f.sure {
		mode = fees.Conservative
	}
	estimate, _, ok := c.m.cfg.Pool.Estimate(f.target, mode)
	switch rate = max(wallet.FeeRate(estimate), wallet.DefaultFeeRate); {
	case least > rate:
		return least, "Mempool Min Fee", nil
	case !ok:
		return rate, "Fallback fee", nil
	case f.sure:
		return rate, "Double Target 95% Threshold", nil
	}
	return rate, "Target 85% Threshold", nil
}

func satPerByte(rate wallet.FeeRate) string {
	text := rate.String()
	if !strings.Contains(text, ".") {
		text += "."
	}
	for len(text)-strings.IndexByte(text, '.') < 4 {
		text += "0"
	}
	return text + " sat/vB"
}

// recipients are whom a payment pays.
type recipients struct {
	outs      []consensus.TxOut
	addresses []string // "" for data
}

// parsePayees reads {address: amount, …}.
func (c *call) parsePayees(raw json.RawMessage) (r recipients, err error) {
	seen := make(map[[32]byte]bool)
	err = rpc.Members(raw, func(name string, value json.RawMessage) error {
		key, err := c.parseAddress(name)
		if err != nil {
			return fail(codeAddress, "Invalid Bitcoin address: %.100s (%v)", name, err)
		}
		if seen[key] {
			return fail(codeParameter, "Invalid parameter, duplicated address: %.100s", name)
		}
		seen[key] = true
		amount, err := c.parseAmount(value)
		r.outs = append(r.outs, consensus.TxOut{Value: amount, Script: consensus.TaprootScript(key)})
		r.addresses = append(r.addresses, name)
		return err
	})
	return r, err
}

func (c *call) parseAmount(raw json.RawMessage) (consensus.Amount, error) {
	a := rpc.SingleArg("amount", raw)
	if a.Absent(0) {
		return 0, fail(codeType, "Amount is not a number or string")
	}
	return a.Amount(0, 0, c.m.cfg.Spec.Rules.MaxMoney), a.Err()
}

// parseOutputs reads the outputs of createrawtransaction.
func (c *call) parseOutputs(raw json.RawMessage) (r recipients, err error) {
	if r.outs, err = rpc.DraftOutputs(c.m.cfg.Spec, raw); err != nil {
		return r, err
	}
	if len(r.outs) == 0 {
		return r, fail(codeParameter, "TX must have at least one output")
	}
	for i := range r.outs {
		address := ""
		if key, ok := consensus.TaprootKey(r.outs[i].Script); ok {
			address = consensus.Address(c.m.cfg.Spec.Defaults.AddressPrefix, key)
		}
		r.addresses = append(r.addresses, address)
	}
	return r, nil
}

// subtractFrom reads which recipients bear the fee: by number, or by address.
func (r *recipients) subtractFrom(list []json.RawMessage) (from []int, err error) {
	seen := make(map[int]bool)
	for _, raw := range list {
		pos := -1
		switch t := rpc.JSONType(raw); t {
		case "string":
			var text string
			_ = json.Unmarshal(raw, &text)
			for i, address := range r.addresses {
				if strings.EqualFold(address, text) && text != "" {
					pos = i
				}
			}
			if pos < 0 {
				return nil, fail(codeParameter, "Invalid parameter 'subtract fee from output', destination %.100s not found in tx outputs", text)
			}
		case "number":
			if json.Unmarshal(raw, &pos) != nil {
				return nil, fail(codeMisc, "JSON integer out of range")
			}
		default:
			return nil, fail(codeParameter, "Invalid parameter 'subtract fee from output', invalid value type: %s", t)
		}
		switch {
		case seen[pos]:
			return nil, fail(codeParameter, "Invalid parameter 'subtract fee from output', duplicated position: %d", pos)
		case pos < 0:
			return nil, fail(codeParameter, "Invalid parameter 'subtract fee from output', negative position: %d", pos)
		case pos >= len(r.outs):
			return nil, fail(codeParameter, "Invalid parameter 'subtract fee from output', position too large: %d", pos)
		}
		seen[pos] = true
		from = append(from, pos)
	}
	return from, nil
}
