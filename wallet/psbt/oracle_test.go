package psbt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// verdict is what the oracle says of a PSBT.
type verdict struct{ Err, PSBT, TxID, Final string }

// ask has btcutil's psbt judge PSBTs.
func ask(t *testing.T, program string, list []string) (verdicts []verdict) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Stdin = strings.NewReader(strings.Join(list, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); len(verdicts) < len(list); {
		var v verdict
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// TestOracle compares version 0 with btcutil's psbt (make psbt-oracle): the vectors,
// PSBTs of Lode in all states, and mutations of both. What both take is the same
// transaction; what Lode makes, btcutil takes, and finalizes to the same.
func TestOracle(t *testing.T) {
	program := os.Getenv("PSBT_ORACLE")
	if program == "" {
		t.Skip("no PSBT_ORACLE: see make psbt-oracle")
	}
	var own, all []string
	for n := range 200 {
		list := []byte{1, 2, 3, 4}[:1+n%4]
		p := payment(0, list...)
		if n%3 > 0 {
			if _, err := p.Sign(only(list[n%len(list):]...), SignOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if n%3 == 2 {
			_ = p.Finalize()
		}
		own = append(own, p.String())
	}
	all = append(all, own...)
	for _, v := range vectors(t) {
		if v.Case != "extracted" {
			all = append(all, v.PSBT)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		p, err := Decode(all[rng.IntN(len(own)+150)])
		if err != nil {
			continue
		}
		b := p.Bytes()
		for range 1 + rng.IntN(2) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		if q, err := Parse(b); err == nil {
			all = append(all, q.String())
		}
	}
	both, refused := 0, make(map[string]int)
	for i, v := range ask(t, program, all) {
		p, err := Decode(all[i])
		if i < len(own) {
			checkOwn(t, p, v)
		}
		if v.Err != "" && err == nil && p.Version() == 0 {
			refused[v.Err]++
		}
		if v.Err != "" || err != nil || p.Version() != 0 {
			continue
		}
		both++
		tx, _ := p.Tx()
		if tx.TxID().String() != v.TxID {
			t.Errorf("%s: transaction %s, btcutil has %s", all[i], tx.TxID(), v.TxID)
		}
		if again, err := Decode(v.PSBT); err != nil || len(again.Inputs) != len(p.Inputs) {
			t.Errorf("%s: what btcutil writes is refused: %v", all[i], err)
		}
	}
	t.Logf("%d PSBTs, %d taken by both; of those that Lode takes btcutil refuses for: %v", len(all), both, refused)
	if both < 1000 {
		t.Errorf("only %d were compared", both)
	}
}

func checkOwn(t *testing.T, p *Packet, v verdict) {
	t.Helper()
	if v.Err != "" {
		t.Errorf("%s: btcutil refuses it: %s", p, v.Err)
		return
	}
	var final string
	if q := p.Clone(); q.Finalize() == nil {
		tx, err := q.Extract(nil)
		if err != nil {
			t.Error(err)
			return
		}
		final = hex.EncodeToString(tx.Bytes())
	}
	if final != v.Final {
		t.Errorf("%s: finalized %q, btcutil has %q", p, final, v.Final)
	}
}
