package main

import (
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
	"lode/wallet/silent"
	"lode/wallet/uri"
)

// everything is the amount that stands for all coins.
const everything = "all"

// maxPayeesFile bounds what is read of a file of payees, in bytes.
const maxPayeesFile = 1 << 20

// terms are what the flags of a payment say beside whom to pay what.
type terms struct {
	wallet.Payment // Rate is 0 if none is given
	feeTerms
	silentPrefix string
	request      uri.Request // if one is paid
}

// paymentTerms reads the flags of a payment.
func paymentTerms(c *cli.Context, spec *consensus.Spec) (t terms, err error) {
	wrong := func(format string, args ...any) (terms, error) {
		return t, usageError("lode wallet send", format, args...)
	}
	t.silentPrefix = spec.Defaults.SilentPrefix
	if c.NArg() > 0 {
		err = t.readURI(c, spec)
	} else {
		err = t.readPayees(c, spec.Defaults.AddressPrefix)
	}
	if err != nil {
		return t, err
	}
	if len(t.Payees) == 0 {
		return wrong("give --to and --amount, or --csv, or a payment request")
	}
	t.SubtractFee = c.Bool("subtract-fee")
	for _, text := range c.StringSlice("data") {
		data, err := hex.DecodeString(text)
		if err != nil {
			return wrong("--data %.80s: want hex", text)
		}
		t.Data = append(t.Data, data)
	}
	for _, text := range c.StringSlice("from") {
		o, err := wallet.ParseOutPoint(text)
		if err != nil {
			return wrong("--from: %v", err)
		}
		t.From = append(t.From, o)
	}
	t.feeTerms, err = readFeeTerms(c)
	t.Payment.Rate = t.feeTerms.rate
	return t, err
}

// feeTerms are what the flags of payFlags say.
type feeTerms struct {
	rate   wallet.FeeRate   // 0 if none is given
	maxFee consensus.Amount // sat
	target int              // blocks, for the node's estimate
}

func readFeeTerms(c *cli.Context) (t feeTerms, err error) {
	wrong := func(format string, args ...any) (feeTerms, error) {
		return t, usageError(c.Command.HelpName, format, args...)
	}
	if t.maxFee, err = wallet.ParseAmount(c.String("max-fee")); err != nil {
		return wrong("--max-fee: %v", err)
	}
	if t.target = c.Int("confirm-in"); t.target < 1 || t.target > 1008 {
		return wrong("--confirm-in %d: want 1 to 1008 blocks", t.target)
	}
	rate := c.String("fee-rate")
	if rate != "" && c.IsSet("confirm-in") {
		return wrong("--fee-rate and --confirm-in exclude each other")
	}
	if rate != "" {
		if t.rate, err = wallet.ParseFeeRate(rate); err != nil {
			return wrong("--fee-rate: %v", err)
		}
	}
	return t, nil
}

// readURI reads a payment request, and --amount if it leaves that open.
func (t *terms) readURI(c *cli.Context, spec *consensus.Spec) error {
	wrong := func(format string, args ...any) error { return usageError("lode wallet send", format, args...) }
	if c.IsSet("to") || c.IsSet("csv") {
		return wrong("a payment request and --to or --csv exclude each other")
	}
	r, err := uri.Parse(spec.Defaults.URIScheme, spec.Defaults.AddressPrefix, c.Args().First())
	if err != nil {
		return wrong("%v", err)
	}
	amount := c.String("amount")
	switch {
	case r.Amount > 0 && amount != "":
		return wrong("the payment request asks for %s: leave --amount out", r.Amount)
	case r.Amount > 0:
		amount = r.Amount.String()
	case amount == "":
		return wrong("the payment request names no amount: give --amount")
	}
	t.request = r
	if err := t.addPayee(spec.Defaults.AddressPrefix, r.Address, amount); err != nil {
		return wrong("--amount: %v", err)
	}
	return nil
}

// readPayees reads --to, --amount and --csv.
func (t *terms) readPayees(c *cli.Context, prefix string) error {
	amount, list := c.String("amount"), c.StringSlice("to")
	if amount != "" && (len(list) != 1 || strings.Contains(list[0], "=") || c.String("csv") != "") {
		return usageError("lode wallet send", "give --to and --amount; or --to ADDRESS=COINS, once or more, without --amount; or --csv")
	}
	for _, text := range list {
		address, coins, found := strings.Cut(text, "=")
		if !found {
			coins = amount
		}
		if coins == "" {
			return usageError("lode wallet send", "give --to and --amount; or --to ADDRESS=COINS, once or more, without --amount; or --csv")
		}
		if err := t.addPayee(prefix, address, coins); err != nil {
			flag := "--to"
			if !found && !errors.Is(err, consensus.ErrAddress) {
				flag = "--amount"
			}
			return usageError("lode wallet send", "%s: %v", flag, err)
		}
	}
	if file := c.String("csv"); file != "" {
		return t.readCSV(file, prefix)
	}
	return nil
}

func (t *terms) addPayee(prefix, address, coins string) (err error) {
	var to wallet.Payee
	if silent.Looks(t.silentPrefix, address) {
		err = t.addSilent(address)
	} else {
		to.To, err = consensus.ParseAddress(prefix, address)
	}
	if err != nil {
		return err
	}
	if coins == everything {
		t.All = true
	} else if to.Amount, err = wallet.ParseAmount(coins); err != nil {
		return err
	} else if to.Amount == 0 {
		return errors.New("want more than nothing")
	}
	t.Payees = append(t.Payees, to)
	return nil
}

// addSilent notes that the next payee is paid silently.
func (t *terms) addSilent(address string) error {
	a, err := silent.ParseAddress(t.silentPrefix, address)
	if err != nil {
		return err
	}
	late, ok := t.Late.(wallet.SilentPayees)
	if !ok {
		late = make(wallet.SilentPayees)
		t.Late = late
	}
	late[len(t.Payees)] = a
	return nil
}

// readCSV reads one payee a line: address, amount.
func (t *terms) readCSV(file, prefix string) error {
	info, err := os.Stat(file)
	if err == nil && info.Size() > maxPayeesFile {
		err = fmt.Errorf("it has more than %d bytes", maxPayeesFile)
	}
	if err != nil {
		return fmt.Errorf("reading the payees: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading the payees: %w", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord, r.TrimLeadingSpace, r.Comment = 2, true, '#'
	lines, err := r.ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w: want ADDRESS,COINS in every line", file, err)
	}
	if len(lines) == 0 {
		return fmt.Errorf("%s: it names no payee", file)
	}
	if len(lines) > wallet.MaxPayees {
		return fmt.Errorf("%s: it names %d payees, and at most %d fit into one transaction: make it several files, and pay one after the other", file, len(lines), wallet.MaxPayees)
	}
	for i, line := range lines {
		err := t.addPayee(prefix, line[0], strings.TrimSpace(line[1]))
		if err == nil && t.All {
			err = errors.New("all is possible with --amount only")
		}
		if err != nil {
			return fmt.Errorf("%s: payee %d: %w", file, i+1, err)
		}
	}
	return nil
}

// payeeLine is a payee as programs read it.
type payeeLine struct {
	Address string           `json:"address"`
	Amount  consensus.Amount `json:"amount"` // sat
}

func (s *walletSession) payeeLines(d *wallet.Draft) []payeeLine {
	list := make([]payeeLine, len(d.Payees))
	for i, to := range d.Payees {
		list[i] = payeeLine{consensus.Address(s.net.spec.Defaults.AddressPrefix, to.To), to.Amount}
		if a, ok := d.SilentTo(i); ok {
			list[i].Address = a.Encode(s.net.spec.Defaults.SilentPrefix)
		}
	}
	return list
}

// paymentSummary is what is asked about: who gets what, the fee, the change.
func (s *walletSession) paymentSummary(drafts []*wallet.Draft) string {
	if len(drafts) == 1 {
		return s.draftSummary(drafts[0])
	}
	var b strings.Builder
	var fees, amount consensus.Amount
	for i, d := range drafts {
		fmt.Fprintf(&b, "Transaction %d: %d coins, %s to %s, and a fee of %s (%d vB)\n", i+1, len(d.Spends), d.Amount, s.payeeLines(d)[0].Address, d.Fee, d.VSize())
		fees, amount = fees+d.Fee, amount+d.Amount
	}
	fmt.Fprintf(&b, "The coins do not fit into one transaction: pay in these %d, %s in all, and fees of %s (%s sat/vB)", len(drafts), amount, fees, drafts[0].Rate())
	return b.String()
}

func (s *walletSession) draftSummary(d *wallet.Draft) string {
	lines := s.payeeLines(d)
	fee := fmt.Sprintf("and a fee of %s (%s sat/vB, %d vB)", d.Fee, d.Rate(), d.VSize())
	if d.Change > 0 && len(lines) > 0 {
		fee += fmt.Sprintf("; %s come back as change", d.Change)
	}
	verb := "Pay"
	switch d.Kind {
	case wallet.DraftCancel:
		return fmt.Sprintf("Take back payment %s: %s return to this wallet, %s", d.Replaces, d.Amount, fee)
	case wallet.DraftChild:
		return fmt.Sprintf("Hasten %s with a payment of %s to this wallet itself, %s", d.Hastens, d.Amount, fee)
	case wallet.DraftBump:
		verb = fmt.Sprintf("Replace payment %s: pay", d.Replaces)
	}
	if len(lines) == 1 {
		return fmt.Sprintf("%s %s to %s, %s", verb, d.Amount, lines[0].Address, fee)
	}
	var b strings.Builder
	for _, to := range lines {
		fmt.Fprintf(&b, "%20s to %s\n", to.Amount, to.Address)
	}
	fmt.Fprintf(&b, "%s these %d, %s in all, %s", verb, len(lines), d.Amount, fee)
	return b.String()
}
