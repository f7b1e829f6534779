package testnet_test

import (
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"lode/consensus"
)

// poolInfo is what the test reads of getpoolinfo. Amounts are in coins.
type poolInfo struct {
	Blocks  int
	Payouts []struct {
		Address string
		Amount  coins
	}
	Workers []struct {
		Name   string
		Shares struct{ Accepted, Low, Invalid, Duplicate int64 }
	}
}

// coins is an amount as JSON has it.
type coins struct{ sat int64 }

// UnmarshalJSON reads a decimal number exactly.
func (c *coins) UnmarshalJSON(b []byte) error {
	r, ok := new(big.Rat).SetString(string(b))
	if !ok {
		return fmt.Errorf("no amount: %s", b)
	}
	c.sat = r.Mul(r, big.NewRat(int64(consensus.SatPerCoin), 1)).Num().Int64()
	return nil
}

// TestPoolOfTwo has two `lode mine --stratum` share the pool of a node on regtest:
// the blocks that they find pay both in proportion to their shares.
func TestPoolOfTwo(t *testing.T) {
	if testing.Short() {
		t.Skip("processes")
	}
	t.Parallel()
	stratum := freePort(t)
	// All shares stay in the window.
	n := startNode(t, t.TempDir(), "--stratum", stratum, "--pool-window", "1000", "--pool-shares", "300")
	users := []string{consensus.Address("bcrt", [32]byte{1}) + ".one", consensus.Address("bcrt", [32]byte{2}) + ".two"}
	var miners []*exec.Cmd
	for _, user := range users {
		cmd := exec.Command(program, "mine", "--stratum", "stratum+tcp://"+stratum, "--user", user, "--password", "d=1e-5", "--threads", "1", "--kernel", "portable")
		log := new(logBuffer)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		miners = append(miners, cmd)
		t.Cleanup(func() {
			if cmd.ProcessState == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			if t.Failed() {
				t.Logf("log of the miner %s:\n%s", user, log)
			}
		})
	}
	var info poolInfo
	waitFor(t, "shares of both", func() bool {
		n.call(&info, "getpoolinfo")
		return len(info.Workers) == 2 && info.Workers[0].Shares.Accepted >= 10 && info.Workers[1].Shares.Accepted >= 10
	})
	for _, cmd := range miners {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("a miner that is stopped: %v", err)
		}
	}

	// What the next block pays is in proportion to all shares, to a satoshi. A tip of
	// somebody else has the pool hand out the job that says so.
	var count uint32
	n.call(&count, "getblockcount")
	n.rpc("generatetoaddress", "1", consensus.Address("bcrt", [32]byte{3}))
	waitFor(t, "a job that pays all shares", func() bool {
		n.call(&info, "getpoolinfo")
		var shares, total int64
		for _, w := range info.Workers {
			shares += w.Shares.Accepted
			if w.Shares.Low+w.Shares.Invalid+w.Shares.Duplicate > 0 {
				t.Fatalf("bad shares of %s: %+v", w.Name, w.Shares)
			}
		}
		for _, p := range info.Payouts {
			total += p.Amount.sat
		}
		if len(info.Payouts) != 2 {
			t.Fatalf("payouts: %+v", info.Payouts)
		}
		for _, p := range info.Payouts {
			for _, w := range info.Workers {
				want := total * w.Shares.Accepted / shares
				if strings.HasPrefix(w.Name, p.Address) && (p.Amount.sat < want-1 || p.Amount.sat > want+1) {
					return false
				}
			}
		}
		return total == int64(50*consensus.SatPerCoin>>((count+2)/150))
	})

	// And every block in the chain paid its subsidy, from some block on to both.
	both := 0
	for h := uint32(1); h <= count; h++ {
		var block struct {
			Tx []struct {
				Vout []struct {
					Value        coins
					ScriptPubKey struct{ Address string }
				}
			}
		}
		n.call(&block, "getblock", n.rpc("getblockhash", fmt.Sprint(h)), "2")
		var total int64
		payees := make(map[string]bool)
		for _, out := range block.Tx[0].Vout {
			total += out.Value.sat
			if out.ScriptPubKey.Address != "" {
				payees[out.ScriptPubKey.Address] = true
			}
		}
		if want := int64(50 * consensus.SatPerCoin >> (h / 150)); total != want {
			t.Errorf("block %d pays %d sat, want %d", h, total, want)
		}
		if len(payees) == 2 {
			both++
		} else if both > 0 {
			t.Errorf("block %d pays %d, and those before it two", h, len(payees))
		}
	}
	if both < 10 || info.Blocks != int(count) {
		t.Errorf("%d of %d blocks pay both, %d are of the pool", both, count, info.Blocks)
	}
}
