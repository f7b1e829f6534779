package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
	"lode/internal/notify"
	"lode/internal/poke"
	"lode/rpc"
)

// The commands of an operator come from the command line or the environment alone,
// and never from a caller of the RPC.
type commands struct {
	block, alert, startup, shutdown string
}

// notifyFlags are the flags about what is run, read and left for others.
func notifyFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "blocknotify", Usage: "run `COMMAND` in a shell for each new block of the active chain, once the node is synced: %s is its hash"},
		&cli.StringFlag{Name: "alertnotify", Usage: "run `COMMAND` in a shell for each new warning: %s is its text, quoted"},
		&cli.StringFlag{Name: "startupnotify", Usage: "run `COMMAND` in a shell when the node has started"},
		&cli.StringFlag{Name: "shutdownnotify", Usage: "run `COMMAND` in a shell before the node stops, and wait for it ten seconds"},
		&cli.StringSliceFlag{Name: "loadblock", Usage: "take in the blocks of `FILE`, a bootstrap.dat, while the node runs; may be repeated"},
		&cli.UintFlag{Name: "stopatheight", Usage: "stop once the active chain has a block at height `N`; 0 never"},
		&cli.Int64Flag{Name: "mocktime", Usage: "the time is `SECONDS` since 1970 and stands still, as after setmocktime, on networks for tests; 0 is the machine's"},
		&cli.StringFlag{Name: "pid", Usage: "write the number of the process to `FILE` while the node runs; a relative name begins in the network's directory"},
	)
}

func (n *nodeConfig) readNotifyFlags(c *cli.Context) error {
	n.commands = commands{c.String("blocknotify"), c.String("alertnotify"), c.String("startupnotify"), c.String("shutdownnotify")}
	n.loadBlocks, n.pidFile = c.StringSlice("loadblock"), c.String("pid")
	n.stopAt = c.Uint("stopatheight")
	if s := c.Int64("mocktime"); s != 0 {
		if s < 0 || s > rpc.LatestMockTime || !n.spec.Defaults.MockClock {
			return usageError(c.Command.HelpName, "--mocktime %d: want 0 to %d, and a network whose chainspec allows other clocks", s, rpc.LatestMockTime)
		}
		n.mocked = true
		n.clock.Wall.Set(time.Unix(s, 0))
	}
	for _, name := range n.loadBlocks {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			return usageError(c.Command.HelpName, "--loadblock %s: there is no such file", name)
		}
	}
	return nil
}

// writePID leaves the number of the process for others; remove takes it back.
func (n *nodeConfig) writePID() (remove func(), err error) {
	if n.pidFile == "" {
		return func() {}, nil
	}
	name := n.pidFile
	if !filepath.IsAbs(name) {
		name = filepath.Join(n.dir, name)
	}
	if err := os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("--pid: %w", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			n.log.Warn("cannot clean up", "error", err)
		}
	}, nil
}

// loadFiles takes in the blocks of --loadblock. A file that is no good is no reason
// for a node to stop.
func (n *nodeConfig) loadFiles(ctx context.Context, ledger *chain.Chain) {
	for _, name := range n.loadBlocks {
		if err := n.loadFile(ctx, ledger, name); err != nil && ctx.Err() == nil {
			n.log.Error("--loadblock", "file", name, "error", err)
		}
	}
}

func (n *nodeConfig) loadFile(ctx context.Context, ledger *chain.Chain, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n.log.Info("taking in blocks", "file", name, "bytes", info.Size())
	got, err := ledger.Import(ctx, f, info.Size(), nil)
	n.log.Info("took in blocks", "file", name, "blocks", got.Blocks, "known", got.Known, "orphans", got.Orphans, "refused", got.Refused)
	return err
}

// alertEvery is how often warnings are looked at.
const alertEvery = 2 * time.Second

// warnings are what an operator is alerted of, in sentences.
func (p *nodeParts) warnings() []string {
	list := p.peers.Warnings()
	if !p.peers.InitialBlockDownload() {
		list = append(list, p.ledger.Warnings()...)
	}
	return list
}

// watch logs new warnings, and runs the commands for those and for blocks, until ctx
// ends.
func (n *nodeConfig) watch(ctx context.Context, p *nodeParts, run *notify.Runner) {
	poked := poke.New()
	cancel := p.ledger.Subscribe(func() { poke.Send(poked) })
	defer cancel()
	ticker := time.NewTicker(alertEvery)
	defer ticker.Stop()
	last, warned := p.ledger.Tip().Hash, []string(nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-poked:
			tip := p.ledger.Tip()
			if n.commands.block != "" && tip.Hash != last && !p.peers.InitialBlockDownload() {
				for _, hash := range newBlocks(p.ledger, last, tip.Hash) {
					run.Run(n.commands.block, hash.String())
				}
			}
			last = tip.Hash
		case <-ticker.C:
			warnings := p.warnings()
			for _, text := range warnings {
				if !slices.Contains(warned, text) {
					n.log.Warn("warning", "text", text)
					run.Run(n.commands.alert, notify.Quote(text))
				}
			}
			warned = warnings
		}
	}
}

// maxNewBlocks is of how many blocks at once the command is told; of more, of the
// last ones.
const maxNewBlocks = 500

// newBlocks lists the blocks that lead to a tip from where its chain left that of
// another one, lowest first.
func newBlocks(ledger *chain.Chain, last, tip consensus.Hash) (list []consensus.Hash) {
	old, ok1 := ledger.Header(last)
	now, ok2 := ledger.Header(tip)
	for ok1 && ok2 && old.Hash != now.Hash && len(list) < maxNewBlocks {
		if now.Height >= old.Height {
			list = append(list, now.Hash)
			now, ok2 = ledger.Header(now.Header.Prev)
			continue
		}
		old, ok1 = ledger.Header(old.Header.Prev)
	}
	slices.Reverse(list)
	return list
}
