package main

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/miner"
)

func chainSpecCommand() *cli.Command {
	return &cli.Command{
		Name:      "spec",
		Usage:     "print the chainspec of a network, check a file, or mine the genesis block of a draft",
		ArgsUsage: "[FILE]",
		Description: "Without FILE it prints the chainspec that --network names. With FILE it checks that\n" +
			"chainspec, and says which field is wrong. With --mine, FILE is a draft whose\n" +
			"rules.genesis may be missing or lack its work: the finished chainspec is printed.\n" +
			"A draft may begin as a copy of an embedded network with another name:\n" +
			"   lode chain spec --network testnet > mine.json   (edit the name, the ports, the\n" +
			"        prefixes and the magic, remove rules.genesis)\n" +
			"   lode chain spec --mine mine.json > mynet.json\n" +
			"   lode node --network mynet.json\n" +
			"--explain says what each field is for.",
		Flags: append(networkFlags(),
			&cli.BoolFlag{Name: "explain", Usage: "say what the fields of a chainspec are for"},
			&cli.BoolFlag{Name: "mine", Usage: "mine the genesis block of the draft FILE"},
			&cli.StringFlag{Name: "message", DefaultText: "Lode and the date", Usage: "put `TEXT` into a genesis block that is missing"},
			&cli.Int64Flag{Name: "time", DefaultText: "now", Usage: "date a genesis block that is missing `SECONDS` after 1970"},
		),
		Action: func(c *cli.Context) error {
			file := c.Args().First()
			switch {
			case c.Bool("explain"):
				return explainSpec(c)
			case c.Bool("mine") && file == "":
				return usageError(c.Command.HelpName, "--mine wants the FILE of a draft")
			case c.Bool("mine"):
				return mineSpec(c, file)
			case file == "":
				return printSpec(c)
			}
			return checkSpec(c, file)
		},
	}
}

func printSpec(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	_, err = c.App.Writer.Write(n.spec.JSON())
	return err
}

func checkSpec(c *cli.Context, file string) error {
	doc, err := readSmall(file, maxSpecFile)
	if err != nil {
		return fmt.Errorf("reading the chainspec: %w", err)
	}
	spec, err := consensus.ParseSpec(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	warnOfCopy(c, spec)
	id := spec.Rules.ID()
	_, err = fmt.Fprintf(c.App.Writer, "name     %s\nrules    %x\ngenesis  %s\n", spec.Name, id[:], spec.Rules.GenesisHash())
	return err
}

func mineSpec(c *cli.Context, file string) error {
	draft, err := readSmall(file, maxSpecFile)
	if err != nil {
		return fmt.Errorf("reading the draft: %w", err)
	}
	now := time.Now().UTC()
	message := c.String("message")
	if message == "" {
		message = "Lode " + now.Format(time.DateOnly)
	}
	seconds := now.Unix()
	if c.IsSet("time") {
		seconds = c.Int64("time")
	}
	if seconds < 0 || seconds > 1<<32-1 {
		return usageError(c.Command.HelpName, "--time %d: want 0 to 4294967295", seconds)
	}
	doc, err := consensus.MineGenesis(c.Context, draft, uint32(seconds), message, searchGenesis)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if spec, err := consensus.ParseSpec(doc); err == nil {
		warnOfCopy(c, spec)
	}
	_, err = c.App.Writer.Write(doc)
	return err
}

// searchGenesis mines on all cores and shows how far it is.
func searchGenesis(ctx context.Context, h *consensus.Header, target *consensus.Target) error {
	expected := hashesFor(target)
	fmt.Fprintf(os.Stderr, "Mining the genesis block: about %.3g hashes.\n", expected)
	progress, end := showProgress(os.Stderr, "hashes of the expected number:")
	defer end()
	return miner.SearchHeader(ctx, h, target, func(hashes uint64) { progress(int64(hashes), int64(expected)) })
}

// hashesFor is how many hashes a target takes on average.
func hashesFor(target *consensus.Target) float64 {
	work := consensus.WorkFromBits(consensus.BitsFromTarget(*target))
	f, _ := new(big.Float).SetInt(work.ToBig()).Float64()
	return f
}

// explainSpec says what the fields of a chainspec are for.
func explainSpec(c *cli.Context) error {
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, f := range consensus.SpecFields {
		fmt.Fprintf(w, "%s\t%s\n", f.Path, f.Doc)
	}
	return w.Flush()
}

// warnOfCopy says what a chainspec has in common with an embedded network, of which
// it is a copy with another name: nodes and wallets of both would be mistaken for
// each other.
func warnOfCopy(c *cli.Context, spec *consensus.Spec) {
	for _, name := range consensus.SpecNames {
		other, err := consensus.EmbeddedSpec(name)
		if err != nil {
			continue
		}
		var same []string
		own, theirs := &spec.Defaults, &other.Defaults
		if bytes.Equal(own.Magic, theirs.Magic) {
			same = append(same, "defaults.magic")
		}
		if own.AddressPrefix == theirs.AddressPrefix {
			same = append(same, "defaults.address_prefix")
		}
		if own.SilentPrefix == theirs.SilentPrefix {
			same = append(same, "defaults.silent_prefix")
		}
		if own.Ports.WebSocket == theirs.Ports.WebSocket || own.Ports.RPC == theirs.Ports.RPC {
			same = append(same, "defaults.ports")
		}
		if len(same) > 0 {
			fmt.Fprintf(c.App.ErrWriter, "lode: warning: %s has %s of %s: choose others, or nodes, files and addresses of the two are mistaken for each other\n",
				spec.Name, strings.Join(same, ", "), name)
		}
	}
}
