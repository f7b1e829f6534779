// Command lode is a minimal proof-of-work blockchain node: a full node, a miner,
// a wallet and the tools around them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
)

const version = "0.1.0"

// The exit statuses.
const (
	exitDone = iota
	exitFailed
	exitUsage
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run executes one command line and gives its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := stopOnSignal(context.Background())
	defer stop()
	app := newApp(stdout, stderr)
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		printInTime(stderr, "lode: "+oneLine(err)+"\n")
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		printInTime(stderr, "lode: interrupted\n")
	default:
		printInTime(stderr, "lode: "+oneLine(err)+"\n")
	}
	return exitFailed
}

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:            "lode",
		Usage:           "a minimal proof-of-work blockchain node, miner and wallet",
		Version:         version,
		Commands:        []*cli.Command{nodeCommand(), mineCommand(), walletCommand(), rpcCommand(), explainCommand(), rpcAuthCommand(), chainCommand(), testnetCommand(), seedCommand(), healthCommand()},
		HideHelpCommand: true,
		Writer:          stdout,
		ErrWriter:       stderr,
		ExitErrHandler:  func(*cli.Context, error) {}, // run does it
	}
	app.OnUsageError = usageFailure
	prepare(app.Commands)
	return app
}

// prepare gives all commands the same manners.
func prepare(commands []*cli.Command) {
	for _, cmd := range commands {
		cmd.OnUsageError = usageFailure
		cmd.HideHelpCommand = true
		own := cmd.Before
		cmd.Before = func(c *cli.Context) error {
			if own != nil {
				if err := own(c); err != nil {
					return err
				}
			}
			return expandHomes(c)
		}
		prepare(cmd.Subcommands)
	}
}

// errUsage is the kind of every error of a command line that makes no sense.
var errUsage = errors.New("wrong usage")

// usageError says what is wrong with the command line of a command.
func usageError(command, format string, args ...any) error {
	return fmt.Errorf("%w: %s; see `%s --help`", errUsage, fmt.Sprintf(format, args...), command)
}

// usageFailure is for what only the flag parser can find, such as a number that
// is none.
func usageFailure(c *cli.Context, err error, _ bool) error {
	name := "lode"
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	return usageError(name, "%s", withoutTypes(err))
}

// asType is what the flag parser says of a value from the environment.
var asType = regexp.MustCompile(` as [a-z0-9 ]+ value from environment`)

// withoutTypes is what an error of the flag parser says, without the Go library's
// words: the value and its flag are named already.
func withoutTypes(err error) string {
	text := asType.ReplaceAllString(err.Error(), " from environment")
	for _, tail := range []string{": parse error", ": strconv.", ": time: "} {
		text, _, _ = strings.Cut(text, tail)
	}
	return text
}

// oneLine keeps an error on one line, whatever it quotes.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
