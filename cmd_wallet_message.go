package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
	"lode/wallet/message"
)

func signMessageCommand() *cli.Command {
	return &cli.Command{
		Name: "sign-message", Usage: "sign a message with the key of an address (BIP322)", ArgsUsage: "ADDRESS [MESSAGE]", Action: walletSignMessage,
		Description: "The signature, in base64, shows that who has the key of ADDRESS knows MESSAGE. It spends\n" +
			"nothing. Sign nothing that you have not read: it is a promise in your name.",
		Flags: append(walletFlags(), messageFileFlag()),
	}
}

func verifyMessageCommand() *cli.Command {
	return &cli.Command{
		Name: "verify-message", Usage: "verify who has signed a message (BIP322)", ArgsUsage: "ADDRESS SIGNATURE [MESSAGE]", Action: walletVerifyMessage,
		Description: "It needs neither a wallet nor a node, and ends with status 1 if ADDRESS has not signed it.",
		Flags:       append(append(networkFlags(), messageFileFlag()), withEnv(&cli.BoolFlag{Name: "json", Usage: "print JSON"})...),
	}
}

func messageFileFlag() cli.Flag {
	return &cli.StringFlag{Name: "message-file", Usage: "read the message from `FILE`, byte for byte, - is standard input"}
}

// messageOf reads the message that follows so many other arguments.
func messageOf(c *cli.Context, others int) ([]byte, error) {
	file := c.String("message-file")
	if (c.NArg() > others) == (file != "") {
		return nil, usageError(c.Command.HelpName, "give MESSAGE or --message-file")
	}
	if file == "" {
		return []byte(c.Args().Get(others)), nil
	}
	in := io.ReadCloser(os.Stdin)
	if file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return nil, fmt.Errorf("reading the message: %w", err)
		}
		defer in.Close()
	}
	b, err := io.ReadAll(io.LimitReader(in, message.MaxMessage+1))
	if err == nil && len(b) > message.MaxMessage {
		err = fmt.Errorf("it has more than %d bytes", message.MaxMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	return b, nil
}

func walletSignMessage(c *cli.Context) error {
	text, err := messageOf(c, 1)
	if err != nil {
		return err
	}
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	address := c.Args().First()
	if _, err := consensus.ParseAddress(n.spec.Defaults.AddressPrefix, address); err != nil {
		return usageError(c.Command.HelpName, "%v", err)
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		passphrase, err := s.passphrase("to sign")
		if err != nil {
			return err
		}
		secret, err := s.files.OpenSecret(s.net.spec, passphrase)
		if err != nil {
			return err
		}
		signature, err := w.SignMessage(secret, address, text)
		if err != nil {
			return err
		}
		result := struct {
			Address   string `json:"address"`
			Signature string `json:"signature"`
		}{address, signature}
		return s.print(result, func(out io.Writer) { fmt.Fprintln(out, signature) })
	})
}

func walletVerifyMessage(c *cli.Context) error {
	text, err := messageOf(c, 2)
	if err != nil {
		return err
	}
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	address, signature := c.Args().First(), c.Args().Get(1)
	key, err := consensus.ParseAddress(n.spec.Defaults.AddressPrefix, address)
	if err != nil {
		return usageError(c.Command.HelpName, "%v", err)
	}
	err = message.Verify(key, text, signature)
	if err != nil && !errors.Is(err, message.ErrSignature) {
		return err
	}
	result := struct {
		Address string `json:"address"`
		Valid   bool   `json:"valid"`
	}{address, err == nil}
	s := &walletSession{Context: c}
	if printed := s.print(result, func(out io.Writer) {
		if err == nil {
			fmt.Fprintf(out, "%s has signed this message.\n", address)
		}
	}); printed != nil {
		return printed
	}
	return err
}
