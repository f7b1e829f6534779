package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/rpc/client"
	"lode/wallet"
	"lode/wallet/descriptor"
)

// maxDescriptorFile bounds what is read of a file of descriptors, in bytes.
const maxDescriptorFile = 1 << 20

func descriptorCommand() *cli.Command {
	return &cli.Command{
		Name:  "descriptor",
		Usage: "export the descriptors of the keys, and import others",
		Subcommands: []*cli.Command{
			{Name: "export", Usage: "print the descriptors, receive and change keys together", Action: descriptorExport,
				Flags: walletFileFlags(&cli.BoolFlag{Name: "private", Usage: "with private keys: whoever reads them has the money"})},
			{Name: "import", Usage: "take up descriptors, to watch them or to spend", ArgsUsage: "DESCRIPTOR|FILE|-", Action: descriptorImport,
				Description: "FILE has one descriptor a line, or JSON as Bitcoin Core's listdescriptors prints it or its\n" +
					"importdescriptors takes it; - is standard input. Descriptors with private keys are read from\n" +
					"there alone, as everybody may see the arguments of a command, and kept encrypted.\n" +
					"Addresses come from a descriptor that is --active, and coins of one without private keys\n" +
					"are watched.",
				Flags: walletFileFlags(
					&cli.BoolFlag{Name: "active", Usage: "take new addresses from it, and no more from what they came from"},
					&cli.BoolFlag{Name: "internal", Usage: "these are change addresses"},
					&cli.StringFlag{Name: "label", Usage: "remember `TEXT` with the address of one without a range"},
					&cli.UintFlag{Name: "range", Usage: "count its first `N` addresses in any case"},
					&cli.UintFlag{Name: "next", Usage: "its first `N` addresses were handed out before"},
					&cli.Int64Flag{Name: "from", DefaultText: "since the wallet was made", Usage: "look for coins in blocks from this `HEIGHT` on"},
					&cli.BoolFlag{Name: "new", Usage: "nobody has paid it yet: look for coins in new blocks alone"})},
		},
	}
}

func descriptorExport(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if !c.Bool("private") {
			list := w.Descriptors()
			return s.print(list, func(out io.Writer) {
				for _, text := range w.WholeDescriptors() {
					fmt.Fprintln(out, text)
				}
			})
		}
		if w.WatchOnly() {
			return wallet.ErrWatchOnly
		}
		secret, err := s.openSecret("to show the private keys")
		if err != nil {
			return err
		}
		texts, err := w.PrivateDescriptors(secret)
		if err != nil {
			return err
		}
		return s.print(texts, func(out io.Writer) {
			for _, text := range texts {
				fmt.Fprintln(out, text)
			}
		})
	})
}

// importRequest is one descriptor to import, as Bitcoin Core's importdescriptors
// has it.
type importRequest struct {
	Text      string          `json:"desc"`
	Active    bool            `json:"active"`
	Internal  bool            `json:"internal"`
	Label     string          `json:"label"`
	Range     json.RawMessage `json:"range"`
	Next      uint32          `json:"next_index"`
	Timestamp json.RawMessage `json:"timestamp"`

	parsed *descriptor.Descriptor
}

func descriptorImport(c *cli.Context) error {
	name := "lode wallet descriptor import"
	if c.Args().Len() != 1 {
		return usageError(name, "give one descriptor or file")
	}
	if c.IsSet("from") && (c.Bool("new") || c.Int64("from") < 0 || c.Int64("from") > 1<<32-1) {
		return usageError(name, "--from wants a height, and not --new")
	}
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	requests, err := s.readRequests(c.Args().First())
	if err != nil {
		return err
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error { return s.importAll(w, requests) })
}

// readRequests reads what is to be imported.
func (s *walletSession) readRequests(arg string) ([]*importRequest, error) {
	given, source := []byte(arg), ""
	var err error
	switch {
	case arg == "-":
		source = "standard input: "
		given, err = io.ReadAll(io.LimitReader(os.Stdin, maxDescriptorFile))
	case !strings.Contains(arg, "("):
		source = arg + ": "
		given, err = readSmall(arg, maxDescriptorFile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading descriptors: %w", err)
	}
	list, err := parseRequests(string(given))
	if err != nil {
		return nil, fmt.Errorf("%s%w", source, err)
	}
	net := descriptor.NetworkOf(s.net.spec)
	for i, r := range list {
		if r.parsed, err = descriptor.Parse(r.Text, net); err != nil {
			return nil, fmt.Errorf("%sdescriptor %d: %w", source, i+1, err)
		}
		if r.parsed.IsPrivate() && source == "" {
			return nil, errors.New("a descriptor with a private key was given as an argument, which others can see and shells remember: give it in a file or by -")
		}
		r.Active, r.Internal = r.Active || s.Bool("active"), r.Internal || s.Bool("internal")
		if s.IsSet("label") {
			r.Label = s.String("label")
		}
		if s.IsSet("next") {
			r.Next = uint32(min(s.Uint("next"), 1<<31-1))
		}
	}
	return list, nil
}

// parseRequests reads lines, or the JSON of Bitcoin Core.
func parseRequests(text string) (list []*importRequest, err error) {
	switch text = strings.TrimSpace(text); {
	case strings.HasPrefix(text, "{"):
		var listed struct{ Descriptors []*importRequest }
		err = json.Unmarshal([]byte(text), &listed)
		list = listed.Descriptors
	case strings.HasPrefix(text, "["):
		err = json.Unmarshal([]byte(text), &list)
	default:
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				list = append(list, &importRequest{Text: line})
			}
		}
	}
	if err != nil {
		return nil, errors.New("this JSON is not a list of descriptors as Bitcoin Core writes it")
	}
	if len(list) == 0 {
		return nil, errors.New("there is no descriptor in it")
	}
	return list, nil
}

// least is how many keys count in any case.
func (r *importRequest) least(flag uint) (uint32, error) {
	var both [2]uint32
	switch err := json.Unmarshal(r.Range, &both); {
	case len(r.Range) == 0:
		return uint32(min(flag, 1<<31-1)), nil
	case err == nil:
		return min(both[1], 1<<31-1) + 1, nil
	}
	if err := json.Unmarshal(r.Range, &both[1]); err != nil {
		return 0, errors.New("its range is neither a number nor two")
	}
	return min(both[1], 1<<31-1) + 1, nil
}

func (s *walletSession) importAll(w *wallet.Wallet, list []*importRequest) error {
	var secret *wallet.Secret
	var passphrase string
	for _, r := range list {
		if !r.parsed.IsPrivate() || secret != nil || w.WatchOnly() {
			continue
		}
		var err error
		if passphrase, err = s.passphrase("to keep the private keys"); err != nil {
			return err
		}
		if secret, err = s.files.OpenSecret(s.net.spec, passphrase); err != nil {
			return err
		}
	}
	for i, r := range list {
		least, err := r.least(s.Uint("range"))
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", i+1, err)
		}
		o := wallet.ImportOptions{
			Descriptor: r.parsed, Secret: secret, Active: r.Active, Internal: r.Internal, Next: r.Next, Least: least, Label: r.Label, Fresh: s.Bool("new"),
		}
		var created int64
		if json.Unmarshal(r.Timestamp, &created) == nil && created > 1 {
			o.Created = time.Unix(created, 0)
		}
		if err := w.Import(s.Context.Context, o); err != nil {
			return fmt.Errorf("descriptor %d: %w; nothing was imported", i+1, err)
		}
	}
	if secret != nil {
		if err := s.files.WriteSecret(secret, passphrase, workFactor); err != nil {
			return err
		}
	}
	if err := w.Save(); err != nil {
		return err
	}
	return s.imported(w, len(list))
}

// imported looks for the coins of what was imported.
func (s *walletSession) imported(w *wallet.Wallet, n int) error {
	var err error
	if s.IsSet("from") {
		progress, done := s.scanProgress()
		err = w.Rescan(s.Context.Context, s.node, uint32(s.Int64("from")), progress)
		done()
		err = s.net.explain(s.client, err)
	} else {
		err = s.sync(w)
	}
	scanned := err == nil
	if err != nil && !errors.Is(err, client.ErrNotRunning) {
		return fmt.Errorf("what was given is imported, but was not scanned for: %w", err)
	}
	result := struct {
		Imported int  `json:"imported"`
		Scanned  bool `json:"scanned"`
		wallet.Found
	}{n, scanned, w.Found()}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "Imported: %d\n", n)
		if !scanned {
			fmt.Fprintln(out, "No node answers, so its coins were not looked for: `lode wallet balance` will do that.")
			return
		}
		fmt.Fprintln(out, result.Found)
	})
}
