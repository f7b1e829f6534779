package musig

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/psbt"
)

var regtest = func() *consensus.Spec {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		panic(err)
	}
	return spec
}()

// owner is a wallet with one account key.
type owner struct {
	t           testing.TB
	fingerprint [4]byte
	path        []uint32
	account     *hdkeychain.ExtendedKey
	signer      Signer
}

func newOwner(t testing.TB, seed string) *owner {
	t.Helper()
	net := descriptor.NetworkOf(regtest)
	sum := sha256.Sum256([]byte(seed))
	key, err := hdkeychain.NewMaster(sum[:], &chaincfg.Params{HDPrivateKeyID: net.Private, HDPublicKeyID: net.Public})
	if err != nil {
		t.Fatal(err)
	}
	master, err := key.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{t: t, fingerprint: [4]byte(address.Hash160(master.SerializeCompressed())[:4])}
	for _, step := range []uint32{87, 1, 0} {
		if key, err = key.Derive(psbt.Hardened | step); err != nil {
			t.Fatal(err)
		}
		o.path = append(o.path, psbt.Hardened|step)
	}
	o.account = key
	o.signer = Signer{Owner: o, Store: NewStore(DirOf(t.TempDir()))}
	return o
}

// xpub is the key with its origin, as a descriptor has it.
func (o *owner) xpub() string {
	public, err := o.account.Neuter()
	if err != nil {
		o.t.Fatal(err)
	}
	origin := psbt.KeyOrigin{Path: o.path}
	return fmt.Sprintf("[%x%s]%s", o.fingerprint, strings.TrimPrefix(origin.PathString(), "m"), public)
}

// Private follows what the PSBT says of the key's origin.
func (o *owner) Private(p PubKey, origins []psbt.KeyOrigin) (*btcec.PrivateKey, bool, error) {
	for _, from := range origins {
		if from.Fingerprint != o.fingerprint || len(from.Path) < len(o.path) {
			continue
		}
		key := o.account
		var err error
		for _, step := range from.Path[len(o.path):] {
			if key, err = key.Derive(step); err != nil {
				return nil, false, err
			}
		}
		private, err := key.ECPrivKey()
		if err != nil {
			return nil, false, err
		}
		if pubKeyOf(private.PubKey()) == p {
			return private, true, nil
		}
	}
	return nil, false, nil
}

// club is several owners of one account.
type club struct {
	t      testing.TB
	owners []*owner
	desc   []*descriptor.Descriptor // of receive and change keys
}

// newClub makes an account whose keys are derived below the aggregate, or with a
// path for every participant.
func newClub(t testing.TB, n int, below bool, name string) *club {
	t.Helper()
	c := &club{t: t}
	var keys []string
	for i := range n {
		o := newOwner(t, fmt.Sprint(name, i))
		c.owners = append(c.owners, o)
		keys = append(keys, o.xpub())
	}
	text := "tr(musig(" + strings.Join(keys, ",") + ")/<0;1>/*)"
	if !below {
		text = "tr(musig(" + strings.Join(keys, "/<0;1>/*,") + "/<0;1>/*))"
	}
	d, err := descriptor.Parse(text, descriptor.NetworkOf(regtest))
	if err != nil {
		t.Fatal(err)
	}
	c.desc = d.Expand()
	return c
}

// pay makes a PSBT that spends coins of the account and pays a part back.
func (c *club) pay(version uint32, r *rand.Rand, inputs int) (*psbt.Packet, []consensus.Coin) {
	c.t.Helper()
	tx := &consensus.Tx{Version: 2}
	var coins []consensus.Coin
	type at struct {
		branch int
		index  uint32
	}
	var from []at
	sum := consensus.Amount(0)
	for range inputs {
		a := at{r.IntN(2), r.Uint32N(50)}
		key, err := c.desc[a.branch].OutputKey(a.index)
		if err != nil {
			c.t.Fatal(err)
		}
		coin := consensus.Coin{Value: consensus.Amount(10_000 + r.IntN(1e9)), Key: key, Height: 1}
		from, coins, sum = append(from, a), append(coins, coin), sum+coin.Value
		var id consensus.Hash
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		tx.In = append(tx.In, consensus.TxIn{PrevOut: consensus.OutPoint{TxID: id, Index: r.Uint32N(4)}, Sequence: 0xfffffffd})
	}
	change, err := c.desc[1].OutputKey(60)
	if err != nil {
		c.t.Fatal(err)
	}
	var stranger [32]byte
	stranger[31] = 1
	tx.Out = []consensus.TxOut{
		{Value: sum / 2, Script: consensus.TaprootScript(stranger)},
		{Value: sum/2 - 1000, Script: consensus.TaprootScript(change)}}
	p, err := psbt.New(version, tx)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, a := range from {
		p.Inputs[i].SetWitnessUTXO(coins[i].Output())
		if ok, err := Describe(&p.Inputs[i], c.desc[a.branch], a.index); !ok || err != nil {
			c.t.Fatal(ok, err)
		}
	}
	if ok, err := Describe(&p.Outputs[1], c.desc[1], 60); !ok || err != nil {
		c.t.Fatal(ok, err)
	}
	return p, coins
}

// again is a PSBT after it went through a file.
func again(t testing.TB, p *psbt.Packet) *psbt.Packet {
	t.Helper()
	q, err := psbt.Decode(p.String())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (o *owner) step(p *psbt.Packet) []Report {
	o.t.Helper()
	r, err := o.signer.Step(p)
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// mustSpend finalizes p and lets the rules judge it.
func mustSpend(t testing.TB, p *psbt.Packet, coins []consensus.Coin) {
	t.Helper()
	if err := Finalize(p); err != nil {
		t.Fatal(err)
	}
	tx, err := p.Extract(nil)
	if err == nil {
		err = regtest.Rules.CheckTx(tx)
	}
	if err == nil {
		_, err = regtest.Rules.CheckInputs(tx, coins, 1000)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range consensus.SpendChecks(tx, tx.TxID(), coins) {
		signature, err := check.Signature()
		if err != nil || !signature.Verify() {
			t.Fatal("the rules do not take the signature", err)
		}
	}
}

// TestAnyClubSpends: cosigners, inputs, versions and orders at random; in parallel
// by combining, or one after the other by handing on.
func TestAnyClubSpends(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() { // the race detector makes arithmetic slow
		seeds = 3
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 2 + r.IntN(4)
		c := newClub(t, n, seed%3 != 2, fmt.Sprint("club", seed))
		p, coins := c.pay(uint32(seed%2*2), r, 1+r.IntN(3))
		if seed%4 == 3 {
			p.Inputs[0].SetSigHash(consensus.SigHashAll)
		}
		order := r.Perm(n)
		if seed%3 == 0 { // handed on
			for range 2 {
				for _, i := range order {
					p = again(t, p)
					c.owners[i].step(p)
				}
			}
		} else {
			for range 2 {
				parts := make([]*psbt.Packet, n)
				for i := range parts {
					parts[i] = again(t, p)
					c.owners[i].step(parts[i])
				}
				r.Shuffle(n, func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
				var err error
				if p, err = psbt.Combine(parts...); err != nil {
					t.Fatal(err)
				}
			}
		}
		reports, err := Finish(p)
		if err != nil {
			t.Fatal(seed, err)
		}
		for _, rep := range reports {
			if rep.State != Complete || len(rep.Participants) != n {
				t.Errorf("seed %d: %+v", seed, rep)
			}
		}
		if change, err := Change(p); err != nil || change[0] || change[1] != (seed%3 != 2) {
			t.Errorf("seed %d: change %v, %v", seed, change, err)
		}
		mustSpend(t, p, coins)
		for i, o := range c.owners {
			if names, err := o.signer.Store.sessions(); err != nil || len(names) > 0 {
				t.Errorf("seed %d: owner %d has nonces left: %v, %v", seed, i, names, err)
			}
		}
	}
}

// TestLastCosignerNeedsOneRound: A, B, A is enough for two.
func TestLastCosignerNeedsOneRound(t *testing.T) {
	c := newClub(t, 2, true, "two")
	p, coins := c.pay(2, rand.New(rand.NewPCG(1, 1)), 2)
	a, b := c.owners[0], c.owners[1]
	if will, err := a.signer.WillSign(p); will || err != nil {
		t.Error("the first nonce is no agreement yet", err)
	}
	if r := a.step(p); r[0].State != NeedsNonces || r[0].Nonces != 1 || r[1].Nonces != 1 || len(r[0].Missing) != 1 {
		t.Errorf("%+v", r)
	}
	if r := a.step(p); r[0].Nonces != 0 || r[0].Partials != 0 {
		t.Errorf("waiting: %+v", r)
	}
	if will, err := b.signer.WillSign(p); !will || err != nil {
		t.Error("the last one signs", err)
	}
	if r := b.step(p); r[0].Nonces != 1 || r[0].Partials != 1 || r[0].State != NeedsPartials {
		t.Errorf("%+v", r)
	}
	if names, _ := b.signer.Store.sessions(); len(names) > 0 {
		t.Error("the last one's nonce came on the disk")
	}
	if r := a.step(p); r[0].State != Complete || !r[0].Finished || !r[1].Finished {
		t.Errorf("%+v", r)
	}
	mustSpend(t, p, coins)
}

// round1 gives a PSBT with the nonces of two owners, both on their disks.
func round1(t *testing.T, name string) (*club, *psbt.Packet, []consensus.Coin) {
	c := newClub(t, 2, true, name)
	p, coins := c.pay(0, rand.New(rand.NewPCG(1, 1)), 1)
	parts := []*psbt.Packet{p.Clone(), p.Clone()}
	for i, o := range c.owners {
		o.step(parts[i])
	}
	both, err := psbt.Combine(parts...)
	if err != nil {
		t.Fatal(err)
	}
	return c, both, coins
}

func TestPSBTNonceUsedBefore(t *testing.T) {
	c, p, coins := round1(t, "used")
	before := again(t, p)
	c.owners[0].step(p)
	text := before.String()
	if _, err := c.owners[0].signer.Step(before); !errors.Is(err, ErrNonceGone) {
		t.Errorf("the PSBT of before the signature: got %v", err)
	}
	if before.String() != text {
		t.Error("a refusal changed the PSBT")
	}
	restart := c.owners[0].signer
	restart.Restart = true
	if _, err := restart.Step(before); err != nil {
		t.Fatal(err)
	}
	if len(before.Inputs[0].MuSigNonces()) != 1 {
		t.Error("nonces of the old session are left")
	}
	c.owners[1].step(before) // whose old nonce is unused, and is not used
	c.owners[0].step(before)
	mustSpend(t, before, coins)
	if _, err := c.owners[1].signer.Step(p); !errors.Is(err, ErrNonceGone) {
		t.Errorf("the session that was given up: got %v", err)
	}
}

func TestPSBTChangedBetweenTheRounds(t *testing.T) {
	c, p, _ := round1(t, "changed")
	tx, err := p.Tx()
	if err != nil {
		t.Fatal(err)
	}
	tx.Out[0].Value -= 5000
	changed, err := psbt.New(0, tx)
	if err != nil {
		t.Fatal(err)
	}
	changed.Inputs, changed.Outputs = p.Inputs, p.Outputs
	if _, err := c.owners[0].signer.Step(changed); !errors.Is(err, ErrOtherSession) {
		t.Errorf("got %v", err)
	}
}

func TestPSBTMissingCosigner(t *testing.T) {
	c, p, _ := round1(t, "missing")
	r := c.owners[0].step(p)
	if r[0].State != NeedsPartials || len(r[0].Missing) != 1 || r[0].Missing[0].Key == r[0].Own[0] || r[0].Missing[0].Origin != fmt.Sprintf("[%x/87h/1h/0h]", c.owners[1].fingerprint) {
		t.Errorf("%+v", r)
	}
	if r, err := Finish(p); err != nil || r[0].Finished {
		t.Errorf("%+v, %v", r, err)
	}
	if err := p.Finalize(); !errors.Is(err, psbt.ErrIncomplete) {
		t.Errorf("got %v", err)
	}
}

func TestPSBTWrongPartialSignature(t *testing.T) {
	c, p, _ := round1(t, "wrong")
	c.owners[0].step(p)
	sig := p.Inputs[0].MuSigPartialSigs()[0]
	sig.Sig[31] ^= 1
	p.Inputs[0].SetMuSigPartialSig(sig)
	_, err := c.owners[1].signer.Step(p)
	if !errors.Is(err, ErrPartial) || !strings.Contains(err.Error(), PubKey(sig.Participant).String()) {
		t.Errorf("got %v, want a refusal that names the signer", err)
	}
	if names, _ := c.owners[1].signer.Store.sessions(); len(names) != 1 {
		t.Error("the nonce of the other was used up for nothing")
	}
	if _, err := Finish(p); !errors.Is(err, ErrPartial) {
		t.Errorf("got %v", err)
	}
}

func TestPSBTBadNonce(t *testing.T) {
	c, p, _ := round1(t, "bad nonce")
	n := p.Inputs[0].MuSigNonces()[1]
	n.Nonce[0] = 4
	p.Inputs[0].SetMuSigNonce(n)
	for _, o := range c.owners {
		if _, err := o.signer.Step(p); !errors.Is(err, ErrNonce) && !errors.Is(err, ErrOtherSession) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPSBTWrongAggregate(t *testing.T) {
	c, p, _ := round1(t, "wrong aggregate")
	g := p.Inputs[0].MuSigGroups()[0]
	g.Participants[0], g.Participants[1] = g.Participants[1], g.Participants[0]
	p.Inputs[0].SetMuSigGroup(g)
	if _, err := c.owners[0].signer.Step(p); !errors.Is(err, ErrKeys) {
		t.Errorf("got %v", err)
	}
}

func TestPSBTOfOthers(t *testing.T) {
	_, p, _ := round1(t, "ours")
	if _, err := newOwner(t, "stranger").signer.Step(p); !errors.Is(err, ErrNotOurs) {
		t.Errorf("got %v", err)
	}
	for i := range p.Inputs {
		p.Inputs[i].Delete(psbt.InMuSigParticipants)
	}
	if _, err := newOwner(t, "stranger").signer.Step(p); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v", err)
	}
}

func TestPSBTOtherSigHash(t *testing.T) {
	c, p, _ := round1(t, "sighash")
	p.Inputs[0].SetSigHash(consensus.SigHashNone)
	if _, err := c.owners[0].signer.Step(p); !errors.Is(err, ErrSigHash) {
		t.Errorf("got %v", err)
	}
}

func TestPSBTSilentPayment(t *testing.T) {
	c := newClub(t, 2, true, "silent")
	p, _ := c.pay(2, rand.New(rand.NewPCG(1, 1)), 1)
	p.Outputs[0].Set(psbt.OutSilentInfo, nil, make([]byte, 66))
	if _, err := c.owners[0].signer.Step(p); !errors.Is(err, ErrSilent) {
		t.Errorf("got %v", err)
	}
}

// TestForeignChangeIsNotShownAsOwn: an output that names the owners, but does not
// pay their key.
func TestForeignChangeIsNotShownAsOwn(t *testing.T) {
	c := newClub(t, 2, true, "change")
	p, _ := c.pay(2, rand.New(rand.NewPCG(1, 1)), 1)
	if _, err := Describe(&p.Outputs[0], c.desc[1], 60); err != nil {
		t.Fatal(err)
	}
	if change, err := Change(p); err != nil || change[0] || !change[1] {
		t.Errorf("%v, %v", change, err)
	}
}

// vectorsOfBIP373 are the valid ones by their names.
func vectorsOfBIP373(t testing.TB) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../psbt/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		BIP        int
		Kind, Case string
		PSBT       string
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, v := range list {
		if v.BIP == 373 && v.Kind == "valid" {
			found[v.Case] = v.PSBT
		}
	}
	return found
}

// TestSignaturesInVectorsOfBIP373 verifies and combines the partial signatures of
// those vectors that are about the key path.
func TestSignaturesInVectorsOfBIP373(t *testing.T) {
	states := make(map[State]int)
	for name, text := range vectorsOfBIP373(t) {
		p, err := psbt.Decode(text)
		if err != nil {
			t.Fatal(name, err)
		}
		before, err := Status(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range before {
			states[r.State]++
		}
		reports, err := Finish(p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range reports {
			if !r.Finished {
				continue
			}
			if err := p.Finalize(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if states[NeedsNonces] != 3 || states[NeedsPartials] != 3 || states[Complete] != 3 {
		t.Errorf("%v: want three of each state", states)
	}
}

func TestAccountKeys(t *testing.T) {
	net := descriptor.NetworkOf(regtest)
	a, b := newOwner(t, "a"), newOwner(t, "b")
	one, err := Account([]string{a.xpub(), b.xpub()}, net)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Account([]string{b.xpub(), a.xpub()}, net)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := one.Expand()[0].Address(3)
	y, _ := two.Expand()[0].Address(3)
	if x != y || !strings.HasPrefix(x, "bcrt1p") {
		t.Errorf("%s and %s: want one address whatever the order", x, y)
	}
	private := strings.Replace(a.xpub(), a.xpub()[strings.Index(a.xpub(), "]")+1:], a.account.String(), 1)
	many := make([]string, MaxParticipants+1)
	for i := range many {
		many[i] = newOwner(t, fmt.Sprint("many", i)).xpub()
	}
	for name, keys := range map[string][]string{
		"one key":     {a.xpub()},
		"too many":    many,
		"twice":       {a.xpub(), b.xpub(), a.xpub()},
		"no origin":   {a.xpub(), b.xpub()[strings.Index(b.xpub(), "]")+1:]},
		"private key": {private, b.xpub()},
		"a path":      {a.xpub() + "/<0;1>/*", b.xpub()},
		"cut":         {a.xpub()[:len(a.xpub())-1], b.xpub()},
		"two in one":  {a.xpub() + "," + b.xpub(), b.xpub()},
		"main's":      {strings.Replace(a.xpub(), "tpub", "xpub", 1), b.xpub()},
	} {
		_, err := Account(keys, net)
		if !errors.Is(err, ErrAccount) {
			t.Errorf("%s: got %v", name, err)
		} else if strings.Contains(err.Error(), "tprv") {
			t.Errorf("%s: the error shows a private key: %v", name, err)
		}
	}
	if _, err := Account(many[:MaxParticipants], net); err != nil {
		t.Error(err)
	}
}

// FuzzPSBT: whatever strangers say of the keys of a PSBT, reading it ends.
func FuzzPSBT(f *testing.F) {
	for _, text := range vectorsOfBIP373(f) {
		p, err := psbt.Decode(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Bytes())
	}
	c := newClub(f, 2, true, "fuzz")
	p, _ := c.pay(2, rand.New(rand.NewPCG(1, 1)), 2)
	c.owners[0].step(p)
	f.Add(p.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := psbt.Parse(b)
		if err != nil {
			return
		}
		before := p.String()
		list, err := Status(p)
		if err == nil {
			_, err = Change(p)
		}
		if p.String() != before {
			t.Error("looking at it changed it")
		}
		if done, err2 := Finish(p); err == nil && err2 == nil && len(done) != len(list) {
			t.Errorf("%d inputs, and then %d", len(list), len(done))
		}
	})
}
