package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
	"lode/wallet/musig"
	"lode/wallet/psbt"
	"lode/wallet/psbt/signer"
)

// psbtReview is what a PSBT does, as people are to see it before they sign.
type psbtReview struct {
	inputs, outputs []psbtLine
	fee             consensus.Amount
	feeWhy          string           // why the fee is not known
	amount          consensus.Amount // to others; all of it if nothing goes to others
	vsize           int
	change          bool // something comes back to the wallet
	own             int  // inputs of the wallet
}

type psbtLine struct {
	what   string
	amount string
	about  string
}

// review reads what a PSBT does. The ring knows which keys are the wallet's own;
// nil if nobody does.
func (s *walletSession) review(p *psbt.Packet, ring *signer.Ring) (*psbtReview, error) {
	h, err := p.Hasher()
	if err != nil {
		return nil, err
	}
	if ring == nil {
		ring = new(signer.Ring)
	}
	r := &psbtReview{vsize: p.Analyze(s.net.spec.Rules.MaxMoney).VSize}
	for i := range p.Inputs {
		line := psbtLine{what: p.PrevOut(i).String(), amount: "?"}
		if out, known := h.Spent(i); known {
			line.amount = out.Value.String()
			if ring.Has(out.Script) {
				line.about = "of this wallet"
				r.own++
			}
		}
		r.inputs = append(r.inputs, line)
	}
	var mine, others consensus.Amount
	for _, out := range h.Tx.Out {
		line := psbtLine{what: s.destination(out.Script), amount: out.Value.String()}
		if ring.Has(out.Script) {
			line.about = "back to this wallet"
			if o, ok := ring.Origin(out.Script); ok {
				line.about += ", " + o.PathString()
			}
			r.change, mine = true, mine+out.Value
		} else {
			others += out.Value
		}
		r.outputs = append(r.outputs, line)
	}
	if r.amount = others; others == 0 {
		r.amount = mine
	}
	if r.fee, err = h.Fee(); err != nil {
		r.feeWhy = err.Error()
	}
	return r, nil
}

// destination is an address, or what else an output is.
func (s *walletSession) destination(script []byte) string {
	if key, ok := consensus.TaprootKey(script); ok {
		return consensus.Address(s.net.spec.Defaults.AddressPrefix, key)
	}
	return "script " + hex.EncodeToString(script)
}

func (r *psbtReview) write(out io.Writer) {
	line := func(verb string, l psbtLine) {
		if l.about != "" {
			l.what += "\t" + l.about
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", verb, l.amount, l.what)
	}
	for _, l := range r.inputs {
		line("spends", l)
	}
	for _, l := range r.outputs {
		line("pays", l)
	}
	switch {
	case r.feeWhy != "":
		fmt.Fprintf(out, "fee\tnot known: %s\n", r.feeWhy)
	case r.vsize > 0:
		fmt.Fprintf(out, "fee\t%s\t(%s sat/vB, %d vB)\n", r.fee, wallet.FeeRate(int64(r.fee)*1000/int64(r.vsize)), r.vsize)
	default:
		fmt.Fprintf(out, "fee\t%s\n", r.fee)
	}
}

func psbtSign(c *cli.Context) error {
	o, err := psbtSignOptions(c)
	if err != nil {
		return err
	}
	most, err := wallet.ParseAmount(c.String("max-fee"))
	if err != nil {
		return usageError("lode wallet psbt sign", "--max-fee: %v", err)
	}
	if !c.Bool("yes") && !onTerminal() {
		return fmt.Errorf("a signature wants a yes, and %w: use --yes", errNoTerminal)
	}
	return withPSBT(c, func(s *walletSession, p *psbt.Packet) error {
		passphrase, err := s.passphrase("to sign")
		if err != nil {
			return err
		}
		secret, err := s.files.OpenSecret(s.net.spec, passphrase)
		if err != nil {
			return err
		}
		ring, err := secret.PSBTRing(s.net.spec, p)
		if err != nil {
			return err
		}
		if err := s.askWatchFile(p, ring, secret); err != nil {
			return err
		}
		if err := s.approvePSBT(p, ring, most); err != nil {
			return err
		}
		signed, err := p.Sign(ring, o)
		if err != nil {
			return err
		}
		if several, _ := musig.Status(p); signed == 0 && len(several) > 0 {
			return errors.New("no input was signed: several owners sign this one, with `lode wallet musig sign`")
		}
		if signed == 0 {
			return errors.New("no input was signed: none that wants a signature has a key of this wallet")
		}
		return s.printPSBT(p, signed)
	})
}

func psbtSignOptions(c *cli.Context) (o psbt.SignOptions, err error) {
	if name := c.String("sighash"); name != "" {
		t, ok := psbt.ParseSigHash(name)
		if !ok {
			return o, usageError("lode wallet psbt sign", "--sighash %.40s: want DEFAULT, ALL, NONE or SINGLE, or one of the last three with |ANYONECANPAY", name)
		}
		o.SigHash = &t
	}
	return o, nil
}

// askWatchFile has what the wallet knows beside its keys speak: amounts of coins
// that it has seen, and keys that the PSBT does not name. On a machine that has
// nothing but the wallet file there is none, and that is fine.
func (s *walletSession) askWatchFile(p *psbt.Packet, ring *signer.Ring, secret *wallet.Secret) error {
	if _, err := os.Stat(s.files.Watch); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	w, err := wallet.Open(s.Context.Context, s.files, s.net.spec)
	if err != nil {
		return err
	}
	err = w.UpdatePSBT(p, ring)
	if err == nil {
		err = w.AddPrivate(ring, p, secret)
	}
	return errors.Join(err, w.Close())
}

// approvePSBT shows what is to be signed, refuses fees that nobody can mean, and
// asks.
func (s *walletSession) approvePSBT(p *psbt.Packet, ring *signer.Ring, most consensus.Amount) error {
	r, err := s.review(p, ring)
	if err != nil {
		return err
	}
	if r.feeWhy == "" {
		if err := s.checkPSBTFee(r.fee, r.amount, most); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(s.App.ErrWriter, 0, 0, 2, ' ', 0)
	r.write(table)
	if err := table.Flush(); err != nil {
		return err
	}
	if !r.change && r.own > 0 {
		s.note("nothing comes back to this wallet: if one of the outputs is to be its change, the PSBT does not say so, and it may be anybody's")
	}
	if s.Bool("yes") {
		return nil
	}
	answer, err := ask(s.Context.Context, "Sign this? [y/N] ")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("nothing was signed: the answer was not yes")
	}
	return nil
}
