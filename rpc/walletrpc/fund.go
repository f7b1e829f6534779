package walletrpc

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
	"lode/wallet/psbt"
)

// The members of the options of the calls that fund. A call has names of its own
// for some.
const (
	optAddInputs = iota
	optUnsafe
	optAddToWallet
	optChangeAddress
	optChangePosition
	optChangeType
	optInputs
	optLockUnspents
	optLockTime
	optFeeRate
	optFeeRateCoins
	optPSBT
	optSolving
	optSubtract
	optReplaceable
	optTarget
	optMode
	optMinConf
	optMaxConf
	optWeights
	optMaxWeight
	optWatching
	optCount
)

// The names of options in send; and those that the older calls have instead.
var (
	optNames = []string{
		optAddInputs: "add_inputs", optUnsafe: "include_unsafe", optAddToWallet: "add_to_wallet", optChangeAddress: "change_address",
		optChangePosition: "change_position", optChangeType: "change_type", optInputs: "inputs", optLockUnspents: "lock_unspents", optLockTime: "locktime",
		optFeeRate: "fee_rate", optFeeRateCoins: "feeRate", optPSBT: "psbt", optSolving: "solving_data", optSubtract: "subtract_fee_from_outputs",
		optReplaceable: "replaceable", optTarget: "conf_target", optMode: "estimate_mode", optMinConf: "minconf", optMaxConf: "maxconf",
		optWeights: "input_weights", optMaxWeight: "max_tx_weight", optWatching: "include_watching",
	}
	optOldNames = map[int]string{
		optChangeAddress: "changeAddress", optChangePosition: "changePosition", optLockUnspents: "lockUnspents", optSubtract: "subtractFeeFromOutputs",
		optWatching: "includeWatching",
	}
)

// options are those of a call that funds.
type options struct {
	*rpc.Args
	wish feeWish
}

// readOptions reads the options of send (old is false) or of the older calls.
// more are the names of further ones.
func readOptions(a *rpc.Args, i int, old bool, more ...string) options {
	raw := a.Raw(i)
	if a.Absent(i) || a.Type(i) == "bool" {
		raw = json.RawMessage("{}")
	}
	names := slices.Concat(optNames, more)
	err := rpc.Members(raw, func(name string, _ json.RawMessage) error {
		for n, text := range optOldNames {
			switch {
			case name != text:
			case old:
				names[n] = text
			default:
				return fail(codeParameter, "Use %s instead of %s", optNames[n], text)
			}
		}
		if name == "feeRate" && !old {
			return fail(codeParameter, "Use fee_rate (sat/vB) instead of feeRate")
		}
		return nil
	})
	o := options{Args: rpc.ObjectArgs(raw, names...)}
	if err != nil {
		o.Fail(err)
	}
	return o
}

// readWish reads what the options say of the fee.
func (o *options) readWish(override bool) {
	if !o.Absent(optFeeRateCoins) {
		switch {
		case !o.Absent(optFeeRate):
			o.Fail(fail(codeParameter, "Cannot specify both fee_rate (sat/vB) and feeRate (BTC/kvB)"))
		case !o.Absent(optTarget):
			o.Fail(fail(codeParameter, "Cannot specify both conf_target and feeRate. Please provide either a confirmation target in blocks for automatic fee estimation, or an explicit fee rate."))
		case !o.Absent(optMode):
			o.Fail(fail(codeParameter, "Cannot specify both estimate_mode and feeRate"))
		}
		o.wish = feeWish{rate: wallet.FeeRate(o.Amount(optFeeRateCoins, 0, math.MaxInt64)), explicit: true, override: true}
		return
	}
	o.wish = readFee(o.Args, optTarget, optMode, optFeeRate)
	o.wish.override = override
}

// mergeFee takes the arguments of send and sendall that may be options as well.
func (o *options) mergeFee(a *rpc.Args, target, mode, rate int) {
	if !o.Absent(optTarget) || !o.Absent(optMode) {
		if !a.Absent(target) || !a.Absent(mode) {
			o.Fail(fail(codeParameter, "Pass conf_target and estimate_mode either as arguments or in the options object, but not both"))
		}
	} else {
		o.Set(optTarget, a.Raw(target))
		o.Set(optMode, a.Raw(mode))
	}
	if !o.Absent(optFeeRate) && !a.Absent(rate) {
		o.Fail(fail(codeParameter, "Pass the fee_rate either as an argument, or in the options object, but not both"))
	} else if !a.Absent(rate) {
		o.Set(optFeeRate, a.Raw(rate))
	}
	if !o.Absent(optTarget) && (o.Absent(optMode) || string(o.Raw(optMode)) == `"unset"`) {
		o.Fail(fail(codeParameter, "Specify estimate_mode"))
	}
	o.readWish(false)
}

// funding is a transaction that is to get inputs and change.
type funding struct {
	recipients
	from      []int // who bears the fee
	inputs    []consensus.TxIn
	addInputs bool
	version   uint32
	lockTime  *uint32
	sends     bool                        // the transaction is sent if all goes well
	locks     map[consensus.OutPoint]bool // of inputs that were unlocked; true for those that are written down
}

// readInputs reads what is to be spent in any case.
func (f *funding) readInputs(list []json.RawMessage, replaceable bool) error {
	sequence := uint32(mostReplaceable)
	if !replaceable {
		if sequence = math.MaxUint32; f.lockTime != nil && *f.lockTime > 0 {
			sequence--
		}
	}
	if len(list) > maxBatchInputs {
		return fail(codeParameter, "at most %d inputs can be named", maxBatchInputs)
	}
	for _, raw := range list {
		in, err := rpc.DraftInput(raw, sequence)
		if err != nil {
			return err
		}
		f.inputs = append(f.inputs, in)
	}
	return nil
}

// fund chooses inputs and adds change. The transaction is not signed.
func (c *call) fund(f *funding, o *options) (d *wallet.Draft, err error) {
	defer func() {
		if err != nil || !f.sends {
			c.relock(f)
		}
	}()
	var changeTo *[32]byte
	changeAt := -1
	if !o.Absent(optChangeAddress) {
		key, err := c.parseAddress(o.Text(optChangeAddress, ""))
		if err != nil {
			return nil, fail(codeAddress, "Change address must be a valid bitcoin address (%v)", err)
		}
		changeTo = &key
	}
	if !o.Absent(optChangePosition) {
		n := integer32(o.Args, optChangePosition, 0)
		if n < 0 || n > int64(len(f.outs)) {
			o.Fail(fail(codeParameter, "changePosition out of bounds"))
		}
		changeAt = int(n)
	}
	if !o.Absent(optChangeType) {
		if changeTo != nil {
			o.Fail(fail(codeParameter, "Cannot specify both change address and address type options"))
		}
		checkAddressType(o.Args, optChangeType)
	}
	unsafe, lock, add := o.Flag(optUnsafe, false), o.Flag(optLockUnspents, false), o.Flag(optAddInputs, f.addInputs)
	least, most := integer32(o.Args, optMinConf, 0), integer32(o.Args, optMaxConf, 9999999)
	maxWeight := integer32(o.Args, optMaxWeight, consensus.WitnessScale*100_000)
	switch {
	case o.Err() != nil:
		return nil, o.Err()
	case len(f.outs) == 0:
		return nil, fail(codeParameter, "TX must have at least one output")
	case least < 0:
		return nil, fail(codeParameter, "Negative minconf")
	case most < least:
		return nil, fail(codeParameter, "maxconf can't be lower than minconf: %d < %d", most, least)
	case unsafe:
		return nil, fail(codeWallet, "include_unsafe is not supported: what others may take back is not spent")
	}
	if err := c.poolKnown(); err != nil {
		return nil, err
	}
	rate, _, err := c.feeRate(o.wish)
	if err != nil {
		return nil, orderError(err, codeWallet)
	}
	p, payees, err := f.payment(rate, f.from)
	if err != nil {
		return nil, err
	}
	if err := c.presetInputs(f, &p); err != nil {
		return nil, err
	}
	p.AddCoins, p.MinConf = add && len(p.From) > 0, uint32(least)
	if len(p.From) == 0 && !add {
		return nil, fail(codeWallet, "The preselected coins total amount does not cover the transaction target. Please allow other inputs to be automatically selected or include more coins manually")
	}
	if d, err = c.w.Draft(p); err != nil {
		return nil, orderError(err, codeWallet)
	}
	d.Arrange(f.outs, payees, changeAt, changeTo)
	c.finishInputs(f, d, o.Flag(optReplaceable, true))
	switch {
	case int64(d.VSize())*consensus.WitnessScale > maxWeight:
		return nil, fail(codeWallet, "The inputs size exceeds the maximum weight. Please try sending a smaller amount or manually consolidating your wallet's UTXOs")
	case d.Fee > defaultMaxFee:
		return nil, errMaxFee
	}
	if lock && !f.sends { // what is sent is spent
		for _, coin := range d.Spends {
			c.w.Hold(coin.OutPoint)
		}
	}
	return d, o.Err()
}

// relock locks again what presetInputs has unlocked, if it is not spent.
func (c *call) relock(f *funding) {
	for o, kept := range f.locks {
		if !kept || c.w.Lock(o) != nil {
			c.w.Hold(o)
		}
	}
	f.locks = nil
}

// presetInputs has the coins spent that are named. One that is locked is unlocked
// by that until relock.
func (c *call) presetInputs(f *funding, p *wallet.Payment) error {
	all := make(map[consensus.OutPoint]wallet.Coin)
	for _, coin := range c.w.Coins() {
		all[coin.OutPoint] = coin
	}
	for _, in := range f.inputs {
		coin, ok := all[in.PrevOut]
		switch {
		case slices.Contains(p.From, in.PrevOut):
			return fail(codeParameter, "Invalid parameter, duplicated input: %s", in.PrevOut)
		case ok:
			if coin.Locked {
				if f.locks == nil {
					f.locks = make(map[consensus.OutPoint]bool)
				}
				f.locks[in.PrevOut] = slices.Contains(c.w.Locked(), in.PrevOut.String())
				c.w.Unlock(in.PrevOut)
			}
			p.From = append(p.From, in.PrevOut)
			continue
		}
		if v, mine := c.w.Transaction(in.PrevOut.TxID); mine && in.PrevOut.Index < uint32(len(v.Outputs)) && v.Outputs[in.PrevOut.Index].Mine {
			return fail(codeWallet, "Unable to find UTXO for external input (%s is spent)", in.PrevOut)
		}
		if _, known, err := c.m.cfg.Chain.Coin(in.PrevOut); err != nil {
			return err
		} else if !known {
			return fail(codeWallet, "Unable to find UTXO for external input")
		}
		return fail(codeWallet, "Not solvable pre-selected input %s: it is not of this wallet", in.PrevOut)
	}
	return nil
}

// finishInputs puts the inputs that were named first, in their order, and sets the
// sequences, lock time and version that are wanted.
func (c *call) finishInputs(f *funding, d *wallet.Draft, replaceable bool) {
	setReplaceable(d.Tx, replaceable)
	for at, in := range f.inputs {
		i := slices.IndexFunc(d.Tx.In, func(x consensus.TxIn) bool { return x.PrevOut == in.PrevOut })
		if i < at {
			continue
		}
		d.Tx.In[at], d.Tx.In[i] = d.Tx.In[i], d.Tx.In[at]
		d.Spends[at], d.Spends[i] = d.Spends[i], d.Spends[at]
		d.Tx.In[at].Sequence = in.Sequence
	}
	if f.lockTime != nil {
		d.Tx.LockTime = *f.lockTime
	}
	if f.version != 0 {
		d.Tx.Version = f.version
	}
}

// readLockTime reads a lock time; nil if none is wanted.
func readLockTime(a *rpc.Args, i int) *uint32 {
	if a.Absent(i) {
		return nil
	}
	n := a.Integer(i, 0, math.MinInt64, math.MaxInt64)
	if n < 0 || n > math.MaxUint32 {
		a.Fail(fail(codeParameter, "Invalid parameter, locktime out of range"))
	}
	return new(uint32(n))
}

// readVersion reads the version of a transaction.
func readVersion(a *rpc.Args, i int) uint32 {
	const oldest, newest = 1, 3
	n := a.Integer(i, 2, 0, math.MaxUint32)
	if n < oldest || n > newest {
		a.Fail(fail(codeParameter, "Invalid parameter, version out of range(%d~%d)", oldest, newest))
	}
	return uint32(n)
}

// finish answers send and sendall: it signs as far as it can, and sends what is
// complete, unless another thing is wanted.
func (c *call) finish(d *wallet.Draft, wantPSBT, addToWallet bool) (any, error) {
	type answer struct {
		PSBT     string          `json:"psbt,omitempty"`
		TxID     *consensus.Hash `json:"txid,omitempty"`
		Hex      string          `json:"hex,omitempty"`
		Complete bool            `json:"complete"`
	}
	var j answer
	if c.w.WatchOnly() || wantPSBT || !addToWallet {
		p, err := c.packetOf(d)
		if err != nil {
			return nil, err
		}
		j.PSBT = p.String()
	}
	if c.w.WatchOnly() {
		return j, nil
	}
	tx, err := c.signDraft(d, codeWallet)
	if err != nil {
		return nil, err
	}
	id := tx.TxID()
	j.TxID, j.Complete = &id, true
	if wantPSBT || !addToWallet {
		j.Hex = hexOf(tx)
		p, err := signedPacket(j.PSBT, tx)
		if err != nil {
			return nil, err
		}
		j.PSBT = p
		return j, nil
	}
	return j, c.pay(d, tx, codeWallet)
}

// signedPacket puts the signatures of a transaction into its PSBT.
func signedPacket(text string, tx *consensus.Tx) (string, error) {
	p, err := psbt.Decode(text)
	if err != nil {
		return "", err
	}
	for i := range p.Inputs {
		p.Inputs[i].SetTapKeySig(tx.In[i].Witness[0])
	}
	if err := p.Finalize(); err != nil {
		return "", err
	}
	return p.String(), nil
}

// packetOf is a PSBT of a draft.
func (c *call) packetOf(d *wallet.Draft) (*psbt.Packet, error) {
	if d.IsSilent() {
		return nil, fail(codeWallet, "%v", wallet.ErrSilentPSBT)
	}
	if d.Fee > defaultMaxFee { // whoever signs it need not look
		return nil, errMaxFee
	}
	return c.packet(d.Tx, true)
}

// packet is a PSBT of a transaction without signatures, with what the wallet knows.
func (c *call) packet(tx *consensus.Tx, origins bool) (*psbt.Packet, error) {
	p, err := psbt.New(0, tx)
	if err == nil {
		err = c.w.FillPSBT(p, origins)
	}
	return p, err
}

func send(c *call) (any, error) {
	o := readOptions(c.a, 4, false)
	o.mergeFee(c.a, 1, 2, 3)
	f := funding{version: readVersion(c.a, 5), lockTime: readLockTime(o.Args, optLockTime)}
	if err := firstError(c.a, o.Args); err != nil {
		return nil, err
	}
	var err error
	if f.recipients, err = c.parseOutputs(c.a.Raw(0)); err != nil {
		return nil, err
	}
	if err := c.fundingOptions(&f, &o, optInputs); err != nil {
		return nil, err
	}
	wantPSBT, add := o.Flag(optPSBT, false), o.Flag(optAddToWallet, true)
	if !c.w.WatchOnly() && c.o.isLocked() {
		return nil, errLocked
	}
	f.sends = !wantPSBT && add && !c.w.WatchOnly()
	d, err := c.fund(&f, &o)
	if err != nil {
		return nil, err
	}
	answer, err := c.finish(d, wantPSBT, add)
	if err != nil {
		c.relock(&f)
	}
	return answer, err
}

// fundingOptions reads who bears the fee and what is spent in any case.
func (c *call) fundingOptions(f *funding, o *options, inputs int) (err error) {
	if !o.Absent(optSubtract) {
		if f.from, err = f.subtractFrom(o.List(optSubtract)); err != nil {
			return err
		}
	}
	if inputs >= 0 && !o.Absent(inputs) {
		if err := f.readInputs(o.List(inputs), o.Flag(optReplaceable, true)); err != nil {
			return err
		}
	}
	f.addInputs = len(f.inputs) == 0
	return o.Err()
}

// firstError is the first error of several arguments.
func firstError(all ...*rpc.Args) error {
	for _, a := range all {
		if err := a.Err(); err != nil {
			return err
		}
	}
	return nil
}

type fundedJSON struct {
	Hex       string `json:"hex,omitempty"`
	PSBT      string `json:"psbt,omitempty"`
	Fee       coins  `json:"fee"`
	ChangePos int    `json:"changepos"`
}

func walletCreateFundedPSBT(c *call) (any, error) {
	o := readOptions(c.a, 3, true)
	o.readWish(true)
	f := funding{version: readVersion(c.a, 5), lockTime: readLockTime(c.a, 2)}
	if f.lockTime == nil {
		f.lockTime = new(uint32)
	}
	origins := c.a.Flag(4, true)
	if err := firstError(c.a, o.Args); err != nil {
		return nil, err
	}
	var err error
	if f.recipients, err = c.parseOutputs(c.a.Raw(1)); err != nil {
		return nil, err
	}
	if !c.a.Absent(0) {
		o.Set(optInputs, c.a.Raw(0))
	}
	if err := c.fundingOptions(&f, &o, optInputs); err != nil {
		return nil, err
	}
	d, err := c.fund(&f, &o)
	if err != nil {
		return nil, err
	}
	p, err := c.packet(d.Tx, origins)
	if err != nil {
		return nil, err
	}
	return fundedJSON{PSBT: p.String(), Fee: coins(d.Fee), ChangePos: d.ChangeAt()}, nil
}

func fundRawTransaction(c *call) (any, error) {
	tx := decodeUnsigned(c.a, 0, 2)
	o := readOptions(c.a, 1, true)
	o.readWish(true)
	if err := firstError(c.a, o.Args); err != nil {
		return nil, err
	}
	f := funding{version: tx.Version, lockTime: &tx.LockTime, inputs: tx.In, addInputs: true}
	f.outs = tx.Out
	f.addresses = make([]string, len(tx.Out))
	if !o.Absent(optSubtract) {
		from, err := f.subtractFrom(o.List(optSubtract))
		if err != nil {
			return nil, err
		}
		f.from = from
	}
	d, err := c.fund(&f, &o)
	if err != nil {
		return nil, err
	}
	return fundedJSON{Hex: hexOf(d.Tx), Fee: coins(d.Fee), ChangePos: d.ChangeAt()}, nil
}

// decodeUnsigned reads a transaction that may have no inputs yet, and then looks
// like one with a witness. Argument how says which it is.
func decodeUnsigned(a *rpc.Args, i, how int) *consensus.Tx {
	raw, err := hex.DecodeString(a.Text(i, ""))
	witness := a.Flag(how, true)
	if err == nil && witness {
		if tx, err := consensus.DecodeTx(raw); err == nil && len(tx.In) > 0 {
			return tx
		}
	}
	if err == nil && (!witness || a.Absent(how)) {
		if tx, err := consensus.DecodeStripped(raw); err == nil {
			return tx
		}
	}
	a.Fail(fail(codeDecode, "TX decode failed"))
	return new(consensus.Tx)
}
