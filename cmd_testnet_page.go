package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"lode/testnet/page"
)

func testnetPageCommand() *cli.Command {
	return &cli.Command{
		Name:  "page",
		Usage: "serve a page that shows all nodes side by side, with buttons for what these commands do, until Ctrl-C",
		Description: "It is served on loopback. Its address holds a secret: who has it can do to the network what you can.\n" +
			"The nodes go on when it ends.",
		Flags: testnetFlags(&cli.IntFlag{Name: "page-port", DefaultText: "one that is free", Usage: "serve it on `PORT`"}),
		Action: func(c *cli.Context) error {
			o, err := testnetOptions(c)
			if err != nil {
				return err
			}
			port := c.Int("page-port")
			if port < 0 || port > 65535 {
				return usageError(c.Command.HelpName, "--page-port %d: want 1 to 65535", port)
			}
			s, err := page.New(c.Context, o)
			if err != nil {
				return err
			}
			l, url, err := s.Listen(fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return fmt.Errorf("the port of the page: %w", err)
			}
			fmt.Fprintln(c.App.Writer, url)
			return s.Serve(l)
		},
	}
}
