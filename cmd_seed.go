package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"lode/p2p"
	"lode/p2p/dnsseed"
)

func seedCommand() *cli.Command {
	return &cli.Command{
		Name:      "seed",
		Usage:     "serve DNS answers that name good nodes of the network, so that strangers can join it",
		ArgsUsage: "ZONE",
		Description: "It asks a node (--rpc) whom it knows, tries those itself, and names those that answer: A and AAAA mean\n" +
			"WebSocket on the network's port, SRV (_lode._tcp, and _lode-tls._tcp for wss) has ports. Delegate ZONE\n" +
			"to the machine on which it runs, and start nodes with --seed dns:ZONE.",
		Flags: append(append(networkFlags(), rpcFlags()...),
			&cli.StringFlag{Name: "listen", Value: ":53", Usage: "answer on `HOST:PORT`, by UDP and TCP"},
			&cli.StringFlag{Name: "name-server", DefaultText: "ns.ZONE", Usage: "the `NAME` of the machine on which this runs"},
			&cli.StringFlag{Name: "mailbox", DefaultText: "hostmaster.ZONE", Usage: "of whom runs it, as a `NAME` with a dot in place of @"},
			&cli.UintFlag{Name: "ttl", Value: 60, Usage: "let resolvers keep answers for `SECONDS`"},
			&cli.BoolFlag{Name: "private", Usage: "name nodes in private networks and on this machine, too"}),
		Action: serveSeed,
	}
}

// dnsName reads a name of the zone.
func dnsName(c *cli.Context, text string) (string, error) {
	n, _, err := dnsseed.ParseName("dns:" + text)
	if err != nil || n.Port != 0 {
		return "", usageError(c.Command.HelpName, "%q: want a name such as seed.example.org", text)
	}
	return n.Host + ".", nil
}

func serveSeed(c *cli.Context) error {
	if c.NArg() != 1 {
		return usageError(c.Command.HelpName, "want the name of the zone, such as seed.example.org")
	}
	network, err := networkOf(c)
	if err != nil {
		return err
	}
	zone := dnsseed.Zone{Port: network.spec.Defaults.Ports.WebSocket, TTL: uint32(min(c.Uint("ttl"), 86400))}
	if zone.Name, err = dnsName(c, c.Args().First()); err != nil {
		return err
	}
	for name, into := range map[string]*string{"name-server": &zone.NameServer, "mailbox": &zone.Mailbox} {
		text := c.String(name)
		if text == "" {
			text = map[string]string{"name-server": "ns.", "mailbox": "hostmaster."}[name] + zone.Name
		}
		if *into, err = dnsName(c, text); err != nil {
			return err
		}
	}
	udp, tcp, err := listenDNS(c.String("listen"))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, nil))
	log.Info("the seed answers", "zone", zone.Name, "address", udp.LocalAddr())
	prober := &dnsseed.Prober{Protocol: p2p.SubProtocol(&network.spec.Rules), Allowed: p2p.IsPublic, Book: func(ctx context.Context) (urls []string, err error) {
		cl, err := network.client(c) // with the cookie of the node that runs now
		if err != nil {
			return nil, err
		}
		var list []struct {
			URL string `json:"url"`
		}
		err = cl.Call(ctx, "getnodeaddresses", []any{0}, &list)
		for _, a := range list {
			urls = append(urls, a.URL)
		}
		return urls, err
	}}
	if c.Bool("private") {
		prober.Allowed = func(netip.Addr) bool { return true }
	}
	s := dnsseed.NewServer(zone, log)
	group, ctx := errgroup.WithContext(c.Context)
	group.Go(func() error { return s.Serve(ctx, udp, tcp) })
	group.Go(func() error { s.Probe(ctx, prober); return nil })
	return group.Wait()
}

// listenDNS opens a port for both transports.
func listenDNS(address string) (net.PacketConn, net.Listener, error) {
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		udp.Close()
		return nil, nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	return udp, tcp, nil
}
