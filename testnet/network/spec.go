package network

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"time"

	"lode/consensus"
	"lode/internal/atomicfile"
	"lode/miner"
)

// Bounds of what a network is made of.
const (
	DefaultNodes     = 3
	DefaultBlockTime = 5       // seconds
	DefaultRate      = 100_000 // hashes a second of each node: 1 % of a core, or so
	maxBlockTime     = 3600
)

// fundingBlocks is how many blocks are mined at once when a network is made: one for
// each wallet, and as many behind them as they need to become mature.
func fundingBlocks(nodes int, maturity uint32) int { return nodes + int(maturity) + 1 }

// makeSpec makes the rules of a network: those of testnet with a name, a magic, and
// an address prefix of its own. A limit that all nodes together take half the time of
// a block for has the first blocks come soon, and the difficulty rise from there. The
// genesis is so much older than now that the blocks that fund the wallets are not too
// many for their time.
func makeSpec(ctx context.Context, name string, nodes, blockTime int, rate uint64) ([]byte, error) {
	base, err := consensus.EmbeddedSpec("testnet")
	if err != nil {
		return nil, err
	}
	var doc struct {
		Name     string         `json:"name"`
		Rules    map[string]any `json:"rules"`
		Defaults map[string]any `json:"defaults"`
	}
	if err := json.Unmarshal(base.JSON(), &doc); err != nil {
		return nil, err
	}
	magic := make([]byte, 4)
	if _, err := rand.Read(magic); err != nil {
		return nil, err
	}
	doc.Name = "local"
	delete(doc.Rules, "genesis")
	doc.Rules["pow_limit"] = fmt.Sprintf("%08x", limitFor(float64(nodes)*float64(rate)*float64(blockTime)/2))
	doc.Rules["target_spacing"] = blockTime
	doc.Rules["difficulty"] = map[string]any{"algorithm": consensus.AlgorithmASERT, "half_life": 24 * blockTime}
	doc.Defaults["max_drift"] = 4 * blockTime
	doc.Defaults["magic"] = fmt.Sprintf("%x", magic)
	doc.Defaults["address_prefix"], doc.Defaults["uri_scheme"], doc.Defaults["silent_prefix"] = "local", "local", "localsp"
	doc.Defaults["mock_clock"], doc.Defaults["playground"] = true, true
	draft, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	born := time.Now().Add(-time.Duration(fundingBlocks(nodes, base.Rules.Maturity)*blockTime) * time.Second)
	message := fmt.Sprintf("%s %x %s", name, magic, born.UTC().Format(time.DateTime))
	return consensus.MineGenesis(ctx, draft, uint32(born.Unix()), message, func(ctx context.Context, h *consensus.Header, target *consensus.Target) error {
		return miner.SearchHeader(ctx, h, target, func(uint64) {})
	})
}

// limitFor is the target, in compact form, that takes so many hashes on average; at
// least two, which is the most that a limit may be.
func limitFor(hashes float64) uint32 {
	const easiest = 0x207fffff
	n, _ := big.NewFloat(max(hashes, 1)).Int(nil)
	target := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 256), n)
	size := (target.BitLen() + 7) / 8
	mantissa := new(big.Int).Rsh(target, uint(8*max(size-3, 0))).Uint64()
	if mantissa > 0x7fffff { // its first bit is a sign
		mantissa, size = mantissa>>8, size+1
	}
	return min(uint32(size)<<24|uint32(mantissa), easiest)
}

// readSpec reads a chainspec that the network is to follow.
func readSpec(path string) ([]byte, error) {
	const most = 16 << 20 // bytes; it holds a block
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the chainspec: %w", err)
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	spec, err := consensus.ParseSpec(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !spec.Defaults.Playground {
		return nil, fmt.Errorf("%s: %w: its wallets would have no passphrase, which defaults.playground must allow", path, ErrUsage)
	}
	return doc, nil
}

// Spec is the chainspec of the network, which stays as it was made.
func (n *Network) Spec() (*consensus.Spec, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.spec != nil {
		return n.spec, nil
	}
	doc, err := os.ReadFile(n.SpecFile())
	if err != nil {
		return nil, err
	}
	spec, err := consensus.ParseSpec(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.SpecFile(), err)
	}
	n.spec = spec
	return spec, nil
}

// SpecFile is where the chainspec is.
func (n *Network) SpecFile() string { return n.path(specFile) }

// SetSpec has a node follow another chainspec from its next start on: one of the same
// rules, which may have other upgrades (soft forks). An empty file is that of the
// network.
func (n *Network) SetSpec(index int, file string) error {
	node, err := n.Node(index)
	if err != nil {
		return err
	}
	if node.Process.alive() {
		return fmt.Errorf("%w: node %d runs: `lode testnet stop %d` first", ErrUsage, index, index)
	}
	if node.Spec = ""; file == "" {
		return n.save()
	}
	doc, err := readSpec(file)
	if err != nil {
		return err
	}
	own, err := n.Spec()
	if err != nil {
		return err
	}
	other, err := consensus.ParseSpec(doc)
	if err != nil {
		return err
	}
	if own.Rules.ID() != other.Rules.ID() || own.Name != other.Name {
		return fmt.Errorf("%w: %s has another name, or other rules, than the network", ErrUsage, file)
	}
	node.Spec = fmt.Sprintf("node%d.json", index)
	if err := atomicfile.Write(n.path(node.Spec), doc); err != nil {
		return err
	}
	return n.save()
}
