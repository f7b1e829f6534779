package wallet

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"lode/consensus"
)

// TestSelectionBesideCore compares what payments cost with what Bitcoin Core's
// selection costs on the same pools of coins: the fee and the waste. The file is made
// by hand, by walletcreatefundedpsbt with all coins locked but those of a pool:
//
//	[{"coins": [[TXID, VOUT, SAT], …], "amount": SAT, "rate": SAT for 1,000 vB,
//	  "inputs": [[TXID, VOUT], …], "fee": SAT, "change": SAT}, …]
func TestSelectionBesideCore(t *testing.T) {
	file := os.Getenv("LODE_TEST_CORE_SELECTION")
	if file == "" {
		t.Skip("wants what Bitcoin Core has chosen: LODE_TEST_CORE_SELECTION names a file, see the comment")
	}
	var pools []struct {
		Coins  [][3]json.RawMessage
		Amount consensus.Amount
		Rate   FeeRate
		Inputs [][2]json.RawMessage
		Fee    consensus.Amount
		Change consensus.Amount
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &pools)
	}
	if err != nil || len(pools) == 0 {
		t.Fatal(len(pools), err)
	}
	var own, core, ownFees, coreFees consensus.Amount
	cheaper, same, failed := 0, 0, 0
	for i, p := range pools {
		byName, coins := make(map[string]Coin), []Coin(nil)
		for n, c := range p.Coins {
			var value consensus.Amount
			if err := json.Unmarshal(c[2], &value); err != nil {
				t.Fatal(err)
			}
			coin := Coin{OutPoint: consensus.OutPoint{Index: uint32(n)}, Value: value, Height: 1, Mature: true, Trusted: true}
			byName[fmt.Sprintf("%s:%s", c[0], c[1])], coins = coin, append(coins, coin)
		}
		theirs := selection{amount: p.Amount, fee: p.Fee, change: p.Change}
		for _, in := range p.Inputs {
			c, ok := byName[fmt.Sprintf("%s:%s", in[0], in[1])]
			if !ok {
				t.Fatalf("pool %d: an input that is no coin of it", i)
			}
			theirs.coins = append(theirs.coins, c)
		}
		if sumOf(theirs.coins) != p.Amount+p.Fee+p.Change {
			t.Fatalf("pool %d does not add up", i)
		}
		q := want{amount: p.Amount, rate: p.Rate, outs: payOne}
		ours, err := selectCoins(coins, q)
		if err != nil {
			failed++
			t.Logf("pool %d: %v", i, err)
			continue
		}
		a, b := ours.fee+q.waste(ours), theirs.fee+q.waste(theirs)
		own, core, ownFees, coreFees = own+a, core+b, ownFees+ours.fee, coreFees+theirs.fee
		switch {
		case a < b:
			cheaper++
		case a == b:
			same++
		}
	}
	t.Logf("%d pools: fees and waste %d sat, Bitcoin Core's %d (%+.2f %%); fees alone %d and %d (%+.2f %%); cheaper in %d, the same in %d, failed in %d",
		len(pools), own, core, percent(own, core), ownFees, coreFees, percent(ownFees, coreFees), cheaper, same, failed)
	if failed > 0 || own > core+core/50 {
		t.Error("selection costs more than 2 % above Bitcoin Core's")
	}
}

func percent(a, b consensus.Amount) float64 { return 100 * float64(a-b) / float64(b) }
