package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/notify"
	"lode/internal/poke"
	"lode/mempool"
	"lode/miner"
	"lode/miner/stratum"
	"lode/p2p"
	"lode/rpc"
	"lode/rpc/electrum"
	"lode/rpc/esplora"
	"lode/rpc/faucet"
	"lode/rpc/scripthash"
	"lode/rpc/stream"
	"lode/rpc/walletrpc"
	"lode/rpc/zmq"
)

// nodeParts are the parts of a node that runs.
type nodeParts struct {
	ledger    *chain.Chain
	pool      *mempool.Pool
	peers     *p2p.Node
	templates *miner.Templates
	source    *miner.Local       // of mining
	mining    *miner.Miner       // nil if the node does not mine
	miners    *stratum.Server    // nil if it serves no pool
	wallets   *walletrpc.Manager // nil if it serves no wallets
	events    *stream.Feed
	zmq       *zmq.Publisher    // nil if nothing is published
	scripts   *scripthash.Index // what happens to scripts
	summary   *scripthash.Summarizer
	esplora   *esplora.Server
	electrum  *electrum.Server // nil if it serves none
	faucet    *faucet.Faucet   // nil if it pays nobody
	autoMine  *faucet.AutoMiner
}

// run wires a node, in the order in which its parts depend on each other, and
// closes them in reverse. The ports come first, so that a node that cannot have
// them leaves nothing behind.
func (n *nodeConfig) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := n.takePlaces(); err != nil {
		return err
	}
	ports, err := n.openPorts()
	defer ports.close()
	if err != nil {
		return err
	}
	sigs := sigcheck.New(200_000)
	ledger, err := n.openLedger(ctx, sigs)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		n.log.Info("node stopped before its ledger was ready: the next start goes on from here")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	if err := n.checkTime(ledger.Tip()); err != nil {
		return err
	}
	p := &nodeParts{ledger: ledger}
	p.pool = mempool.New(mempool.Config{Ledger: ledger, Sigs: sigs, Policy: n.policy, Now: n.clock.Wall.Now, Log: n.log})
	p.peers = n.newPeers(ledger, p.pool, ports)
	p.scripts = scripthash.New(ledger, p.pool)
	defer p.scripts.Close()
	p.summary = scripthash.NewSummarizer(p.scripts)
	p.esplora = n.newEsplora(p)
	p.templates = n.newTemplates(ledger, p.pool, p.peers)
	if p.miners, err = n.newPool(ledger, p.templates); err != nil {
		return err
	}
	p.source, p.mining = n.newMiner(ledger, p.templates)
	if p.wallets, err = n.newWallets(p); err != nil {
		return err
	}
	if p.wallets != nil {
		defer func() { err = errors.Join(err, p.wallets.Close()) }()
		p.wallets.LoadAll(ctx)
	}
	if err := n.openZMQ(ctx, p); err != nil {
		return err
	}
	closeFaucet, err := n.openFaucet(ctx, p)
	defer func() { err = errors.Join(err, closeFaucet()) }()
	if err != nil {
		return err
	}
	if err := n.openEvents(p); err != nil {
		return err
	}
	release, password, err := n.publish(ports.rpc[0].Addr())
	if err != nil {
		return err
	}
	defer release()
	removePID, err := n.writePID()
	if err != nil {
		return err
	}
	defer removePID()
	run := notify.New(n.log)
	defer run.Close()
	server := rpc.New(n.rpcConfig(p, password, stop))
	p.esplora.Use(server)
	p.electrum = n.newElectrum(p, server)

	tip := ledger.Tip()
	n.log.Info("node started", "version", version, "network", n.spec.Name, "height", tip.Height, "tip", tip.Hash,
		"rpc", ports.callers(), "peers", n.listen, "tcp", n.listenTCP, "directory", n.dir)
	n.warnAlone(p)
	run.Run(n.commands.startup, "")
	err = n.serve(ctx, p, server, ports, run, stop)
	n.log.Info("node stopped", "height", ledger.Tip().Height)
	return err
}

// checkTime refuses a clock by which the tip is from the future: no block could follow
// it, and none would be believed. Where the time may be moved by a call the tip may be
// from such a time, unless a flag says what time it is.
func (n *nodeConfig) checkTime(tip consensus.State) error {
	drift := time.Duration(n.spec.Defaults.MaxDrift) * time.Second
	ahead := time.Unix(int64(tip.Time), 0).Sub(n.clock.Wall.Now())
	if ahead <= drift || n.spec.Defaults.MockClock && !n.mocked {
		return nil
	}
	return fmt.Errorf("the ledger contains a block which appears to be from the future: that at height %d is %s ahead of this machine's clock; set the clock right and start again",
		tip.Height, ahead.Round(time.Second))
}

// serve runs the parts of a node until ctx ends or one of them fails, and saves
// what is kept beside the ledger. stop ends it.
func (n *nodeConfig) serve(ctx context.Context, p *nodeParts, server *rpc.Server, ports *ports, run *notify.Runner, stop func()) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, ports.rpc...) })
	group.Go(func() error { return p.peers.Run(ctx) })
	group.Go(func() error { n.askSeeds(ctx, p.peers); return nil })
	group.Go(func() error { return p.events.Run(ctx) })
	group.Go(func() error { return n.serveProfiles(ctx) })
	group.Go(func() error { n.keepMemory(ctx); return nil })
	group.Go(func() error { n.watch(ctx, p, run); return nil })
	group.Go(func() error { n.loadFiles(ctx, p.ledger); return nil })
	group.Go(func() error { <-ctx.Done(); run.Run(n.commands.shutdown, ""); return nil })
	group.Go(func() error { return p.ledger.RunIndexes(ctx) })
	group.Go(func() error { return p.pool.Run(ctx) })
	group.Go(func() error { return n.tellTips(ctx, p, stop) })
	group.Go(func() error { return n.report(ctx, p) })
	group.Go(func() error { return p.ledger.RunSnapshot(ctx) })
	group.Go(func() error { return p.templates.Run(ctx) })
	estimates := filepath.Join(n.dir, mempool.EstimatesFileName)
	p.pool.LoadEstimates(estimates, n.estimatesAge)
	group.Go(func() error { n.keepEstimates(ctx, p.pool, estimates); return nil })
	group.Go(func() error { n.loadPool(ctx, p); return nil })
	if p.mining != nil {
		group.Go(func() error { return p.mining.Run(ctx) })
	}
	if p.wallets != nil {
		group.Go(func() error { return p.wallets.Run(ctx) })
	}
	if p.electrum != nil {
		group.Go(func() error { return n.serveElectrum(ctx, p.electrum, ports) })
	}
	if p.zmq != nil {
		group.Go(func() error { return p.zmq.Run(ctx) })
	}
	if p.miners != nil {
		group.Go(func() error { return p.miners.Serve(ctx, ports.miners) })
	}
	return errors.Join(group.Wait(), n.savePool(p), p.pool.SaveEstimates(estimates))
}

// loadPool takes in the mempool that the last run has left, unless the user wants none.
func (n *nodeConfig) loadPool(ctx context.Context, p *nodeParts) {
	if !n.keepPool {
		p.pool.LoadNone()
		return
	}
	p.peers.Resubmit(p.pool.Load(ctx, filepath.Join(n.dir, mempool.FileName))...)
}

// savePool leaves the mempool for the next run.
func (n *nodeConfig) savePool(p *nodeParts) error {
	if !n.keepPool {
		return nil
	}
	return p.pool.Save(filepath.Join(n.dir, mempool.FileName), slices.Collect(maps.Keys(p.peers.Unbroadcast()))...)
}

// keepEstimates saves every hour what fee estimates rest on: a kill costs no more.
func (n *nodeConfig) keepEstimates(ctx context.Context, pool *mempool.Pool, file string) {
	hourly := n.clock.Chores.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hourly.C:
		}
		if err := pool.SaveEstimates(file); err != nil {
			n.log.Warn("fee estimates are not saved", "error", err)
			continue
		}
		n.log.Info("Flushed fee estimates to " + mempool.EstimatesFileName + ".") // Bitcoin Core's words
	}
}

// tellTips logs new tips, and ends with an error when the ledger has failed. stop is
// called at the height where the node is to stop.
func (n *nodeConfig) tellTips(ctx context.Context, p *nodeParts, stop func()) error {
	ledger := p.ledger
	poked := poke.New()
	cancel := ledger.Subscribe(func() { poke.Send(poked) })
	defer cancel()
	const every = 2 * time.Second // while many blocks come at once, a line in a while is enough
	last, due := ledger.Tip(), time.NewTimer(every)
	defer due.Stop()
	for {
		quiet := true
		select {
		case <-ctx.Done():
			return nil
		case <-ledger.Failed():
			return ledger.Err()
		case <-poked:
			quiet = ledger.Tip().Height != last.Height+1
		case <-due.C:
			quiet = false
			due.Reset(every)
		}
		tip := ledger.Tip()
		if n.stopAt > 0 && uint(tip.Height) >= n.stopAt && ctx.Err() == nil {
			n.log.Info("the height of --stopatheight is reached", "height", tip.Height)
			stop()
		}
		if p.source != nil && p.source.HasMined(tip.Hash) { // it has a line already
			last = tip
		}
		if !quiet && tip.Hash != last.Hash {
			n.log.Info("new tip", "height", tip.Height, "hash", tip.Hash, "time", time.Unix(int64(tip.Time), 0).UTC().Format(time.DateTime))
			last = tip
		}
	}
}
