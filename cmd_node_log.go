package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"lode/internal/logcat"
)

// logFlags are the flags about the log.
func logFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "log `LEVEL`: debug, info, warn or error"},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "write the log as `FORMAT`: text, or json, an object a line"},
		&cli.StringFlag{Name: "log-file", DefaultText: "standard output", Usage: "append the log to `FILE`, which SIGHUP opens again"},
	)
}

// readLogFlags reads the flags about the log.
func (n *nodeConfig) readLogFlags(c *cli.Context) error {
	if err := n.logLevel.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return usageError(c.Command.HelpName, "--log-level %q: want debug, info, warn or error", c.String("log-level"))
	}
	n.logFile = c.String("log-file")
	switch c.String("log-format") {
	case "text":
	case "json":
		n.logJSON = true
	default:
		return usageError(c.Command.HelpName, "--log-format %.40q: want text or json", c.String("log-format"))
	}
	return nil
}

// openLog begins the log, to a file or to stdout; end writes what is left of it.
// From then on a reader who is gone costs lines of the log and nothing else.
func (n *nodeConfig) openLog(stdout io.Writer) (end func(), err error) {
	var out *logWriter
	if n.logFile == "" {
		out = newLogWriter(stdout)
	} else if out, err = newLogFile(n.logFile); err != nil {
		return nil, fmt.Errorf("--log-file: %w", err)
	} else {
		reopen := out.reopen
		hangup.Store(&reopen)
	}
	if n.logFile == "" {
		n.logPath = outputFile()
	} else if n.logPath, err = filepath.Abs(n.logFile); err != nil {
		n.logPath = n.logFile
	}
	surviveBrokenPipe()
	n.logLevels = logcat.New(n.logLevel)
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	var lines slog.Handler = slog.NewTextHandler(out, options)
	if n.logJSON {
		lines = slog.NewJSONHandler(out, options)
	}
	n.log = slog.New(n.logLevels.Handler(lines))
	return func() {
		out.close()
		hangup.Store(nil)
	}, nil
}

// outputFile is the file that standard output was led into, if it can be told: Linux
// says it.
func outputFile() string {
	info, err := os.Stdout.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	name, err := os.Readlink("/proc/self/fd/1")
	if err != nil {
		return ""
	}
	return name
}
