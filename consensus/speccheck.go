package consensus

import (
	"bytes"
	"crypto/sha256"
	"net/url"
	"regexp"
	"slices"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	prefixForm = regexp.MustCompile(`^[a-z0-9]{1,16}$`)
	schemeForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]{0,31}$`) // RFC 3986
)

// check refuses impossible values, by field, and fills in what is derived.
func (s *Spec) check() error {
	if !nameForm.MatchString(s.Name) {
		return fieldError("name", "is %.40q: want 1 to 32 of a-z, 0-9 and -", s.Name)
	}
	for _, check := range []func() error{s.Rules.check, s.Rules.derive, s.checkDefaults, s.checkUpgrades} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// possible is a value of a field that is either possible or not.
type possible struct {
	ok         bool
	path, want string
}

// firstImpossible is the error for the first field that is not possible.
func firstImpossible(fields []possible) error {
	for _, f := range fields {
		if !f.ok {
			return fieldError(f.path, "has an impossible value: want %s", f.want)
		}
	}
	return nil
}

// The limits of what a chainspec may say. The upper ones are Bitcoin's, so that
// no arithmetic in the rules has to be prepared for more.
const (
	maxTargetSpacing   = 65535
	maxMoney           = 1 << 53 // the largest integer that every JSON reader keeps
	minBlockWeight     = 4000
	maxBlockWeight     = 4_000_000
	maxBlockSigopsCost = 80_000
)

func (r *Rules) check() error {
	asert := r.Difficulty.Algorithm == AlgorithmASERT
	return firstImpossible([]possible{
		{asert || r.Difficulty.Algorithm == AlgorithmFixed, "rules.difficulty.algorithm", `"fixed" or "asert"`},
		{asert == (r.Difficulty.HalfLife > 0), "rules.difficulty.half_life", "seconds for asert, 0 for fixed"},
		{r.TargetSpacing > 0 && r.TargetSpacing <= maxTargetSpacing, "rules.target_spacing", "1 to 65535 seconds"},
		{r.MaxMoney > 0 && r.MaxMoney <= maxMoney, "rules.max_money", "1 to 2^53 sat"},
		{r.InitialSubsidy >= 0 && r.InitialSubsidy <= r.MaxMoney, "rules.subsidy", "0 to max_money sat"},
		{r.HalvingInterval > 0, "rules.halving_interval", "at least 1 block"},
		{r.Maturity > 0 && r.Maturity < 1<<31, "rules.maturity", "1 to 2^31-1 blocks"},
		{r.MaxBlockWeight >= minBlockWeight && r.MaxBlockWeight <= maxBlockWeight, "rules.max_block_weight", "4000 to 4000000"},
		{r.MaxBlockSigopsCost >= 0 && r.MaxBlockSigopsCost <= maxBlockSigopsCost, "rules.max_block_sigops_cost", "0 to 80000"},
	})
}

func (s *Spec) checkDefaults() error {
	d, difficulty := &s.Defaults, s.Rules.Difficulty
	drift := difficulty.Algorithm != AlgorithmASERT || d.MaxDrift <= difficulty.HalfLife/6
	return firstImpossible([]possible{
		{len(d.Magic) == 4, "defaults.magic", "four bytes"},
		{prefixForm.MatchString(d.AddressPrefix), "defaults.address_prefix", "1 to 16 of a-z and 0-9"},
		{d.Ports.WebSocket > 0, "defaults.ports.websocket", "a port"},
		{d.Ports.RPC > 0 && d.Ports.RPC != d.Ports.WebSocket, "defaults.ports.rpc", "a port of its own"},
		{d.Ports.TCP == 0 || d.Ports.TCP != d.Ports.WebSocket && d.Ports.TCP != d.Ports.RPC, "defaults.ports.tcp", "0 or a port of its own"},
		{!slices.ContainsFunc(d.Seeds, badSeed), "defaults.seeds", "URLs that begin with ws://, wss:// or tcp://"},
		{d.MaxDrift > 0, "defaults.max_drift", "at least 1 second"},
		{drift, "defaults.max_drift", "at most a sixth of the half-life"},
		{len(d.MinimumWork) == 32, "defaults.minimum_work", "32 bytes"},
		{!slices.ContainsFunc(d.Snapshots, badSnapshot), "defaults.snapshots", "heights of at least 1, and hashes"},
		{len(d.BIP32.Private) == 4, "defaults.bip32.private", "four bytes"},
		{len(d.BIP32.Public) == 4 && !bytes.Equal(d.BIP32.Public, d.BIP32.Private), "defaults.bip32.public", "four bytes that are not the private ones"},
		{len(d.WIF) == 1, "defaults.wif", "one byte"},
		{schemeForm.MatchString(d.URIScheme), "defaults.uri_scheme", "a letter and at most 31 more of a-z, 0-9, +, . and -"},
		{prefixForm.MatchString(d.SilentPrefix) && d.SilentPrefix != d.AddressPrefix, "defaults.silent_prefix", "1 to 16 of a-z and 0-9, and not the prefix of addresses"},
		{d.CoinType < 1<<31, "defaults.coin_type", "less than 2^31 (BIP44)"},
	})
}

func badSnapshot(s Snapshot) bool {
	return s.Height == 0 || s.Base == Hash{} || s.UTXOHash == Hash{}
}

func badSeed(s string) bool {
	u, err := url.Parse(s)
	return err != nil || u.Host == "" || !slices.Contains([]string{"ws", "wss", "tcp"}, u.Scheme)
}

// derive checks the limit of the targets and the genesis block, and remembers
// what follows from them.
func (r *Rules) derive() error {
	if err := r.deriveLimit(); err != nil {
		return err
	}
	const path = "rules.genesis"
	block, err := DecodeBlock(r.GenesisHex)
	if err != nil {
		return fieldError(path, "is not a block: %v", err)
	}
	root, _ := MerkleRoot(block.TxIDs())
	hash := block.Header.Hash()
	switch {
	case block.Prev != Hash{}:
		return fieldError(path, "has a parent, %s", block.Prev)
	case len(block.Txs) != 1 || !block.Txs[0].IsCoinbase():
		return fieldError(path, "wants one transaction, a coinbase")
	case block.Txs[0].HasWitness(): // the hash would not commit to it
		return fieldError(path, "has a witness")
	case root != block.MerkleRoot:
		return fieldError(path, "has not the merkle root of its transaction, %s", root)
	case block.Bits != uint32(r.PowLimit):
		return fieldError(path, "has bits %s, want the limit %s", Bits(block.Bits), r.PowLimit)
	case !hash.MeetsTarget(&r.limit):
		return fieldError(path, "has hash %s, without the work that its bits claim", hash)
	}
	canonical, err := canonicalJSON(r)
	if err != nil {
		return err
	}
	r.genesis, r.genesisHash, r.id = block, hash, sha256.Sum256(canonical)
	return nil
}

func (r *Rules) deriveLimit() error {
	limit, ok := TargetFromBits(uint32(r.PowLimit))
	if !ok || BitsFromTarget(limit) != uint32(r.PowLimit) {
		return fieldError("rules.pow_limit", "is %s, which is no target in its shortest form", r.PowLimit)
	}
	r.limit = limit
	return nil
}
