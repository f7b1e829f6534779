//go:build unix

// Benchstratum loads a pool with many connections that all hand in shares, and
// says how long after a new tip each of them has its job. The pool is a process of
// its own on one core; the shares are real, and so are the blocks that are among
// them. The network is testnet.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

var (
	serve       = flag.Bool("serve", false, "be the pool (it is started so by the other)")
	connections = flag.Int("connections", 1000, "connections")
	rate        = flag.Int("rate", 10, "shares a second of each")
	payees      = flag.Int("payees", 120, "addresses that they are paid at")
	hashes      = flag.Float64("hashes", 128, "hashes that a share takes")
	warmup      = flag.Duration("warmup", 10*time.Second, "do not count what comes before")
	duration    = flag.Duration("time", 30*time.Second, "and end so long after")
	limit       = flag.Duration("limit", 100*time.Millisecond, "fail if a job takes longer")
	profile     = flag.String("profile", "", "write a CPU profile of the pool to this file")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := bench
	if *serve {
		run = servePool
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "benchstratum:", err)
		os.Exit(1)
	}
}

// report is what the pool says on its standard output: where it listens, and each
// new tip.
type report struct {
	Listen string        `json:",omitempty"`
	Tip    string        `json:",omitempty"`
	At     time.Time     // when the ledger had it
	CPU    time.Duration // that the process has used
}

func bench(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := append([]string{os.Args[0], "-serve"}, os.Args[1:]...)
	pinned := "GOMAXPROCS=1"
	cores := runtime.NumCPU()
	if taskset, err := exec.LookPath("taskset"); err == nil && cores > 1 {
		args, pinned = append([]string{taskset, "-c", "0"}, args...), "pinned to one core, the load to the others"
		others := fmt.Sprintf("1-%d", cores-1)
		if out, err := exec.CommandContext(ctx, taskset, "-a", "-p", "-c", others, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
			return fmt.Errorf("taskset: %w: %s", err, out)
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	reports := make(chan report, 10000)
	go func() {
		defer close(reports)
		for in := bufio.NewScanner(out); in.Scan(); {
			var r report
			if json.Unmarshal(in.Bytes(), &r) == nil {
				reports <- r
			}
		}
	}()
	first, ok := <-reports
	if !ok {
		return errors.New("the pool does not start")
	}
	runtime.GOMAXPROCS(max(1, cores-1))
	l := newLoad(first.Listen)
	if err := l.run(ctx); err != nil {
		return err
	}
	cancel()
	var tips []report
	for r := range reports {
		tips = append(tips, r)
	}
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return l.summary(tips, pinned)
}

// summary prints what was seen, and is an error if that is not good enough.
func (l *load) summary(tips []report, pinned string) error {
	begin, end := l.began.Add(*warmup), l.began.Add(*warmup+*duration)
	var took []time.Duration
	var counted []report
	worst := make(map[string]time.Duration)
	for _, tip := range tips {
		if tip.At.Before(begin) || tip.At.After(end.Add(-time.Second)) || tip.Tip == "" {
			continue
		}
		arrivals := l.arrivals[tip.Tip]
		if arrivals == nil {
			continue // the next came before its job was handed out
		}
		counted = append(counted, tip)
		if len(arrivals) < *connections {
			return fmt.Errorf("%d of %d connections have a job for the tip %s", len(arrivals), *connections, tip.Tip)
		}
		for _, at := range arrivals {
			d := at.Sub(tip.At)
			took = append(took, d)
			worst[tip.Tip] = max(worst[tip.Tip], d)
		}
	}
	if len(counted) < 2 {
		return fmt.Errorf("%d tips are too few: give a longer -time", len(counted))
	}
	slices.Sort(took)
	of := func(share float64) time.Duration {
		return took[int(share*float64(len(took)-1))].Round(10 * time.Microsecond)
	}
	last := counted[len(counted)-1]
	cpu := float64(last.CPU-counted[0].CPU) / float64(last.At.Sub(counted[0].At))
	seconds := duration.Seconds()
	fmt.Printf("connections     %d, %d payees, %d to %d bytes a job\n", *connections, *payees, l.shortest, l.longest)
	fmt.Printf("shares a second %.0f accepted, %.1f stale, %d otherwise refused\n", float64(l.accepted)/seconds, float64(l.stale)/seconds, l.refused)
	fmt.Printf("pool            %.0f %% of a core (%s)\n", 100*cpu, pinned)
	fmt.Printf("new tips        %d, %d jobs\n", len(counted), len(took))
	fmt.Printf("tip to job      %v median, %v 90 %%, %v 99 %%, %v last\n", of(.5), of(.9), of(.99), of(1))
	fmt.Printf("share to answer %v median, %v 99 %%\n", l.answer(.5), l.answer(.99))
	late := 0
	for _, d := range worst {
		if d > *limit {
			late++
		}
	}
	switch want := 0.95 * float64(*connections**rate); {
	case late > 0:
		return fmt.Errorf("after %d of %d tips not every job was there within %v", late, len(counted), *limit)
	case float64(l.accepted)/seconds < want:
		return fmt.Errorf("%.0f shares a second, want %.0f: this machine is too slow to tell", float64(l.accepted)/seconds, want)
	}
	return nil
}
