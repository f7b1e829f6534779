package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/chaingen"
)

// BenchmarkSync fetches a chain of small blocks from one peer over TCP, and
// gives the time as a ratio to that of importing the same blocks from a file.
func BenchmarkSync(b *testing.B) {
	spec := chaingen.Spec(func(*consensus.Spec) {})
	made := chaingen.New(&spec.Rules, chaingen.Params{Seed: 1, Txs: 20, Outputs: 2, Fee: 1000})
	made.Extend(1000)
	var file []byte
	for _, block := range made.Blocks {
		raw := block.Bytes()
		file = append(file, spec.Defaults.Magic...)
		file = append(binary.LittleEndian.AppendUint32(file, uint32(len(raw))), raw...)
	}
	tip := made.Tip().Hash
	open := func() *chain.Chain {
		c, err := chain.Open(context.Background(), chain.Config{Dir: b.TempDir(), Spec: spec, Sigs: sigcheck.New(0)})
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	load := func() (*chain.Chain, time.Duration) {
		c := open()
		start := time.Now()
		if _, err := c.Import(b.Context(), bytes.NewReader(file), int64(len(file)), nil); err != nil {
			b.Fatal(err)
		}
		return c, time.Since(start)
	}
	source, _ := load()
	address := benchNode(b, spec, source, "")
	var imports, syncs time.Duration
	for b.Loop() {
		c, took := load()
		imports += took
		_ = c.Close()

		c = open()
		done := make(chan struct{})
		ends := sync.OnceFunc(func() { close(done) })
		cancel := c.Subscribe(func() {
			if c.Tip().Hash == tip {
				ends()
			}
		})
		start := time.Now()
		benchNode(b, spec, c, address)
		<-done
		syncs += time.Since(start)
		cancel()
	}
	b.ReportMetric(float64(syncs)/float64(imports), "sync/import")
}

// benchNode runs a node on c until the end of b, and gives its URL.
func benchNode(b *testing.B, spec *consensus.Spec, c *chain.Chain, peer string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{
		Spec: spec, Chain: c, Pool: mempool.New(mempool.Config{Ledger: c, Sigs: sigcheck.New(0), Policy: mempool.DefaultPolicy()}),
		ListenTCP: l, Outbound: -1, UserAgent: "/bench/",
	}
	if peer != "" {
		cfg.Connect = []string{peer}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	node := New(cfg)
	go func() { ended <- node.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		_ = c.Close()
	})
	return "tcp://" + l.Addr().String()
}
