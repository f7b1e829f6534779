package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// argsApp has one command of each kind.
func argsApp() *cli.App {
	text := func(name string, aliases ...string) cli.Flag {
		return &cli.StringFlag{Name: name, Aliases: aliases}
	}
	return &cli.App{
		Name: "lode", Writer: io.Discard,
		Commands: []*cli.Command{
			{Name: "group", Subcommands: []*cli.Command{
				{Name: "plain", Flags: []cli.Flag{text("datadir"), text("amount"), &cli.BoolFlag{Name: "dry-run"}}},
				{Name: "spec", Flags: []cli.Flag{&cli.BoolFlag{Name: "amount"}}},
				{Name: "many", ArgsUsage: "FILE [FILE...]", Flags: []cli.Flag{text("amount")}},
				{Name: "file", ArgsUsage: "FILE [HEIGHT]", Flags: []cli.Flag{text("datadir", "d")}},
			}},
			{Name: "rpc", ArgsUsage: "METHOD [ARG...]", Flags: []cli.Flag{text("rpc"), text("datadir"), &cli.BoolFlag{Name: "named"}}},
		},
	}
}

func TestArrange(t *testing.T) {
	for in, want := range map[string]string{
		"group plain --dry-run":                  "group plain --dry-run --",
		"group plain --datadir D --dry-run":      "group plain --datadir D --dry-run --",
		"--datadir D group --dry-run plain":      "group plain --datadir D --dry-run --",
		"group plain --amount -5":                "group plain --amount -5 --",
		"group plain --amount=-5 -dry-run=false": "group plain --amount=-5 -dry-run=false --",
		"group plain --amount --dry-run":         "group plain --amount --dry-run --", // a value, however it looks
		"group plain --":                         "group plain --",
		"group spec --amount":                    "group spec --amount --",
		"group file x --datadir D":               "group file --datadir D -- x",
		"group file x 5 -d D":                    "group file -d D -- x 5",
		"group file -":                           "group file -- -",
		"group file -- --datadir":                "group file -- --datadir",
		"rpc --datadir D m":                      "rpc --datadir D -- m",
		"rpc m -5 [1] --datadir D {}":            "rpc --datadir D -- m -5 [1] {}",
		"rpc m --unknown -datadir D":             "rpc -- m --unknown -datadir D",
		"rpc m --help":                           "rpc -- m --help",
		"rpc m --rpc=U --named a=1":              "rpc --rpc=U --named -- m a=1",
		"rpc m -- --rpc -- U":                    "rpc -- m --rpc -- U",
		"rpc --named m":                          "rpc --named -- m",
		"rpc --help":                             "rpc --help --",
		"help rpc":                               "rpc --help --",
		"help":                                   "--help",
		"--version":                              "--version",
		"-h":                                     "--help",
		"group -h":                               "group --help",
		"":                                       "--help",
		"group":                                  "group --help",
		"group file x -5":                        "group file -- x -5",
		"group --datadir D --help":               "group --help",
		"--datadir D --version":                  "--version",
		"group plain --help left over":           "group plain --help --",
	} {
		got, err := arrange(argsApp(), append([]string{"lode"}, strings.Fields(in)...))
		if wanted := append([]string{"lode"}, strings.Fields(want)...); err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%s\n got %q, %v\nwant %q", in, got, err, wanted)
		}
	}
}

func TestArrangeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"group --datadir D":             "`lode group` has no flag --datadir",
		"--datadir D":                   "no flag --datadir",
		"nosuch":                        `"nosuch" is no command of`,
		"group nosuch":                  `"nosuch" is no command of`,
		"--nosuch group plain":          "unknown flag --nosuch",
		"group plain --nosuch":          "unknown flag --nosuch",
		"group plain -x":                "unknown flag -x",
		"group plain left":              `unexpected argument "left"`,
		"group plain -- --dry-run":      `unexpected argument "--dry-run"`,
		"group plain --amount":          "--amount wants a value",
		"--dry-run group file x":        "no flag --dry-run",
		"group file":                    "wants FILE",
		"group many x y --nosuch":       "unknown flag --nosuch",
		"group file x 5 6":              `unexpected argument "6"`,
		"group file x --datadir":        "--datadir wants a value",
		"rpc":                           "wants METHOD",
		"rpc --unknown m":               "unknown flag --unknown",
		"rpc m --datadir":               "--datadir wants a value",
		"group plain --version":         "unknown flag --version",
		"group plain group plain":       `unexpected argument "group"`,
		"group --amount plain":          "put it behind the command",
		"help nosuch":                   `"nosuch" is no command of`,
		"group plain --dry-run --dry_x": "unknown flag --dry_x",
	} {
		got, err := arrange(argsApp(), append([]string{"lode"}, strings.Fields(in)...))
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want %s", in, got, err, want)
		}
	}
}

// TestEveryCommand looks at the real commands: what arrange reads from them must
// be what they are.
func TestEveryCommand(t *testing.T) {
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			path := append(slices.Clone(path), c.Name)
			name := strings.Join(path, " ")
			if c.Usage == "" {
				t.Errorf("%s: no help", name)
			}
			if len(c.Subcommands) > 0 {
				walk(path, c.Subcommands)
				continue
			}
			if c.Action == nil || c.OnUsageError == nil {
				t.Errorf("%s: no action, or no usage errors", name)
			}
			common := []string{"network", "datadir"}
			if path[0] == "testnet" { // whose nodes have a directory each
				common = []string{"name", "networks"}
			}
			for _, want := range common {
				if find(c.Flags, want) == nil {
					t.Errorf("%s: no --%s", name, want)
				}
			}
			for i, f := range c.Flags {
				if same := find(c.Flags[:i], f.Names()[0]); same != nil {
					t.Errorf("%s: --%s twice", name, f.Names()[0])
				}
			}
		}
	}
	walk(nil, newApp(io.Discard, io.Discard).Commands)
}
