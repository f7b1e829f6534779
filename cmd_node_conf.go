package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// confFlag names a file of settings, see readConf.
func confFlag() cli.Flag {
	return withEnv(&cli.StringFlag{Name: "conf", Usage: "take flags that are not given from `FILE`: name=value a line, # begins a comment, and what follows [NETWORK] is for that network"})[0]
}

// maxConf bounds a file of settings, in lines.
const maxConf = 10_000

// setting is a line of a file of settings.
type setting struct {
	line          int
	section       string // a network, or empty for all
	name, value   string
	withoutDashes string
}

// readConf takes the flags of a command that are given neither on the command line nor
// in the environment from the file of --conf, as Bitcoin Core reads its bitcoin.conf.
// Names may be written without their dashes (rpcauth is rpc-auth); a name alone is
// true. A name that the command does not know is an error: a mistyped setting must not
// be left out in silence.
func readConf(c *cli.Context) error {
	name := c.String("conf")
	if name == "" {
		return nil
	}
	list, err := readSettings(name)
	if err != nil {
		return usageError(c.Command.HelpName, "--conf %s: %v", name, err)
	}
	given := make(map[string]bool)
	for _, flag := range c.Command.Flags {
		given[flag.Names()[0]] = c.IsSet(flag.Names()[0])
	}
	for _, section := range []bool{false, true} { // the network may be named in the part for all
		for _, s := range list {
			if (s.section != "") != section {
				continue
			}
			flag := flagNamed(c.Command, s.withoutDashes)
			if flag == "" || flag == "conf" {
				return usageError(c.Command.HelpName, "--conf %s: line %d: there is no setting %.80q", name, s.line, s.name)
			}
			if given[flag] || section && s.section != c.String("network") {
				continue
			}
			if err := c.Set(flag, s.value); err != nil {
				return usageError(c.Command.HelpName, "--conf %s: line %d: %s: the value %.80q is none", name, s.line, s.name, s.value)
			}
		}
	}
	return expandHomes(c)
}

func withoutDashes(name string) string { return strings.ReplaceAll(name, "-", "") }

// flagNamed is the flag of a command with a name, dashes left out.
func flagNamed(command *cli.Command, name string) string {
	i := slices.IndexFunc(command.Flags, func(f cli.Flag) bool { return withoutDashes(f.Names()[0]) == name })
	if i < 0 {
		return ""
	}
	return command.Flags[i].Names()[0]
}

func readSettings(name string) (list []setting, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(text)
		if n > maxConf {
			return nil, fmt.Errorf("it has more than %d lines", maxConf)
		}
		if text == "" {
			continue
		}
		if inside, ok := strings.CutPrefix(text, "["); ok {
			if section, ok = strings.CutSuffix(inside, "]"); !ok || section == "" {
				return nil, fmt.Errorf("line %d: want [NETWORK]", n)
			}
			continue
		}
		key, value, hasValue := strings.Cut(text, "=")
		s := setting{line: n, section: section, name: strings.TrimSpace(key), value: strings.TrimSpace(value)}
		if !hasValue {
			s.value = "true"
		}
		s.withoutDashes = withoutDashes(s.name)
		list = append(list, s)
	}
	return list, lines.Err()
}
