package main

import (
	"encoding/binary"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// makeBlocks is the command `blocks FILE N [SEED]` of scripts: it writes a
// bootstrap file with N generated blocks of regtest after genesis.
func makeBlocks(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: blocks FILE N [SEED]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	seed := uint64(1)
	if len(args) > 2 {
		seed, err = strconv.ParseUint(args[2], 10, 64)
		ts.Check(err)
	}
	spec, err := consensus.EmbeddedSpec("regtest")
	ts.Check(err)
	g := chaingen.New(&spec.Rules, chaingen.Params{Seed: seed, Txs: 2, Outputs: 2, Fee: 1000})
	g.Extend(n)
	var file []byte
	for _, b := range g.Blocks {
		raw := b.Bytes()
		file = binary.LittleEndian.AppendUint32(append(file, spec.Defaults.Magic...), uint32(len(raw)))
		file = append(file, raw...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o600))
}

// flipBit is the command `flip FILE OFFSET` of scripts: it changes one bit of a
// file, counted from its end if OFFSET is negative.
func flipBit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	name := ts.MkAbs(args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(name, data, 0o600))
}
