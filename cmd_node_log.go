package main

import (
	"log/slog"
	"os"

	"github.com/urfave/cli/v2"
)

// logFlags are the flags about the log.
func logFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "log `LEVEL`: debug, info, warn or error"},
	)
}

// readLogFlags reads the flags about the log.
func (n *nodeConfig) readLogFlags(c *cli.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return usageError(c.Command.HelpName, "--log-level %q: want debug, info, warn or error", c.String("log-level"))
	}
	n.log = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	return nil
}
