package testnet_test

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// checkEvery is after how many kills the coins are compared with a replay; in
// between, one unclean stop follows the other.
const checkEvery = 4

// TestCrashImport kills `lode chain import`: at its start, while it looks at
// what the last one has left, in the middle of reorganizations, at its end.
func TestCrashImport(t *testing.T) {
	t.Parallel()
	crash(t, 10, func(v *victim, kills int) {
		blocks := 3000
		if os.Getenv(crashKills) == "" {
			blocks = 1000
		}
		file, tip := v.bootstrap(blocks)
		words := append([]string{"chain", "import", file}, v.cache...)
		if err := os.MkdirAll(v.datadir, 0o700); err != nil {
			v.t.Fatal(err)
		}
		undisturbed := time.Now()
		v.must(words...)
		whole := time.Since(undisturbed)
		for clean := true; v.kills < kills; {
			if clean {
				if got := v.recover(); got.BestBlock != tip {
					v.t.Fatalf("the tip after the import is %s, want %s", got.BestBlock, tip)
				}
				if err := errors.Join(os.RemoveAll(v.datadir), os.Mkdir(v.datadir, 0o700)); err != nil {
					v.t.Fatal(err)
				}
				clean = false
			}
			p := v.launch(words...)
			span := []time.Duration{whole / 20, whole / 2, whole * 5 / 4}[v.random.IntN(3)]
			p.killIn(v.upTo(span), "its start")
			if clean = !p.crashed(); !clean && v.kills%checkEvery == 0 {
				v.recover()
			}
		}
		v.must(words...)
		if got := v.recover(); got.BestBlock != tip {
			v.t.Fatalf("the tip after the last import is %s, want %s", got.BestBlock, tip)
		}
	})
}

// TestCrashFirstStart kills the very first start in a directory, at any instant
// until the node answers.
func TestCrashFirstStart(t *testing.T) {
	t.Parallel()
	crash(t, 4, func(v *victim, kills int) {
		started := time.Now()
		first := v.node()
		if !first.ready() {
			v.t.Fatal("killed by somebody else")
		}
		whole := time.Since(started)
		first.stop()
		for v.kills < kills {
			if err := os.RemoveAll(v.datadir); err != nil {
				v.t.Fatal(err)
			}
			node := v.node()
			node.killIn(v.upTo(whole), "its start")
			<-node.done
			node.crashed()
			v.recover()
		}
	})
}

// bootstrap writes a file of about n blocks in the order in which a node has
// seen them: branches that lose, and branches that win.
//
//	. - . - . - . - .        . - . - .
//	      \ . - . - . - . - . - . - . - . - . …
func (v *victim) bootstrap(n int) (file string, tip consensus.Hash) {
	v.t.Helper()
	file = filepath.Join(v.dir, "bootstrap.dat")
	f, err := os.Create(file)
	if err != nil {
		v.t.Fatal(err)
	}
	out := bufio.NewWriter(f)
	blocks := 0
	write := func(list []*consensus.Block) {
		blocks += len(list)
		if err := chaingen.Write(out, crashSpec, list...); err != nil {
			v.t.Fatal(err)
		}
	}
	c := chaingen.New(&crashSpec.Rules, chaingen.Params{Seed: v.seed, Fee: 1})
	write(c.Blocks)
	write(c.Extend(100))
	for round := uint64(0); blocks < n; round++ {
		// Wide blocks fill the cache, and are too large for one write.
		c.Params.Txs, c.Params.MaxInputs, c.Params.Outputs = 2, 1, 1500
		write(c.Extend(1))
		c.Params.MaxInputs, c.Params.Outputs = 2, 4
		write(c.Extend(50 + v.random.IntN(60)))
		depth := 1 + v.random.IntN(20)
		if round%8 == 5 {
			depth = 150
		}
		fork := c.Fork(c.Tip().Height-uint32(depth), round)
		if round%3 == 0 {
			write(fork.Extend(depth)) // a tie: the first seen stays
			continue
		}
		write(fork.Extend(depth + 1))
		c = fork
	}
	if err := out.Flush(); err != nil {
		v.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		v.t.Fatal(err)
	}
	return file, c.Tip().Hash
}

// TestCrashMining kills a node that mines, by itself or at a word, and takes
// payments into its blocks.
func TestCrashMining(t *testing.T) {
	t.Parallel()
	crash(t, 6, func(v *victim, kills int) {
		m := &mining{victim: v, keys: chaingen.New(&crashSpec.Rules, chaingen.Params{Seed: v.seed})}
		m.script = m.keys.Script()
		key, _ := consensus.TaprootKey(m.script)
		m.address = consensus.Address(crashSpec.Defaults.AddressPrefix, key)
		for v.kills < kills {
			var flags []string
			if v.random.IntN(2) == 0 {
				flags = []string{"--mine", m.address, "--threads", "1", "--mine-pace", "5ms"}
			}
			node := v.node(flags...)
			span := []time.Duration{100 * time.Millisecond, time.Second}[v.random.IntN(2)]
			node.killIn(v.upTo(span), "its start")
			for alive := node.ready() && node.checkKnown(); alive; {
				alive = m.round(node)
			}
			if v.kills%checkEvery == 0 {
				v.recover()
			}
		}
		v.recover()
		v.t.Logf("%d acknowledged blocks, %d payments in them", len(v.acks), m.paid)
	})
}

// mining is a victim that mines and is paid.
type mining struct {
	*victim
	keys    *chaingen.Chain // never grows; it has keys
	script  []byte
	address string
	young   []coinbase // to be spent when they are mature
	paid    int        // transactions in blocks besides coinbases
}

type coinbase struct {
	height uint32
	tx     *consensus.Tx
}

// round has a few blocks mined and one payment made. It is false when the node
// was killed.
func (m *mining) round(node *process) (alive bool) {
	m.t.Helper()
	var hashes []consensus.Hash
	if !node.call(&hashes, "generatetoaddress", 1+m.random.IntN(5), m.address) {
		return false
	}
	for _, hash := range hashes {
		var raw string
		var header struct {
			Height        uint32
			Confirmations int
		}
		if !node.call(&raw, "getblock", hash, 0) || !node.call(&header, "getblockheader", hash) {
			return false
		}
		data, err := hex.DecodeString(raw)
		if err != nil {
			m.t.Fatal(err)
		}
		block, err := consensus.DecodeBlock(data)
		if err != nil {
			m.t.Fatal(err)
		}
		m.acknowledge(block, header.Height)
		m.paid += len(block.Txs) - 1
		if header.Confirmations > 0 { // no tie with a block of the miner in the node
			m.young = append(m.young, coinbase{header.Height, block.Txs[0]})
		}
	}
	if len(m.young) == 0 || m.young[0].height+crashSpec.Rules.Maturity > m.height {
		return true
	}
	tx := m.payment(m.young[0])
	m.young = m.young[1:]
	var coin any
	if !node.call(&coin, "gettxout", tx.In[0].PrevOut.TxID, 0) {
		return false
	}
	return coin == nil || node.call(nil, "sendrawtransaction", hex.EncodeToString(tx.Bytes())) // nil: it is spent
}

// payment shares a coinbase out.
func (m *mining) payment(from coinbase) *consensus.Tx {
	value := from.tx.Out[0].Value
	tx := &consensus.Tx{Version: 2, In: []consensus.TxIn{{PrevOut: consensus.OutPoint{TxID: from.tx.TxID()}, Sequence: 0xffffffff}}}
	for range 3 {
		tx.Out = append(tx.Out, consensus.TxOut{Value: value/3 - 1000, Script: m.keys.Script()})
	}
	key, _ := consensus.TaprootKey(from.tx.Out[0].Script)
	m.keys.Sign(tx, []consensus.Coin{{Value: value, Key: key, Height: from.height, Coinbase: true}})
	return tx
}

// TestCrashReorg kills a node to which two branches are submitted that overtake
// each other in turn, so that each time all of one is disconnected and all of
// the other connected.
func TestCrashReorg(t *testing.T) {
	t.Parallel()
	crash(t, 10, func(v *victim, kills int) {
		r, amid := newRace(v), 0
		for v.kills < kills {
			node := v.node()
			calm := 0 // how many times the lead changes before the kill
			switch v.random.IntN(4) {
			case 0:
				node.killIn(v.upTo(150*time.Millisecond), "its start")
			case 1:
				node.killIn(v.upTo(2*time.Second), "its start")
			default:
				calm = v.random.IntN(3)
			}
			for alive := node.ready() && node.checkKnown(); alive; {
				alive = r.step(node, &calm)
				if !alive && r.changing {
					amid++
				}
			}
			if v.kills%checkEvery == 0 {
				v.recover()
			}
		}
		v.recover()
		v.t.Logf("%d kills came before the node had answered about a change of the lead", amid)
	})
}

// race is two branches, of which now the one and now the other has more work.
//
//	. - . - A - A - A - A
//	      \ B - B - B - B - B - B
type race struct {
	*victim
	lead, other *lane
	forks       uint64
	changing    bool          // the last block that was submitted changes the lead
	took        time.Duration // the last change
}

type lane struct {
	*chaingen.Chain
	fork int // the height where it leaves the other
	next int // the height of the block to submit
}

// How deep the reorganizations of a race are.
const (
	shallowest = 100
	deepest    = 300
)

func newRace(v *victim) *race {
	c := chaingen.New(&crashSpec.Rules, chaingen.Params{Seed: v.seed, Txs: 3, MaxInputs: 2, Outputs: 8, Fee: 1000})
	c.Extend(shallowest + 20)
	return &race{victim: v, lead: &lane{c, 0, 1}, took: 50 * time.Millisecond}
}

// turn lets the other branch take the lead.
func (r *race) turn() {
	height := len(r.lead.Blocks) - 1
	if r.other == nil || height-r.other.fork > deepest {
		r.forks++
		fork := height - shallowest
		r.other = &lane{r.lead.Fork(uint32(fork), r.forks), fork, fork + 1}
		r.lead.fork = fork
	}
	r.other.Extend(len(r.lead.Blocks) - len(r.other.Blocks) + 1 + r.random.IntN(20))
	r.lead, r.other = r.other, r.lead
}

// step submits the next block, and has the node killed while the lead changes
// if it did so calm times before. It is false when the node was killed.
func (r *race) step(node *process, calm *int) (alive bool) {
	r.t.Helper()
	if r.lead.next == len(r.lead.Blocks) {
		r.turn()
	}
	height := r.lead.next
	block := r.lead.Blocks[height]
	if r.changing = r.other != nil && height == len(r.other.Blocks); r.changing {
		var tip consensus.Hash // of the lead, if the node took the block before the last kill
		if !node.call(&tip, "getbestblockhash") {
			return false
		}
		r.changing = tip == r.other.Tip().Hash
	}
	if r.changing && node.kill == nil {
		if *calm--; *calm < 0 {
			node.killIn(r.upTo(r.took*5/4), fmt.Sprintf("a block was submitted that disconnects %d", height-1-r.lead.fork))
		}
	}
	var reason *string
	submitted := time.Now()
	if !node.call(&reason, "submitblock", hex.EncodeToString(block.Bytes())) {
		return false
	}
	switch {
	case reason == nil && r.changing:
		r.took = time.Since(submitted)
	case reason != nil && *reason != "duplicate" && *reason != "inconclusive":
		r.t.Fatalf("block %d was refused: %s", height, *reason)
	}
	r.acknowledge(block, uint32(height))
	r.lead.next++
	return true
}
