//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/miner"
	"lode/miner/stratum"
)

// servePool is a ledger, a mempool and a pool, as a node has them.
func servePool(ctx context.Context) (err error) {
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	dir, err := os.MkdirTemp("", "lode-benchstratum-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	spec, err := consensus.EmbeddedSpec("testnet")
	if err != nil {
		return err
	}
	sigs := sigcheck.New(1000)
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: spec, Sigs: sigs})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	pool := mempool.New(mempool.Config{Ledger: ledger, Sigs: sigs, Policy: mempool.DefaultPolicy()})
	templates := miner.NewTemplates(miner.TemplatesConfig{Ledger: ledger, Pool: pool, Reserved: stratum.ReservedWeight})
	server, err := stratum.NewServer(stratum.Config{
		Spec: spec, Ledger: ledger, Templates: templates, Dir: dir, Dust: 330,
		Difficulty: difficulty(), LeastDifficulty: difficulty(), SharesPerMinute: float64(60 * *rate),
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var mu sync.Mutex // one report after the other
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(report{Listen: l.Addr().String()}); err != nil {
		return err
	}
	var last consensus.Hash
	defer ledger.Subscribe(func() {
		mu.Lock()
		defer mu.Unlock()
		if tip := ledger.Tip(); tip.Hash != last {
			last = tip.Hash
			_ = out.Encode(report{Tip: tip.Hash.String(), At: time.Now(), CPU: used()})
		}
	})()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return templates.Run(ctx) })
	group.Go(func() error { return server.Serve(ctx, l) })
	return group.Wait()
}

// used is the CPU time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// difficulty is that of the shares.
func difficulty() float64 { return *hashes * 0xffff / 0x1p48 }
