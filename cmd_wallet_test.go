package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc/client"
)

// TestEveryWalletCommandHasAScript: each is run as its users do.
func TestEveryWalletCommandHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all bytes.Buffer
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	var look func(prefix string, commands []*cli.Command)
	look = func(prefix string, commands []*cli.Command) {
		for _, c := range commands {
			name := prefix + " " + c.Name
			if len(c.Subcommands) > 0 {
				look(name, c.Subcommands)
			} else if !regexp.MustCompile(regexp.QuoteMeta(name) + `\b[^-]`).Match(all.Bytes()) {
				t.Errorf("no script runs `%s`", name)
			}
		}
	}
	look("lode wallet", walletCommand().Subcommands)
}

// emptyNode is a node with a genesis block and nothing else; more answers are put
// beside its own.
func emptyNode(t *testing.T, more map[string]func([]any) (string, *client.Error)) (url string) {
	t.Helper()
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	genesis := spec.Rules.GenesisHash()
	methods := map[string]func([]any) (string, *client.Error){
		"getblockhash": func([]any) (string, *client.Error) { return fmt.Sprintf("%q", genesis), nil },
		"getblockchaininfo": func([]any) (string, *client.Error) {
			return fmt.Sprintf(`{"blocks":0,"headers":0,"bestblockhash":%q,"initialblockdownload":false}`, genesis), nil
		},
		"getindexinfo":   func([]any) (string, *client.Error) { return `{}`, nil },
		"scanmempool":    func([]any) (string, *client.Error) { return `{"loaded":true,"transactions":[]}`, nil },
		"getmempoolinfo": func([]any) (string, *client.Error) { return `{"mempoolminfee":0.00000100}`, nil },
	}
	for name, answer := range more {
		methods[name] = answer
	}
	return answers(t, methods).client.URL()
}

// walletCLI runs a command of a wallet against a node.
func walletCLI(t *testing.T, dir, url string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("LODE_WALLET_PASSPHRASE", "p")
	t.Setenv("LODE_RPC_USER", "u")
	t.Setenv("LODE_RPC_PASSWORD", "p")
	line := append([]string{"lode", "wallet"}, args...)
	line = append(line, "--network", "regtest", "--datadir", dir, "--rpc", url)
	var out, errs bytes.Buffer
	status = run(line, &out, &errs)
	return status, out.String(), errs.String()
}

func withFastScrypt(t *testing.T) {
	before := workFactor
	workFactor = 4
	t.Cleanup(func() { workFactor = before })
}

// TestBalanceOfANodeThatLags says as of which block it is, and what is missing.
func TestBalanceOfANodeThatLags(t *testing.T) {
	withFastScrypt(t)
	genesis := func() string {
		spec, err := consensus.EmbeddedSpec("regtest")
		if err != nil {
			t.Fatal(err)
		}
		return spec.Rules.GenesisHash().String()
	}()
	for name, c := range map[string]struct{ info, note string }{
		"in sync":            {`"headers":0,"initialblockdownload":false`, ""},
		"blocks are missing": {`"headers":7,"initialblockdownload":true`, "note: the node is at block 0 of 7: what happened since is missing here"},
		"nothing is known":   {`"headers":0,"initialblockdownload":true`, "note: the node is still looking for blocks behind 0: what happened since is missing here"},
	} {
		dir := t.TempDir()
		url := emptyNode(t, map[string]func([]any) (string, *client.Error){"getblockchaininfo": func([]any) (string, *client.Error) {
			return fmt.Sprintf(`{"blocks":0,"bestblockhash":%q,%s}`, genesis, c.info), nil
		}})
		if status, _, errs := walletCLI(t, dir, url, "create", "--json"); status != 0 {
			t.Fatal(errs)
		}
		status, out, errs := walletCLI(t, dir, url, "balance")
		if status != 0 || !regexp.MustCompile(`(?m)^as of block +0$`).MatchString(out) || c.note == "" && errs != "" || !strings.Contains(errs, c.note) {
			t.Errorf("%s: status %d\n%s%s", name, status, out, errs)
		}
		_, out, _ = walletCLI(t, dir, url, "balance", "--json")
		if want := fmt.Sprintf(`"in_sync": %v`, c.note == ""); !strings.Contains(out, want) || !strings.Contains(out, `"height": 0`) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestSendWaitsForTheMempool: a node that still reads its mempool does not say what
// is pending, so nothing is paid before it has.
func TestSendWaitsForTheMempool(t *testing.T) {
	withFastScrypt(t)
	asked := 0
	url := emptyNode(t, map[string]func([]any) (string, *client.Error){"scanmempool": func([]any) (string, *client.Error) {
		asked++
		return fmt.Sprintf(`{"loaded":%v,"transactions":[]}`, asked > 1), nil
	}})
	dir := t.TempDir()
	if status, _, errs := walletCLI(t, dir, url, "create", "--json"); status != 0 {
		t.Fatal(errs)
	}
	asked = 0
	status, _, errs := walletCLI(t, dir, url, "send", "--to", "bcrt1pqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqn4zdly=1", "--yes")
	if status != 1 || asked < 2 || !strings.Contains(errs, "not enough money") {
		t.Errorf("status %d, the mempool was asked %d times: %s", status, asked, errs)
	}
}
