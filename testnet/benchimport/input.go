//go:build unix

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// The shape of a generated chain: coinbases until enough are mature, one block
// that shares some of them out over many coins, and then full blocks whose
// transactions spend one or two coins at random.
const (
	emptyBlocks = 117
	fanOuts     = 8
	fanOut      = 2000
	fullBlocks  = 72 // of a chain that is not longer
	blockTxs    = 1000
)

// generate writes a chain with a number of full blocks to a bootstrap file.
func generate(name string, full int) error {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	c := chaingen.New(&spec.Rules, chaingen.Params{Seed: 1})
	err = chaingen.Write(out, spec, c.Blocks...)
	err = errors.Join(err, chaingen.Write(out, spec, c.Extend(emptyBlocks)...))
	c.Params = chaingen.Params{Seed: 1, Txs: fanOuts, Outputs: fanOut}
	err = errors.Join(err, chaingen.Write(out, spec, c.Extend(1)...))
	c.Params = chaingen.Params{Seed: 1, Txs: blockTxs, MaxInputs: 2, Outputs: 2, Fee: 1}
	for range full {
		block := c.Extend(1)[0]
		if len(block.Txs) != 1+blockTxs {
			return fmt.Errorf("a block has %d transactions, want %d", len(block.Txs), 1+blockTxs)
		}
		err = errors.Join(err, chaingen.Write(out, spec, block))
		c.Forget(c.Tip().Height)
	}
	return errors.Join(err, out.Flush(), f.Close())
}

// signatures are all of a bootstrap file of regtest, whose blocks must come in
// order and without forks. The signature hashes are computed already.
func signatures(name string) (sigs []consensus.Signature, err error) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := chaingen.New(&spec.Rules, chaingen.Params{})
	for in := bufio.NewReaderSize(f, 1<<20); ; {
		var frame [8]byte
		if _, err := io.ReadFull(in, frame[:]); errors.Is(err, io.EOF) {
			return sigs, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		raw := make([]byte, min(binary.LittleEndian.Uint32(frame[4:]), uint32(spec.Rules.MaxBlockWeight)))
		if _, err := io.ReadFull(in, raw); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		block, err := consensus.DecodeBlock(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if block.Header.Hash() == spec.Rules.GenesisHash() {
			continue
		}
		for _, tx := range block.Txs[1:] {
			coins := make([]consensus.Coin, len(tx.In))
			for i := range tx.In {
				coins[i] = c.Coins[tx.In[i].PrevOut] // Add finds what is missing
			}
			for _, check := range consensus.SpendChecks(tx, tx.TxID(), coins) {
				sig, err := check.Signature()
				if err != nil {
					return nil, err
				}
				sigs = append(sigs, sig)
			}
		}
		if err := c.Add(block); err != nil {
			return nil, fmt.Errorf("%s: block after height %d: %w", name, c.Tip().Height, err)
		}
		c.Forget(c.Tip().Height)
	}
}

// verified is what it took to verify signatures.
type verified struct {
	Signatures   int
	Seconds, CPU float64
}

// verifyAll verifies signatures one by one with btcec, on all cores.
func verifyAll(sigs []consensus.Signature) (verified, error) {
	runtime.GC()
	var next, wrong atomic.Int64
	var workers sync.WaitGroup
	cpu, started := cpuTime(syscall.RUSAGE_SELF), time.Now()
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(sigs); i = int(next.Add(1)) - 1 {
				key, err := schnorr.ParsePubKey(sigs[i].Key[:])
				sig, failure := schnorr.ParseSignature(sigs[i].Sig[:])
				if err != nil || failure != nil || !sig.Verify(sigs[i].Message[:], key) {
					wrong.Add(1)
				}
			}
		})
	}
	workers.Wait()
	v := verified{len(sigs), time.Since(started).Seconds(), (cpuTime(syscall.RUSAGE_SELF) - cpu).Seconds()}
	if n := wrong.Load(); n > 0 {
		return v, fmt.Errorf("%d of %d signatures are wrong", n, len(sigs))
	}
	return v, nil
}

func cpuTime(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
