package wallet

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// Payee is one output of a payment.
type Payee struct {
	To     [32]byte         // output key (BIP341)
	Amount consensus.Amount // sat
}

// Payment is what somebody wants to pay.
type Payment struct {
	Payees      []Payee
	Data        [][]byte // one OP_RETURN output without coins for each
	Rate        FeeRate
	SubtractFee bool                 // the payees bear the fee, each the same part
	All         bool                 // all that may be spent goes to the one payee, whose Amount does not count
	From        []consensus.OutPoint // spend these coins, all of them and no others; empty: choose
}

// Draft is a payment before it is signed.
type Draft struct {
	Tx     *consensus.Tx
	Spends []Coin // one for each input
	Payees []Payee
	Amount consensus.Amount // of all payees
	Fee    consensus.Amount
	Change consensus.Amount // 0 if there is no change output

	changeKey KeyID // if there is one
}

const (
	txVersion = 2 // BIP68; what everybody uses, so that wallets look alike

	// sequenceReplaceable allows a replacement with a higher fee (BIP125), and
	// makes the lock time count.
	sequenceReplaceable = 0xfffffffd
)

// Draft makes the transaction of a payment from coins that the wallet may
// spend. Nothing is stored: see Commit.
func (w *Wallet) Draft(p Payment) (*Draft, error) {
	outs, amount, err := w.outputs(p)
	if err != nil {
		return nil, err
	}
	coins, err := w.sources(p.From)
	if err != nil {
		return nil, err
	}
	q := want{amount, p.Rate, p.SubtractFee || p.All, sizesOf(outs)}
	var s selection
	if p.All || len(p.From) > 0 {
		s, err = q.whole(coins, p.All)
	} else {
		s, err = selectCoins(coins, q)
	}
	if err != nil {
		if b := w.Balance(); errors.Is(err, ErrFunds) && b.Immature > 0 {
			err = fmt.Errorf("%w (%s more in coinbases that are too young)", err, b.Immature)
		}
		return nil, err
	}
	d := &Draft{Spends: slices.Clone(s.coins), Payees: slices.Clone(p.Payees), Amount: s.amount, Fee: s.fee, Change: s.change}
	if p.All {
		d.Payees[0].Amount = s.amount
	} else if err := d.subtract(amount - s.amount); err != nil {
		return nil, err
	}
	for i := range d.Payees {
		outs[i].Value = d.Payees[i].Amount
	}
	mathrand.Shuffle(len(d.Spends), func(i, j int) { d.Spends[i], d.Spends[j] = d.Spends[j], d.Spends[i] })
	d.Tx = &consensus.Tx{Version: txVersion, LockTime: w.lockTime(), Out: outs}
	for _, c := range d.Spends {
		d.Tx.In = append(d.Tx.In, consensus.TxIn{PrevOut: c.OutPoint, Sequence: sequenceReplaceable})
	}
	if s.change > 0 {
		if err := w.addChange(d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Bounds of a payment.
const (
	maxPayees = 2_500   // as many as fit into a transaction that nodes relay
	maxData   = 100_000 // bytes of all OP_RETURN outputs
)

// outputs checks what is to be paid, and gives its outputs, payees first.
func (w *Wallet) outputs(p Payment) (outs []consensus.TxOut, amount consensus.Amount, err error) {
	switch {
	case len(p.Payees) == 0:
		return nil, 0, errors.New("a payment without a payee")
	case len(p.Payees) > maxPayees:
		return nil, 0, fmt.Errorf("%d payees: at most %d fit into one transaction", len(p.Payees), maxPayees)
	case p.All && len(p.Payees) > 1:
		return nil, 0, errors.New("all coins can go to one payee only")
	case p.Rate <= 0 || p.Rate > maxFeeRate:
		return nil, 0, fmt.Errorf("fee rate of %s sat/vB: want more than 0 and at most %s", p.Rate, maxFeeRate)
	}
	for _, to := range p.Payees {
		if to.Amount < Dust && !p.All {
			return nil, 0, fmt.Errorf("%w: %s is less than %s, the least that nodes relay", ErrDust, to.Amount, Dust)
		}
		if amount += to.Amount; to.Amount > w.spec.Rules.MaxMoney || amount > w.spec.Rules.MaxMoney {
			return nil, 0, fmt.Errorf("%w: there are no more than %s coins at all", ErrFunds, w.spec.Rules.MaxMoney)
		}
		outs = append(outs, consensus.TxOut{Value: to.Amount, Script: consensus.TaprootScript(to.To)})
	}
	size := 0
	for _, data := range p.Data {
		if size += len(data); size > maxData || len(data) > 0xffff {
			return nil, 0, fmt.Errorf("%d bytes of data: at most %d in one output, and %d in all", size, 0xffff, maxData)
		}
		outs = append(outs, consensus.TxOut{Script: consensus.DataScript(data)})
	}
	return outs, amount, nil
}

// sources gives the coins that may be spent, or those that are named.
func (w *Wallet) sources(from []consensus.OutPoint) (coins []Coin, err error) {
	named := make(map[consensus.OutPoint]bool)
	for _, o := range from {
		named[o] = true
	}
	for _, c := range w.Coins() {
		switch {
		case len(from) == 0 && c.Spendable(), named[c.OutPoint] && c.Spendable():
			coins = append(coins, c)
			delete(named, c.OutPoint)
		case named[c.OutPoint]:
			return nil, fmt.Errorf("coin %s cannot be spent now: it is locked, immature, or paid by others and in no block", c.OutPoint)
		}
	}
	for _, o := range from {
		if named[o] {
			return nil, fmt.Errorf("%s: %w", o, ErrNoCoin)
		}
	}
	return coins, nil
}

// whole spends all coins: to the payee alone, or with change.
func (q want) whole(coins []Coin, all bool) (selection, error) {
	if len(coins) > q.maxInputs() {
		return selection{}, fmt.Errorf("%w (%d)", ErrTooManyCoin, q.maxInputs())
	}
	var sum consensus.Amount
	for _, c := range coins {
		sum += c.Value
	}
	if all {
		q.amount = sum
	}
	s, ok := q.settle(coins)
	switch {
	case !ok || len(coins) == 0:
		return s, fmt.Errorf("%w: want %s and the fee, may spend %s", ErrFunds, q.amount, sum)
	case s.amount < Dust:
		return s, fmt.Errorf("%w: %s remain after the fee of %s, want at least %s", ErrDust, s.amount, s.fee, Dust)
	}
	return s, nil
}

// subtract takes a fee from the payees, from each the same, and what cannot be
// divided from the first.
func (d *Draft) subtract(fee consensus.Amount) error {
	n := consensus.Amount(len(d.Payees))
	for i := range d.Payees {
		part := fee / n
		if i == 0 {
			part += fee % n
		}
		if d.Payees[i].Amount -= part; d.Payees[i].Amount < Dust {
			return fmt.Errorf("%w: of payee %d's amount %s remain after its part of the fee, want at least %s", ErrDust, i+1, d.Payees[i].Amount, Dust)
		}
	}
	return nil
}

// lockTime makes it worthless to mine an old block again for the fees of a new
// transaction; now and then it is older, for those that were signed long before
// they were sent (Bitcoin Core: anti fee sniping).
func (w *Wallet) lockTime() uint32 {
	height := w.points.tip().Height
	if mathrand.IntN(10) == 0 {
		height -= min(height, mathrand.Uint32N(100))
	}
	return height
}

// addChange pays the change to a key that no node has seen, at a random place so
// that nobody can tell which output it is.
func (w *Wallet) addChange(d *Draft) error {
	w.refresh()
	d.changeKey = KeyID{0, KeyPath{ChangeChain, w.branch(ChangeChain).window.fresh()}}
	key, err := w.account.OutputKey(d.changeKey.KeyPath)
	if err != nil {
		return err
	}
	at := mathrand.IntN(len(d.Tx.Out) + 1)
	d.Tx.Out = slices.Insert(d.Tx.Out, at, consensus.TxOut{Value: d.Change, Script: consensus.TaprootScript(key)})
	return nil
}

// Sign gives the signed transaction of a draft, after it has passed the rules
// that a block would apply to it.
func (w *Wallet) Sign(d *Draft, s *Secret) (*consensus.Tx, error) {
	keys, err := newSigner(s.Mnemonic, s.CoinType)
	if err != nil {
		return nil, err
	}
	if keys.public.XPub() != w.account.XPub() {
		return nil, fmt.Errorf("%s does not belong to %s: move the watch file away, and the next command builds it anew", w.files.Watch, w.files.Secret)
	}
	coins := make([]consensus.Coin, len(d.Spends))
	spent := make([]consensus.TxOut, len(d.Spends))
	for i, c := range d.Spends {
		key, err := w.account.OutputKey(c.Key.KeyPath)
		if err != nil {
			return nil, err
		}
		coins[i] = consensus.Coin{Value: c.Value, Key: key, Height: c.Height, Coinbase: c.Coinbase}
		spent[i] = coins[i].Output()
	}
	tx := d.Tx.Clone()
	hasher := consensus.NewSigHasher(tx, spent)
	for i, c := range d.Spends {
		signature, err := keys.sign(c.Key.KeyPath, hasher, i)
		if err != nil {
			return nil, fmt.Errorf("signing input %d: %w", i, err)
		}
		tx.In[i].Witness = [][]byte{signature}
	}
	if err := w.verify(d, tx, coins); err != nil {
		return nil, fmt.Errorf("the transaction that was made is not valid, nothing was sent: %w", err)
	}
	return tx, nil
}

// sign gives the signature of one input over everything (SIGHASH_DEFAULT), with
// fresh randomness in its nonce (BIP340).
func (s *signer) sign(p KeyPath, hasher *consensus.SigHasher, input int) ([]byte, error) {
	private, err := s.outputPrivateKey(p)
	if err != nil {
		return nil, err
	}
	defer private.Zero()
	message, ok := hasher.SigHash(input, consensus.SigHashDefault, nil)
	if !ok {
		return nil, consensus.ErrSigHashType
	}
	var aux [32]byte
	if _, err := rand.Read(aux[:]); err != nil {
		return nil, fmt.Errorf("reading random bytes: %w", err)
	}
	signature, err := schnorr.Sign(private, message[:], schnorr.CustomNonce(aux))
	if err != nil {
		return nil, err
	}
	return signature.Serialize(), nil
}

// verify judges the wallet's own work as a node will.
func (w *Wallet) verify(d *Draft, tx *consensus.Tx, coins []consensus.Coin) error {
	rules, next := &w.spec.Rules, w.points.tip().Height+1
	if err := rules.CheckTx(tx); err != nil {
		return err
	}
	for i := range coins {
		if coins[i].Height == 0 { // pending: at best it is in the same block
			coins[i].Height = next
		}
	}
	fee, err := rules.CheckInputs(tx, coins, next)
	if err != nil {
		return err
	}
	if fee != d.Fee {
		return fmt.Errorf("it pays a fee of %s, want %s", fee, d.Fee)
	}
	for _, check := range consensus.SpendChecks(tx, tx.TxID(), coins) {
		signature, err := check.Signature()
		if err != nil {
			return err
		}
		if !signature.Verify() {
			return check.Invalid()
		}
	}
	return nil
}

// ErrChanged is the kind of the error of a draft that does not fit any more.
var ErrChanged = errors.New("the wallet has changed meanwhile")

// Commit puts the signed transaction of a draft into the journal, before it
// leaves the house: from then on its coins are not spent again, and it is sent
// until it is in a block. What became of it is told by Sent or Refused.
func (w *Wallet) Commit(d *Draft, tx *consensus.Tx) error {
	free := make(map[consensus.OutPoint]bool)
	for _, c := range w.Coins() {
		free[c.OutPoint] = c.Spendable()
	}
	for _, c := range d.Spends {
		if !free[c.OutPoint] {
			return fmt.Errorf("%w: coin %s is not there any more; nothing was paid, try again", ErrChanged, c.OutPoint)
		}
	}
	if b := w.branch(ChangeChain); d.Change > 0 && b.window.use[d.changeKey.Index]&useSeen != 0 {
		return fmt.Errorf("%w: another payment uses the key of its change; nothing was paid, try again", ErrChanged)
	}
	id := tx.TxID()
	if w.journal.byID[id] != nil {
		return fmt.Errorf("%w: it knows payment %s already", ErrChanged, id)
	}
	w.do(event{kind: evTx, n: uint64(w.now().Unix()), flags: flagOwn, raw: tx.Bytes()})
	w.refresh()
	if err := w.widen(); err != nil {
		return err
	}
	w.checkGap()
	return w.Save()
}

// Sent notes that a node has a transaction of the wallet.
func (w *Wallet) Sent(id consensus.Hash) error {
	if r := w.journal.byID[id]; r != nil {
		w.do(event{kind: evSent, ref: id, n: uint64(w.now().Unix())})
	}
	return w.Save()
}

// Refused forgets a transaction that no node has taken: its coins are free, and
// its change key is as good as new. One that was sent before is kept.
func (w *Wallet) Refused(id consensus.Hash) error {
	if r := w.journal.byID[id]; r != nil && r.own && r.sent == 0 && !r.pooled && !r.confirmed() && len(r.was) == 0 {
		w.do(event{kind: evRemove, ref: id})
	}
	return w.Save()
}

// Interrupted lists payments of which it is not known whether a node ever had
// them: a command ended between writing them down and hearing of it.
func (w *Wallet) Interrupted() (list []Entry) {
	for _, e := range w.History() {
		if e.Unsent && e.State == StatePending {
			list = append(list, e)
		}
	}
	return list
}

// VSize is the size of the signed transaction in virtual bytes.
func (d *Draft) VSize() int { return sizesOf(d.Tx.Out).vsize(len(d.Tx.In)) }

// Rate is the fee rate of a draft, rounded down.
func (d *Draft) Rate() FeeRate { return FeeRate(int64(d.Fee) * 1000 / int64(d.VSize())) }
