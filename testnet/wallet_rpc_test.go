package testnet_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// shop is a wallet that its node serves, and what the node has acknowledged of it.
type shop struct {
	*victim
	elsewhere string            // an address of nobody's
	labels    map[string]string // by address
	paid      map[string]string // comments by txid
	number    int               // of what was asked for
}

// TestWalletsOfAKilledNode kills a node that serves a wallet: right after it has made
// it, labelled an address and paid, amid of that, and at its start. The next start
// loads the wallet by itself, with all that was acknowledged.
func TestWalletsOfAKilledNode(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv(crashSeed); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", crashSeed, err)
		}
		seed = n
	}
	keys := chaingen.New(&crashSpec.Rules, chaingen.Params{Seed: seed})
	key, _ := consensus.TaprootKey(keys.Script())
	s := &shop{newVictim(t, seed, nil), consensus.Address(crashSpec.Defaults.AddressPrefix, key), make(map[string]string), make(map[string]string), 0}

	node := s.node("--wallet-rpc")
	if !node.ready() || !node.call(nil, "createwallet", "shop", false, false, "", false, true, true) {
		t.Fatal("killed by somebody else")
	}
	node.killNow("createwallet has answered")
	node = s.restart()
	if !s.mine(node, 12) || !s.label(node) {
		t.Fatal("killed by somebody else")
	}
	node.killNow("setlabel has answered")
	node = s.restart()
	s.tryCommand("in use by another process", 1)
	if !s.pay(node) {
		t.Fatal("killed by somebody else")
	}
	node.killNow("sendtoaddress has answered")
	node = s.restart()
	node.killIn(s.upTo(200*time.Millisecond), "the first of many calls")
	for s.label(node) && s.pay(node) && s.mine(node, 1) {
	}
	node = s.node("--wallet-rpc")
	node.killIn(s.upTo(200*time.Millisecond), "its start")
	if node.ready() {
		for s.label(node) && s.pay(node) && s.mine(node, 1) {
		}
	}
	node = s.restart()
	if !s.mine(node, 1) {
		t.Fatal("killed by somebody else")
	}
	s.check(node, 1)
	node.call(nil, "unloadwallet", "shop")
	s.tryCommand("", 0)
	node.stop()
	t.Logf("%d labels, %d payments", len(s.labels), len(s.paid))
}

// killNow kills a process at an instant that the test chooses.
func (p *process) killNow(when string) {
	p.v.t.Helper()
	p.killIn(0, when)
	_ = p.cmd.Process.Kill()
	if !p.crashed() {
		p.v.t.Fatal("ended by itself")
	}
}

// restart starts the node and looks at what it has.
func (s *shop) restart() *process {
	s.t.Helper()
	node := s.node("--wallet-rpc")
	if !node.ready() {
		s.t.Fatal("killed by somebody else")
	}
	s.check(node, 0)
	return node
}

// next is a text that was not used yet.
func (s *shop) next() string {
	s.number++
	return fmt.Sprint("no. ", s.number)
}

// label labels a new address of the wallet. Like pay and mine it is false when the
// node was killed.
func (s *shop) label(node *process) bool {
	s.t.Helper()
	var address string
	given, changed := s.next(), s.next()
	if !node.call(&address, "getnewaddress", given) {
		return false
	}
	if was, ok := s.labels[address]; ok {
		s.t.Fatalf("%s, which is %q, is given out again", address, was)
	}
	s.labels[address] = given
	if !node.call(nil, "setlabel", address, changed) {
		delete(s.labels, address) // it is the one or the other
		return false
	}
	s.labels[address] = changed
	return true
}

func (s *shop) pay(node *process) bool {
	s.t.Helper()
	var id string
	comment := s.next()
	if !node.call(&id, "sendtoaddress", s.elsewhere, json.Number("0.5"), comment, "", false, true, nil, "unset", nil, 2) {
		return false
	}
	s.paid[id] = comment
	return true
}

// mine has the wallet mine.
func (s *shop) mine(node *process, blocks int) bool {
	s.t.Helper()
	var address string
	return node.call(&address, "getnewaddress", "mining") && node.call(nil, "generatetoaddress", blocks, address)
}

// check compares what a node that nobody kills has with what was acknowledged, and its
// balance with its history.
func (s *shop) check(node *process, confirmations int) {
	s.t.Helper()
	must := func(result any, method string, params ...any) {
		s.t.Helper()
		if !node.call(result, method, params...) {
			s.t.Fatal("killed by somebody else")
		}
	}
	var names []string
	if must(&names, "listwallets"); !slices.Equal(names, []string{"shop"}) {
		s.t.Fatalf("%s: the node has loaded %q", s.instant, names)
	}
	waitFor(s.t, "the mempool", func() bool {
		var pool struct{ Loaded bool }
		must(&pool, "getmempoolinfo")
		return pool.Loaded
	})
	for address, label := range s.labels {
		var info struct{ Labels []string }
		if must(&info, "getaddressinfo", address); !slices.Equal(info.Labels, []string{label}) {
			s.t.Errorf("%s: %s is labelled %q, want %q", s.instant, address, info.Labels, label)
		}
	}
	for id, comment := range s.paid {
		var tx struct {
			Amount        json.Number
			Comment       string
			Confirmations int
		}
		if must(&tx, "gettransaction", id); tx.Amount != "-0.50000000" || tx.Comment != comment || tx.Confirmations < confirmations {
			s.t.Errorf("%s: payment %s is %+v, want %q and %d confirmations", s.instant, id, tx, comment, confirmations)
		}
	}
	var balances struct{ Mine map[string]json.Number }
	var entries []struct {
		Amount, Fee json.Number
		Abandoned   bool
	}
	must(&balances, "getbalances")
	must(&entries, "listtransactions", "*", 100_000)
	var have, want int64
	for _, amount := range balances.Mine {
		have += s.sat(amount)
	}
	for _, e := range entries {
		if !e.Abandoned {
			want += s.sat(e.Amount) + s.sat(e.Fee)
		}
	}
	if have != want {
		s.t.Errorf("%s: the balance is %d sat, and the history makes it %d", s.instant, have, want)
	}
}

// sat reads an amount in coins; a missing one is zero.
func (s *shop) sat(coins json.Number) int64 {
	s.t.Helper()
	if coins == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.Replace(string(coins), ".", "", 1), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// tryCommand has a command of the command line use the wallet.
func (s *shop) tryCommand(says string, want int) {
	s.t.Helper()
	_, errs, status := lode(s.t, "wallet", "balance", "--name", "shop", "--network", s.network, "--datadir", s.datadir)
	if status != want || !strings.Contains(errs, says) {
		s.t.Errorf("`lode wallet balance` beside the node: status %d, %s", status, errs)
	}
}
