package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
)

// withEnv lets flags come from the environment: --data-dir from LODE_DATA_DIR.
// A flag that says what to do this one time (--to, --yes) is not given to it: a
// forgotten variable must not pay anybody.
func withEnv(flags ...cli.Flag) []cli.Flag {
	for _, flag := range flags {
		env := []string{"LODE_" + strings.ToUpper(strings.ReplaceAll(flag.Names()[0], "-", "_"))}
		switch f := flag.(type) {
		case *cli.StringFlag:
			f.EnvVars = env
		case *cli.StringSliceFlag:
			f.EnvVars = env
		case *cli.BoolFlag:
			f.EnvVars = env
		case *cli.IntFlag:
			f.EnvVars = env
		case *cli.Int64Flag:
			f.EnvVars = env
		case *cli.UintFlag:
			f.EnvVars = env
		case *cli.Uint64Flag:
			f.EnvVars = env
		case *cli.DurationFlag:
			f.EnvVars = env
		default:
			panic(fmt.Sprintf("flag --%s has a type that withEnv does not know", flag.Names()[0]))
		}
	}
	return flags
}

// isPath reports whether a flag wants the name of a file or a directory.
func isPath(f *cli.StringFlag) bool {
	return strings.Contains(f.Usage, "`FILE`") || strings.Contains(f.Usage, "`DIRECTORY`")
}

// expandHomes has "~/x" mean x in the user's home, as a value of a flag that names a
// file: a shell leaves it as it is behind "=" and in the environment.
func expandHomes(c *cli.Context) error {
	for _, flag := range c.Command.Flags {
		f, ok := flag.(*cli.StringFlag)
		if !ok || !isPath(f) {
			continue
		}
		value := c.String(f.Name)
		rest, ok := strings.CutPrefix(value, "~")
		if !ok || rest != "" && !os.IsPathSeparator(rest[0]) {
			continue
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("--%s %s: %w", f.Name, value, err)
		}
		if err := c.Set(f.Name, home+rest); err != nil {
			return err
		}
	}
	return nil
}

// networkFlags are the flags of every command.
func networkFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "network", Value: consensus.SpecNames[0], Usage: strings.Join(consensus.SpecNames, ", ") + ", or the `FILE` of a chainspec"},
		&cli.StringFlag{Name: "datadir", DefaultText: "~/.lode", Usage: "`DIRECTORY` of all data; each network has its own inside"},
	)
}

// ledgerFlags are the further flags of every command that opens a ledger.
func ledgerFlags() []cli.Flag {
	return withEnv(&cli.Int64Flag{Name: "dbcache", Value: chain.DefaultCache >> 20,
		Usage: fmt.Sprintf("keep up to `MB` of coins in memory, %d at least, before they are written to disk", chain.MinCache>>20)})
}

// cacheSize is what --dbcache asks for, in bytes.
func cacheSize(c *cli.Context) (int64, error) {
	const most = 1 << 20 // MB, more than any machine has
	mb := c.Int64("dbcache")
	if mb < chain.MinCache>>20 || mb > most {
		return 0, usageError(c.Command.HelpName, "--dbcache %d: want %d to %d", mb, chain.MinCache>>20, most)
	}
	return mb << 20, nil
}

// network is what --network and --datadir come down to.
type network struct {
	spec    *consensus.Spec
	arg     string // what --network was
	datadir string
	dir     string // of this network, inside datadir
}

// Files that a node leaves in its directory while it runs.
const (
	cookieFile     = ".cookie"      // user:password of its RPC, mode 0600
	rpcAddressFile = ".rpc-address" // HOST:PORT where its RPC listens
)

// Bounds of what is read of small files, in bytes.
const (
	maxSpecFile    = 16 << 20 // a chainspec holds a block
	maxAddressFile = 512
)

// networkOf resolves --network and --datadir. It touches nothing on disk.
func networkOf(c *cli.Context) (*network, error) {
	n := &network{arg: c.String("network"), datadir: c.String("datadir")}
	if n.datadir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("where to keep data: %w; give --datadir", err)
		}
		n.datadir = filepath.Join(home, ".lode")
	}
	var err error
	if n.spec, err = loadSpec(n.arg); err != nil {
		return nil, err
	}
	n.dir = filepath.Join(n.datadir, n.spec.Name)
	return n, nil
}

// loadSpec reads an embedded network by its name, or any by its file: what
// contains a path separator or ends in ".json".
func loadSpec(arg string) (*consensus.Spec, error) {
	if !strings.ContainsRune(arg, filepath.Separator) && !strings.HasSuffix(arg, ".json") {
		spec, err := consensus.EmbeddedSpec(arg)
		if err != nil {
			return nil, fmt.Errorf("%w; a file ends in .json", err)
		}
		return spec, nil
	}
	doc, err := readSmall(arg, maxSpecFile)
	if err != nil {
		return nil, fmt.Errorf("reading the chainspec: %w", err)
	}
	spec, err := consensus.ParseSpec(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	return spec, nil
}

func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b, nil
}
