package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/mempool"
	"lode/rpc"
	"lode/rpc/client"
)

// rpcFlags are the further flags of every command that talks to a node. There is
// none for the password itself: everybody on a machine sees the flags of all
// programs.
func rpcFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "rpc", DefaultText: "what the node in --datadir says, else the port of the network", Usage: "`URL` of the node, http://HOST:PORT"},
		&cli.StringFlag{Name: "rpc-user", DefaultText: "that of the cookie in --datadir", Usage: "be `USER` at the node; the password is in $" + passwordVariable + " or --rpc-password-file"},
		&cli.StringFlag{Name: "rpc-password-file", Usage: "the password of --rpc-user is the first line of `FILE`"},
	)
}

// passwordVariable is the environment variable with the password of --rpc-user.
const passwordVariable = "LODE_RPC_PASSWORD"

// maxPasswordFile bounds a file with a password, in bytes.
const maxPasswordFile = 4096

// rpcURL is where the node is: what --rpc says, else what the node in the data
// directory says, else the port of the network.
func (n *network) rpcURL(c *cli.Context) (string, error) {
	if s := c.String("rpc"); s != "" {
		return s, nil
	}
	return n.ownURL()
}

// ownURL is what the node in the data directory says, else the port of the network.
func (n *network) ownURL() (string, error) {
	path := filepath.Join(n.dir, rpcAddressFile)
	b, err := readSmall(path, maxAddressFile)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Sprintf("http://127.0.0.1:%d", n.spec.Defaults.Ports.RPC), nil
	}
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(strings.TrimSpace(string(b)))
	if err != nil {
		return "", fmt.Errorf("%s does not hold HOST:PORT: give --rpc", path)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // it listens on all addresses
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// rpcAuth is who to be at the node: what the flags and the environment say, else
// the cookie. No node need run yet: a missing cookie is a matter of the first call.
func (n *network) rpcAuth(c *cli.Context) (client.Auth, error) {
	user, file, password := c.String("rpc-user"), c.String("rpc-password-file"), os.Getenv(passwordVariable)
	if file != "" {
		b, err := readSmall(file, maxPasswordFile)
		if err != nil {
			return client.Auth{}, fmt.Errorf("--rpc-password-file: %w", err)
		}
		password, _, _ = strings.Cut(string(b), "\n")
		password = strings.TrimSuffix(password, "\r")
	}
	switch {
	case user != "" && password == "":
		return client.Auth{}, usageError(c.Command.HelpName, "--rpc-user %.40q has no password: give --rpc-password-file or $%s", user, passwordVariable)
	case user == "" && password != "":
		return client.Auth{}, usageError(c.Command.HelpName, "a password and no user: give --rpc-user")
	case user != "":
		return client.Auth{User: user, Password: password}, nil
	}
	auth, err := client.Cookie(filepath.Join(n.dir, cookieFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return auth, err
}

// client is for the node of this network.
func (n *network) client(c *cli.Context) (*client.Client, error) {
	url, err := n.rpcURL(c)
	if err != nil {
		return nil, err
	}
	auth, err := n.rpcAuth(c)
	if err != nil {
		return nil, err
	}
	return client.New(url, auth)
}

// explain says what to do about an error of the client.
func (n *network) explain(cl *client.Client, err error) error {
	refused, ok := errors.AsType[*client.Error](err)
	switch {
	case ok && strings.Contains(refused.Message, string(mempool.ErrClusterSize)):
		return fmt.Errorf("%w: too many unconfirmed transactions hang together with it; wait until a block has confirmed some of them, and try again", err)
	case errors.Is(err, client.ErrNotRunning):
		return fmt.Errorf("%w at %s; start one with `lode node --network %s --datadir %s`", client.ErrNotRunning, cl.URL(), n.arg, n.datadir)
	case errors.Is(err, client.ErrUnauthorized):
		return fmt.Errorf("%w at %s: give its --datadir (with %s), or --rpc-user and --rpc-password-file", client.ErrUnauthorized, cl.URL(), filepath.Join(n.dir, cookieFile))
	}
	return err
}

// lines are the values of a flag that may be repeated and whose values may hold
// commas, at which a flag of the library is cut.
type lines []string

// Set adds a value. Those of the environment are divided by semicolons.
func (l *lines) Set(s string) error {
	for line := range strings.SplitSeq(s, ";") {
		*l = append(*l, strings.TrimSpace(line))
	}
	return nil
}

// String is for the help.
func (l *lines) String() string { return "" }

// rpcUserFlags are the flags of a node about who may call it beside the owner of
// its cookie, and what.
func rpcUserFlags() []cli.Flag {
	return append(append(withEnv(
		&cli.StringSliceFlag{Name: "rpc-auth", Usage: "let in `USER:SALT$HMAC` too, as `lode rpc-auth USER` prints it; may be repeated"},
		&cli.StringFlag{Name: "rpc-whitelist-default", DefaultText: "1 if there is a --rpc-whitelist, else 0", Usage: "`N` is 1: users without --rpc-whitelist may call nothing, and that goes for the cookie, too; 0: everything"},
	), // Those of the environment with these names are a client's.
		&cli.StringFlag{Name: "rpc-user", Usage: "let in `USER` too, with --rpc-password"},
		&cli.StringFlag{Name: "rpc-password", Usage: "the `PASSWORD` of that user: its place is the file of settings, as everybody on a machine sees the flags of all programs"},
	), &cli.GenericFlag{Name: "rpc-whitelist", EnvVars: []string{"LODE_RPC_WHITELIST"}, Value: new(lines),
		Usage: "let a user call these methods alone, `USER:METHOD,METHOD`; may be repeated"})
}

// rpcUsers is what these flags come to.
func rpcUsers(c *cli.Context) (users []rpc.Credential, allowed rpc.Whitelist, err error) {
	for _, s := range c.StringSlice("rpc-auth") {
		user, err := rpc.ParseCredential(s)
		if err != nil {
			return nil, allowed, usageError(c.Command.HelpName, "--rpc-auth: %v", err) // it is not repeated: it may be a password
		}
		users = append(users, user)
	}
	if user, password := c.String("rpc-user"), c.String("rpc-password"); user != "" || password != "" {
		if user == "" || password == "" {
			return nil, allowed, usageError(c.Command.HelpName, "--rpc-user and --rpc-password: want both")
		}
		credential, err := rpc.NewCredential(user, password)
		if err != nil {
			return nil, allowed, usageError(c.Command.HelpName, "--rpc-user: %v", err)
		}
		users = append(users, credential)
	}
	var open *bool
	switch s := c.String("rpc-whitelist-default"); s {
	case "":
	case "0", "1":
		open = new(s == "0")
	default:
		return nil, allowed, usageError(c.Command.HelpName, "--rpc-whitelist-default %.10q: want 0 or 1", s)
	}
	list, _ := c.Generic("rpc-whitelist").(*lines)
	if list == nil {
		list = new(lines)
	}
	if allowed, err = rpc.NewWhitelist(*list, open); err != nil {
		return nil, allowed, usageError(c.Command.HelpName, "--rpc-whitelist %v", err)
	}
	return users, allowed, nil
}
