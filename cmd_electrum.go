package main

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"lode/chain"
	"lode/rpc"
	"lode/rpc/electrum"
	"lode/rpc/esplora"
)

// electrumFlags are the flags of a node about the wallets that it serves by Electrum's
// protocol and by Esplora's interface.
func electrumFlags() []cli.Flag {
	const also = "; turns on --addrindex and --txindex"
	return withEnv(
		&cli.BoolFlag{Name: "open-esplora", Usage: "let other machines use Esplora's interface (/api) on the RPC port too, without a password"},
		&cli.StringFlag{Name: "electrum", DefaultText: "off", Usage: "serve wallets by Electrum's protocol on `HOST:PORT`" + also},
		&cli.StringFlag{Name: "electrum-tls", DefaultText: "off", Usage: "serve them with TLS and the certificate of --tls-cert on `HOST:PORT`" + also},
		&cli.StringFlag{Name: "electrum-ws", DefaultText: "off", Usage: "serve them by WebSocket on `HOST:PORT`, web pages those of --allow-origin alone; with TLS if there is a --tls-cert" + also},
	)
}

// electrumConfig is what these flags come to; empty for none.
type electrumConfig struct{ lines, tls, sockets string }

func (e *electrumConfig) on() bool { return *e != electrumConfig{} }

// readElectrumFlags comes after those of the ledger and of peers.
func (n *nodeConfig) readElectrumFlags(c *cli.Context) error {
	n.openEsplora = c.Bool("open-esplora")
	n.electrum = electrumConfig{c.String("electrum"), c.String("electrum-tls"), c.String("electrum-ws")}
	for _, address := range []*string{&n.electrum.lines, &n.electrum.tls, &n.electrum.sockets} {
		if *address == "off" {
			*address = ""
		}
	}
	if n.electrum.tls != "" && n.tls == nil {
		return usageError(c.Command.HelpName, "--electrum-tls needs a certificate: give --tls-cert and --tls-key")
	}
	if !n.electrum.on() {
		return nil
	}
	if n.prune != chain.PruneNever {
		return usageError(c.Command.HelpName, "--electrum is incompatible with --prune: it needs the indexes of addresses and of transactions, and they need all blocks")
	}
	n.addrIndex, n.txIndex = true, true
	return nil
}

// newEsplora prepares Esplora's interface.
func (n *nodeConfig) newEsplora(p *nodeParts) *esplora.Server {
	return esplora.New(esplora.Config{Spec: n.spec, Ledger: p.ledger, Pool: p.pool, Index: p.scripts, Summary: p.summary, Log: n.log})
}

// newElectrum prepares the server; nil if there is none.
func (n *nodeConfig) newElectrum(p *nodeParts, calls *rpc.Server) *electrum.Server {
	if !n.electrum.on() || n.places.electrum == 0 {
		return nil
	}
	return electrum.New(electrum.Config{
		Spec: n.spec, Ledger: p.ledger, Index: p.scripts, Summary: p.summary, Node: calls,
		Software: "Lode " + version, Origins: n.origins, MaxConnections: n.places.electrum, Log: n.log,
	})
}

// serveElectrum runs the server on its ports until ctx ends.
func (n *nodeConfig) serveElectrum(ctx context.Context, s *electrum.Server, ports *ports) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	serve := func(l net.Listener, secure bool, with func(context.Context, net.Listener) error) {
		if l == nil {
			return
		}
		if secure {
			l = tls.NewListener(l, n.tls)
		}
		group.Go(func() error { return with(ctx, l) })
	}
	serve(ports.electrum, false, s.Serve)
	serve(ports.electrumTLS, true, s.Serve)
	serve(ports.electrumWS, n.tls != nil, s.ServeWebSocket)
	return group.Wait()
}
