//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// idle is how long a node is left alone before its memory is read.
const idle = 5 * time.Second

// measure runs everything, and prints what it finds.
func (b *bench) measure(ctx context.Context) error {
	datadir := filepath.Join(b.dir, "data")
	_, all, err := b.lodeImport(ctx, b.file, datadir) // for the counts, and so that no round is the first to read the file
	if err != nil {
		return err
	}
	progress("importing it for %d peers", syncPeers)
	var sources []string
	for i := range syncPeers {
		sources = append(sources, filepath.Join(b.dir, fmt.Sprint("peer", i)))
		if _, _, err := b.lodeImport(ctx, b.file, sources[i]); err != nil {
			return err
		}
	}
	var lode, sync, btcd, btcec []cost
	signatures := 0
	for round := range b.rounds {
		progress("round %d of %d", round+1, b.rounds)
		parts := []func() error{
			func() error {
				c, _, err := b.lodeImport(ctx, b.file, datadir)
				lode = append(lode, c)
				return err
			},
			func() error {
				c, err := b.lodeSync(ctx, sources, all.Blocks)
				sync = append(sync, c)
				return err
			},
			func() error {
				c, err := b.btcdImport(ctx, b.file, all.Blocks)
				btcd = append(btcd, c)
				return err
			},
			func() (err error) {
				var c cost
				c, signatures, err = b.btcecVerify(ctx, b.file)
				btcec = append(btcec, c)
				return err
			},
		}
		if round%2 == 1 {
			slices.Reverse(parts)
		}
		for _, part := range parts {
			if err := part(); err != nil {
				return err
			}
		}
	}
	once, longer, err := b.measureLonger(ctx)
	if err != nil {
		return err
	}
	empty, full, memory, err := b.measureStarts(ctx, datadir)
	if err != nil {
		return err
	}

	fmt.Printf("%d blocks, %d transactions, %d inputs; %d CPUs, %s; medians of %d rounds\n\n", all.Blocks, all.Transactions, all.Inputs, runtime.NumCPU(), runtime.Version(), b.rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tchecks\tseconds\tCPU seconds\tpeak MB\tseconds of each round")
	row(w, "lode chain import", "every rule and every signature", lode)
	row(w, fmt.Sprintf("lode node, from %d peers by WebSocket", syncPeers), "every rule and every signature", sync)
	row(w, "btcd addblock "+addblockVersion, "the form of each block; no amounts, no signatures", btcd)
	row(w, "btcec, one by one, all cores", fmt.Sprintf("the %d signatures and nothing else", signatures), btcec)
	if b.longer > 0 {
		row(w, "lode, a chain made here", "every rule and every signature", once)
		row(w, fmt.Sprintf("lode, the same %d times longer", b.longer), "every rule and every signature", longer)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if share := median(btcec, cpu) / median(btcec, seconds); share < 0.9*float64(runtime.NumCPU()) {
		fmt.Printf("\nbtcec, which can use every CPU, had %.1f of %d: the machine was busy with something else, and seconds and ratios mean little.\n", share, runtime.NumCPU())
	}
	fmt.Println()

	w = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tmeasured\tgoal")
	goal(w, "lode / btcec, seconds", ratio(lode, btcec), 0.30, "")
	goal(w, "lode / addblock, seconds", ratio(lode, btcd), 0.25, "")
	goal(w, "lode, from peers / import, seconds", ratio(sync, lode), 1.3, "")
	goal(w, "lode, peak memory", median(lode, peak), 120, " MB")
	if b.longer > 0 {
		goal(w, fmt.Sprintf("%d times longer / once, seconds", b.longer), ratio(longer, once), float64(b.longer)*1.1, "")
	}
	goal(w, "start to the first RPC answer, empty directory", middle(empty), 60, " ms")
	goal(w, "start to the first RPC answer, after the import", middle(full), 150, " ms")
	goal(w, fmt.Sprintf("memory of a node after %v, after the import", idle), memory, 60, " MB")
	return w.Flush()
}

// measureLonger imports a generated chain and one that is longer.
func (b *bench) measureLonger(ctx context.Context) (once, longer []cost, err error) {
	if b.longer == 0 {
		return nil, nil, nil
	}
	dir := filepath.Join(b.dir, "longer")
	defer os.RemoveAll(dir)
	for round := range b.rounds {
		progress("round %d of %d with the longer chain", round+1, b.rounds)
		files, costs := []string{b.made, b.long}, []*[]cost{&once, &longer}
		if round%2 == 1 {
			slices.Reverse(files)
			slices.Reverse(costs)
		}
		for i, file := range files {
			c, _, err := b.lodeImport(ctx, file, dir)
			if err != nil {
				return nil, nil, err
			}
			*costs[i] = append(*costs[i], c)
		}
	}
	return once, longer, nil
}

// measureStarts starts nodes in fresh directories and in one with blocks. It
// gives milliseconds, and the memory in MB.
func (b *bench) measureStarts(ctx context.Context, datadir string) (empty, full []float64, memory float64, err error) {
	progress("starting nodes")
	fresh := filepath.Join(b.dir, "fresh")
	for range b.starts {
		for _, dir := range []string{fresh, datadir} {
			ready, _, err := b.start(ctx, dir, 0)
			if err != nil {
				return nil, nil, 0, err
			}
			ms := ready.Seconds() * 1e3
			if dir == fresh {
				empty = append(empty, ms)
			} else {
				full = append(full, ms)
			}
		}
		if err := os.RemoveAll(fresh); err != nil {
			return nil, nil, 0, err
		}
	}
	_, memory, err = b.start(ctx, datadir, idle)
	return empty, full, memory, err
}

func row(w io.Writer, name, checks string, costs []cost) {
	memory := "-"
	if m := median(costs, peak); m > 0 {
		memory = fmt.Sprintf("%.0f", m)
	}
	fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%s\t", name, checks, median(costs, seconds), median(costs, cpu), memory)
	for _, c := range costs {
		fmt.Fprintf(w, "%.2f ", c.seconds)
	}
	fmt.Fprintln(w)
}

func goal(w io.Writer, name string, got, limit float64, unit string) {
	verdict := "met"
	if got > limit {
		verdict = "MISSED"
	}
	fmt.Fprintf(w, "%s\t%.3g%s\tat most %.3g%s\t%s\n", name, got, unit, limit, unit, verdict)
}

func seconds(c cost) float64 { return c.seconds }
func cpu(c cost) float64     { return c.cpu }
func peak(c cost) float64    { return c.peak }

func median(costs []cost, of func(cost) float64) float64 {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = of(c)
	}
	return middle(values)
}

// ratio is the median of the ratios of each round.
func ratio(a, b []cost) float64 {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = a[i].seconds / b[i].seconds
	}
	return middle(values)
}

// middle is the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
