package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts the flags of a command line right behind its command and the
// arguments behind "--", because urfave/cli takes nothing for a flag that stands
// behind an argument: a dropped --dry-run must be impossible. It refuses what
// the command does not know.
//
// A command whose arguments end in "...]" passes arguments on to somebody else:
// behind the first of them only a flag that the command knows, written with two
// dashes, is a flag.
func arrange(app *cli.App, args []string) ([]string, error) {
	l := line{app: app, names: []string{app.Name}}
	rest := args[1:]
	if len(rest) > 0 && rest[0] == "help" { // "help wallet send" is "wallet send --help"
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	for len(rest) > 0 {
		n, err := l.take(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	out := append([]string{args[0]}, l.names[1:]...)
	out = append(out, l.flags...)
	if l.command == nil || len(l.command.Subcommands) > 0 {
		return out, nil // only help or version is wanted
	}
	return append(append(out, "--"), l.args...), nil
}

// line is a command line that is being read.
type line struct {
	app     *cli.App
	command *cli.Command // nil before the first name
	names   []string     // lode, wallet, send
	flags   []string     // with their values
	given   []string     // the names of the flags
	args    []string
}

// take reads the next word, or two if it is a flag and its value.
func (l *line) take(words []string) (int, error) {
	word := words[0]
	switch {
	case word == "--":
		l.args = append(l.args, words[1:]...)
		return len(words), nil
	case len(word) > 1 && word[0] == '-' && !l.passesOn(word) && !l.isNumber(word):
		return l.takeFlag(words)
	case l.command != nil && len(l.command.Subcommands) == 0:
		l.args = append(l.args, word)
		return 1, nil
	}
	i := slices.IndexFunc(l.subcommands(), func(c *cli.Command) bool { return c.HasName(word) })
	if i < 0 {
		return 0, l.wrong("%q is no command of `%s`", word, l.name())
	}
	l.command = l.subcommands()[i]
	l.names = append(l.names, l.command.Name)
	return 1, nil
}

func (l *line) takeFlag(words []string) (int, error) {
	name, _, joined := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
	known := l.known()
	flag := find(known, name)
	if flag == nil {
		return 0, l.wrong("unknown flag %s", dashed(name))
	}
	for _, f := range known {
		if slices.Contains(f.Names(), name) && takesValue(f) != takesValue(flag) {
			return 0, l.wrong("%s means one thing in one command and another in the next: put it behind the command", dashed(name))
		}
	}
	n := 1
	if !joined && takesValue(flag) {
		if n = 2; len(words) < n {
			return 0, l.wrong("flag %s wants a value", dashed(name))
		}
	}
	l.flags = append(l.flags, words[:n]...)
	l.given = append(l.given, name)
	return n, nil
}

// passesOn reports whether a word with dashes is meant for somebody else: the method of a node
// that a command calls with ARGs.
func (l *line) passesOn(word string) bool {
	if l.command == nil || len(l.args) == 0 || !strings.HasSuffix(l.command.ArgsUsage, "[ARG...]") {
		return false
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	return !strings.HasPrefix(word, "--") || find(l.command.Flags, name) == nil
}

// isNumber reports whether a word is a negative number, for a command that takes
// arguments: no flag is called so.
func (l *line) isNumber(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil && l.command != nil && len(l.command.Subcommands) == 0
}

// wrong is a usage error that says where to read on.
func (l *line) wrong(format string, args ...any) error {
	return usageError(l.name(), format, args...)
}

func (l *line) name() string { return strings.Join(l.names, " ") }

func (l *line) subcommands() []*cli.Command {
	if l.command == nil {
		return l.app.Commands
	}
	return l.command.Subcommands
}

// known are the flags that the command, or one that may still be named, has.
func (l *line) known() []cli.Flag {
	flags := []cli.Flag{cli.HelpFlag}
	if l.command == nil {
		flags = append(append(flags, cli.VersionFlag), l.app.Flags...)
	} else {
		flags = append(flags, l.command.Flags...)
	}
	return append(flags, allFlags(l.subcommands())...)
}

func allFlags(commands []*cli.Command) (flags []cli.Flag) {
	for _, c := range commands {
		flags = append(append(flags, c.Flags...), allFlags(c.Subcommands)...)
	}
	return flags
}

// check looks at the line as a whole.
func (l *line) check() error {
	own := []cli.Flag{cli.HelpFlag}
	if l.command == nil {
		own = append(append(own, cli.VersionFlag), l.app.Flags...)
	} else {
		own = append(own, l.command.Flags...)
	}
	for _, asked := range []cli.Flag{cli.HelpFlag, cli.VersionFlag} {
		wanted := func(name string) bool { return slices.Contains(asked.Names(), name) }
		if slices.ContainsFunc(l.given, wanted) && find(own, asked.Names()[0]) != nil { // whatever else was begun
			l.flags, l.args = []string{dashed(asked.Names()[0])}, nil
			return nil
		}
	}
	for _, name := range l.given {
		if find(own, name) == nil {
			return l.wrong("`%s` has no flag %s", l.name(), dashed(name))
		}
	}
	if len(l.subcommands()) > 0 {
		if len(l.given) == 0 { // `lode wallet` alone lists its commands
			l.flags = []string{dashed(cli.HelpFlag.Names()[0])}
			return nil
		}
		return l.wrong("give a command of `%s`", l.name())
	}
	least, most := arity(l.command.ArgsUsage)
	switch {
	case len(l.args) < least:
		return l.wrong("`%s` wants %s", l.name(), l.command.ArgsUsage)
	case most >= 0 && len(l.args) > most:
		return l.wrong("unexpected argument %q", l.args[most])
	}
	return nil
}

// arity reads from "FILE [HEIGHT]" how many arguments a command wants; most is
// -1 if there is no limit.
func arity(usage string) (least, most int) {
	for _, word := range strings.Fields(usage) {
		switch {
		case strings.Contains(word, "..."):
			return least, -1
		case !strings.HasPrefix(word, "["):
			least++
		}
		most++
	}
	return least, most
}

func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
