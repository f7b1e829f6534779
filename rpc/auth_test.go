package rpc_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"lode/rpc"
)

// TestCredential reads what share/rpcauth/rpcauth.py of Bitcoin Core has made (its
// test has the password), and refuses what is none.
func TestCredential(t *testing.T) {
	t.Parallel()
	const line = "rt:93648e835a54c573682c2eb19f882535$7681e9c5b74bdd85e78166031d2058e1069b3ed7ed967c93fc63abba06f31144"
	const secret = "cA773lm788buwYe4g4WT+05pKyNruVKjQ25x3n0DQcM="
	known, err := rpc.ParseCredential(line)
	check(t, err)
	if known.String() != line {
		t.Errorf("%s", known)
	}
	made, err := rpc.NewCredential("me", secret)
	check(t, err)
	made, err = rpc.ParseCredential(made.String())
	check(t, err)
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Users = []rpc.Credential{known, made} })
	for _, test := range []struct {
		user, password string
		status         int
	}{
		{"rt", secret, 200}, {"me", secret, 200}, {user, password, 200},
		{"rt", "x", 401}, {"rt", password, 401}, {"me", "", 401}, {"mee", secret, 401}, {"", secret, 401},
	} {
		r := authorized(`{"method":"getblockcount","id":1}`)
		r.SetBasicAuth(test.user, test.password)
		if resp := n.do(r); resp.StatusCode != test.status {
			t.Errorf("%s with %.5s…: status %d, want %d", test.user, test.password, resp.StatusCode, test.status)
		}
	}
	for _, s := range []string{"", "rt", "rt:", "rt:a", "rt:a$", "rt:a$zz", ":a$" + strings.Repeat("0", 64), "rt:$" + strings.Repeat("0", 64), "rt:a$" + strings.Repeat("0", 62)} {
		if c, err := rpc.ParseCredential(s); err == nil {
			t.Errorf("%q is read as %s", s, c)
		}
	}
	if _, err := rpc.NewCredential("a:b", "x"); err == nil {
		t.Error("a user name with a colon")
	}
}

// TestWhitelist has users call what they may, and what they may not, alone and in
// batches, with and without a default for those who have no entry.
func TestWhitelist(t *testing.T) {
	t.Parallel()
	users := make([]rpc.Credential, 0, 3)
	for _, name := range []string{"miner", "both", "nobody"} {
		c, err := rpc.NewCredential(name, password)
		check(t, err)
		users = append(users, c)
	}
	entries := []string{"miner:getblocktemplate, getblockcount", "both:getblockcount,uptime", "both:uptime,stop", "nobody"}
	count := func(method string) string { return `{"method":"` + method + `","id":1}` }
	for _, test := range []struct {
		name, user, body string
		open             *bool
		status           int
	}{
		{"listed", "miner", count("getblockcount"), nil, 200},
		{"not listed", "miner", count("stop"), nil, 403},
		{"unknown", "miner", count("nothing"), nil, 403},
		{"named in another's", "miner", count("uptime"), nil, 403},
		{"in both entries", "both", count("uptime"), nil, 200},
		{"in the first alone", "both", count("getblockcount"), nil, 403},
		{"in the second alone", "both", count("stop"), nil, 403},
		{"an empty list", "nobody", count("uptime"), nil, 403},
		{"no list", user, count("uptime"), nil, 403},
		{"no list, all open", user, count("uptime"), new(true), 200},
		{"no list, closed", user, count("uptime"), new(false), 403},
		{"a list, all open", "miner", count("stop"), new(true), 403},
		{"a batch", "miner", "[" + count("getblockcount") + "," + count("getblockcount") + "]", nil, 200},
		{"a batch with one", "miner", "[" + count("getblockcount") + "," + count("stop") + "]", nil, 403},
		{"a batch with none", "miner", "[" + count("getblockcount") + ",1]", nil, 400},
		{"no JSON", "nobody", "[", nil, 500},
	} {
		list, err := rpc.NewWhitelist(entries, test.open)
		check(t, err)
		n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Users, c.Whitelist = users, list })
		r := authorized(test.body)
		r.SetBasicAuth(test.user, password)
		resp := n.do(r)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != test.status || test.status == http.StatusForbidden && len(body) > 0 {
			t.Errorf("%s: status %d and %q, want %d", test.name, resp.StatusCode, body, test.status)
		}
		if n.stops.Load() != 0 {
			t.Errorf("%s: stop was called", test.name)
		}
	}
	if _, err := rpc.NewWhitelist([]string{":stop"}, nil); err == nil {
		t.Error("an entry without a user")
	}
	closed, err := rpc.NewWhitelist(nil, new(false))
	check(t, err)
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Whitelist = closed })
	if status, _ := n.post(count("uptime")); status != 403 {
		t.Errorf("closed without entries: status %d", status)
	}
}

// TestForbiddenMethodInLog has a user call a method with a name of a megabyte that it
// may not call: the log names the beginning of it.
func TestForbiddenMethodInLog(t *testing.T) {
	t.Parallel()
	list, err := rpc.NewWhitelist([]string{user + ":uptime"}, nil)
	check(t, err)
	var log bytes.Buffer
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Whitelist, c.Log = list, slog.New(slog.NewTextHandler(&log, nil)) })
	status, _ := n.post(`{"method":"` + strings.Repeat("x", 1<<20) + `"}`)
	if status != 403 || !strings.Contains(log.String(), "xxxx") || log.Len() > 1000 {
		t.Errorf("status %d, and %d bytes in the log", status, log.Len())
	}
}

// TestWalletPath serves calls to the node under the path of a wallet, and says to
// those for a wallet how to have one.
func TestWalletPath(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	const why = ": this node serves no wallets; start it with --wallet-rpc, or use `lode wallet`\"},\"id\":1}"
	none := `{"result":null,"error":{"code":-32601,"message":"Method not found` + why
	noWallet := `{"result":null,"error":{"code":-18,"message":"Requested wallet does not exist or is not loaded` + why
	for _, test := range []struct {
		path, body, want string
		status           int
	}{
		{"/wallet/a", `{"method":"getblockcount","id":1}`, `{"result":0,"error":null,"id":1}`, 200},
		{"/wallet/", `{"method":"getblockcount","id":1}`, `{"result":0,"error":null,"id":1}`, 200},
		{"/wallet/a", `{"method":"getbalance","id":1}`, noWallet, 500},
		{"/wallet/a", `{"method":"nothing","id":1}`, `{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":1}`, 404},
		{"/", `{"method":"createwallet","params":["a"],"id":1}`, none, 404},
	} {
		r := authorized(test.body)
		r.URL.Path = test.path
		resp := n.do(r)
		body, _ := io.ReadAll(resp.Body)
		if got := strings.TrimSpace(string(body)); resp.StatusCode != test.status || got != test.want {
			t.Errorf("%s: status %d and %s", test.path, resp.StatusCode, got)
		}
	}
}
