package testnet_test

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc/scripthash"
)

// TestWalletClients has libraries that others wrote ask a node about addresses, by
// Electrum's protocol and by Esplora's interface, also after a reorganization: both must
// say the same. WALLET_CLIENTS names a directory with them (make interop-wallets).
func TestWalletClients(t *testing.T) {
	dir := os.Getenv("WALLET_CLIENTS")
	if dir == "" {
		t.Skip("no WALLET_CLIENTS: see make interop-wallets")
	}
	address := freePort(t)
	a := startNode(t, t.TempDir(), "--electrum", address)
	a.makeWallet()
	first := a.run("wallet", "address")
	a.rpc("generatetoaddress", "130", first)
	type script struct {
		Address string `json:"address"`
		ID      string `json:"id"`
	}
	scripts := []script{{first, ""}}
	for i := range byte(5) {
		other := consensus.Address("bcrt", [32]byte{1, i})
		a.run("wallet", "send", "--to", other, "--amount", "1", "--yes", "--json")
		scripts = append(scripts, script{other, ""})
	}
	a.rpc("generatetoaddress", "1", first)
	a.run("wallet", "send", "--to", scripts[1].Address, "--amount", "2", "--yes", "--json") // stays unconfirmed
	for i := range scripts {
		key, err := consensus.ParseAddress("bcrt", scripts[i].Address)
		if err != nil {
			t.Fatal(err)
		}
		scripts[i].ID = scripthash.OfKey(key).String()
	}
	rpc, err := os.ReadFile(filepath.Join(a.datadir, "regtest", ".rpc-address"))
	if err != nil {
		t.Fatal(err)
	}
	host, portText, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(portText)
	compare := func(when string) {
		t.Helper()
		in, _ := json.Marshal(map[string]any{"host": host, "port": port, "url": "http://" + strings.TrimSpace(string(rpc)) + "/api", "scripts": scripts})
		cmd := exec.Command("node", "clients.mjs")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		var said struct {
			Height  int
			Answers []struct {
				Address           string
				Proofs            int
				Balance, Pending  int64
				Electrum, Esplora []string
				Summary           struct{ Balance, UnconfirmedBalance int64 }
			}
		}
		decode(t, string(out), &said)
		if len(said.Answers) != len(scripts) {
			t.Fatalf("%s: %s", when, out)
		}
		for _, x := range said.Answers {
			slices.Sort(x.Electrum)
			slices.Sort(x.Esplora)
			if !slices.Equal(x.Electrum, x.Esplora) || len(x.Electrum) == 0 || x.Proofs == 0 {
				t.Errorf("%s: %s: %d proofs, by Electrum %v, by Esplora %v", when, x.Address, x.Proofs, x.Electrum, x.Esplora)
			}
			if x.Balance != x.Summary.Balance || x.Pending != x.Summary.UnconfirmedBalance {
				t.Errorf("%s: %s: %d and %d by Electrum, %+v by Esplora", when, x.Address, x.Balance, x.Pending, x.Summary)
			}
		}
	}
	compare("before")
	a.rpc("invalidateblock", a.rpc("getblockhash", "131")) // the payments stay valid, as their coins stay mature
	a.rpc("generatetoaddress", "2", scripts[2].Address)
	compare("after a reorganization")
}
