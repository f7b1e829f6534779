package consensus

import (
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Spec is a chainspec: a network as one JSON document.
type Spec struct {
	Name     string   `json:"name"` // [a-z0-9-]{1,32}; also the name of the network's directory
	Rules    Rules    `json:"rules"`
	Defaults Defaults `json:"defaults"`
}

// Rules is what makes two nodes disagree. The hash of its canonical form names
// the network, see ID.
type Rules struct {
	GenesisHex         HexBytes   `json:"genesis"` // the whole block
	PowLimit           Bits       `json:"pow_limit"`
	Difficulty         Difficulty `json:"difficulty"`
	TargetSpacing      uint32     `json:"target_spacing"`        // seconds
	InitialSubsidy     Amount     `json:"subsidy"`               // sat, of the first blocks
	HalvingInterval    uint32     `json:"halving_interval"`      // blocks
	MaxMoney           Amount     `json:"max_money"`             // sat
	Maturity           uint32     `json:"maturity"`              // blocks
	MaxBlockWeight     int        `json:"max_block_weight"`      // weight units (BIP141)
	MaxBlockSigopsCost int        `json:"max_block_sigops_cost"` // legacy sigops, four each

	// Derived when the spec is read.
	genesis     *Block
	genesisHash Hash
	limit       Target
	id          Hash
	upgrades    []Upgrade // those of Defaults: they do not change what names the network

	trace *Trace // nil but for an explanation, see Traced
}

// The values of Difficulty.Algorithm.
const (
	AlgorithmFixed = "fixed" // every block has the limit as its target
	AlgorithmASERT = "asert" // aserti3-2d with a moving anchor
)

// Difficulty says how the target of a block follows from its ancestors.
type Difficulty struct {
	Algorithm string `json:"algorithm"`
	HalfLife  uint32 `json:"half_life"` // seconds; 0 where the difficulty is fixed
}

// Defaults is what a node of the network starts with and its operator may
// change without leaving the network.
type Defaults struct {
	Magic         HexBytes   `json:"magic"`          // four bytes, before each block in files and each TCP message
	AddressPrefix string     `json:"address_prefix"` // human-readable part (BIP350)
	Ports         Ports      `json:"ports"`
	Seeds         []string   `json:"seeds"`     // peers to begin with, as URLs
	MaxDrift      uint32     `json:"max_drift"` // how many seconds a block may be ahead of the clock
	MinimumWork   HexBytes   `json:"minimum_work"`
	CoinType      uint32     `json:"coin_type"`               // BIP44
	BIP32         BIP32      `json:"bip32"`                   // how extended keys begin
	WIF           HexBytes   `json:"wif"`                     // one byte, before single private keys
	URIScheme     string     `json:"uri_scheme"`              // of payment requests (BIP21)
	SilentPrefix  string     `json:"silent_prefix"`           // human-readable part of silent payment addresses (BIP352)
	MockClock     bool       `json:"mock_clock"`              // whether setmocktime is allowed
	Playground    bool       `json:"playground,omitempty"`    // coins have no value: faucets, and wallets without a passphrase; may be left out
	PrivatePeers  bool       `json:"private_peers,omitempty"` // peers tell each other of addresses in private networks; may be left out
	Snapshots     []Snapshot `json:"snapshots"`               // that nodes may begin with
	Upgrades      []Upgrade  `json:"upgrades"`
}

// BIP32 is the four bytes that extended keys begin with.
type BIP32 struct {
	Private HexBytes `json:"private"`
	Public  HexBytes `json:"public"`
}

// Snapshot names the coins at one block, so that a node may begin with them
// before it has verified how they came to be.
type Snapshot struct {
	Height   uint32 `json:"height"`
	Base     Hash   `json:"base"`      // of the block
	UTXOHash Hash   `json:"utxo_hash"` // as Bitcoin Core's hash_serialized_3
}

// SnapshotHash is the UTXO hash (hash_serialized_3) that the chainspec names for
// the coins after a block.
func (s *Spec) SnapshotHash(base Hash) (Hash, bool) {
	for _, known := range s.Defaults.Snapshots {
		if known.Base == base {
			return known.UTXOHash, true
		}
	}
	return Hash{}, false
}

// Ports are the TCP ports that a node listens on; 0 is off.
type Ports struct {
	WebSocket uint16 `json:"websocket"`
	RPC       uint16 `json:"rpc"`
	TCP       uint16 `json:"tcp"`
}

// Genesis is the first block; it must not be changed.
func (r *Rules) Genesis() *Block { return r.genesis }

// GenesisHash is the hash of the first block.
func (r *Rules) GenesisHash() Hash { return r.genesisHash }

// Limit is the largest target that any block may have.
func (r *Rules) Limit() Target { return r.limit }

// ID is the SHA-256 of the rules in canonical form (RFC 8785), in the order of
// its bytes: it names the network in the handshake of peers.
func (r *Rules) ID() Hash { return r.id }

//go:embed specs/*.json
var embedded embed.FS

// SpecNames are the names of the embedded networks, the default one first.
var SpecNames = []string{"main", "testnet", "regtest"}

// EmbeddedSpec reads one of the networks named in SpecNames.
func EmbeddedSpec(name string) (*Spec, error) {
	if !slices.Contains(SpecNames, name) {
		return nil, fmt.Errorf("no network is called %q: the embedded ones are %s", name, strings.Join(SpecNames, ", "))
	}
	doc, err := embedded.ReadFile("specs/" + name + ".json")
	if err != nil {
		return nil, err
	}
	return parseSpec(doc)
}

// ErrSpec is the kind of every error of ParseSpec.
var ErrSpec = errors.New("chainspec refused")

// ParseSpec reads and checks a chainspec of one's own. Every field must be
// there once, and no other; the error names the first that is wrong. The names
// of the embedded networks are taken.
func ParseSpec(doc []byte) (*Spec, error) {
	spec, err := parseSpec(doc)
	if err == nil && slices.Contains(SpecNames, spec.Name) {
		err = fmt.Errorf("%w: %w", ErrSpec, fieldError("name", "is %q, which is an embedded network", spec.Name))
	}
	if err != nil {
		return nil, err
	}
	return spec, nil
}

func parseSpec(doc []byte) (*Spec, error) {
	spec := new(Spec)
	err := strictJSON(doc, spec, "")
	if err == nil {
		err = spec.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return spec, nil
}
