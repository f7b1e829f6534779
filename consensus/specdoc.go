package consensus

// SpecField is what a chainspec says in one place.
type SpecField struct{ Path, Doc string }

// SpecFields documents every field of a chainspec, in the order of the document.
// "[]" stands behind the name of a list.
var SpecFields = []SpecField{
	{"name", "a-z, 0-9 and -, at most 32; names the network and its directory inside --datadir"},

	{"rules", "what all nodes must agree on: the hash of it names the network in the handshake"},
	{"rules.genesis", "the whole first block in hex; `lode chain spec --mine` makes it"},
	{"rules.pow_limit", "the easiest target of a block as 8 hex digits of compact bits; the first blocks have it, so it is the difficulty to begin with"},
	{"rules.difficulty.algorithm", "\"asert\" follows the hash rate, \"fixed\" leaves every block at the limit"},
	{"rules.difficulty.half_life", "seconds that blocks must be late or early in all to halve or double the difficulty; 0 where it is fixed"},
	{"rules.target_spacing", "seconds between two blocks"},
	{"rules.subsidy", "sat that each of the first blocks makes"},
	{"rules.halving_interval", "blocks after which the subsidy is halved"},
	{"rules.max_money", "sat, the most that any amount or sum may be"},
	{"rules.maturity", "blocks after which what a block makes can be spent"},
	{"rules.max_block_weight", "weight units of a block (BIP141), at most 4000000"},
	{"rules.max_block_sigops_cost", "signature operations of a block, those of output scripts counted four times, at most 80000"},

	{"defaults", "what a node begins with; its operator may change it and stays in the network"},
	{"defaults.magic", "4 bytes in hex before each block in files and each message on TCP; choose your own"},
	{"defaults.address_prefix", "what addresses begin with, before the 1; choose your own, so that none is paid in another network"},
	{"defaults.ports.websocket", "port for peers by WebSocket; choose your own to run beside another network"},
	{"defaults.ports.rpc", "port for RPC"},
	{"defaults.ports.tcp", "port for peers by Bitcoin's TCP protocol; 0 for none, and then peers by name are WebSocket's"},
	{"defaults.seeds[]", "URLs of peers to begin the search with"},
	{"defaults.max_drift", "seconds that a block may be ahead of a node's clock, at most a sixth of the half-life"},
	{"defaults.minimum_work", "32 bytes in hex: the work that the chain is known to have; a node with less is still syncing"},
	{"defaults.coin_type", "number of the coin in the paths of wallets (BIP44)"},
	{"defaults.bip32.private", "4 bytes in hex that private extended keys begin with (BIP32); those of Bitcoin's test networks make tprv"},
	{"defaults.bip32.public", "4 bytes in hex that public ones begin with; those of Bitcoin's test networks make tpub"},
	{"defaults.wif", "1 byte in hex that single private keys begin with (WIF)"},
	{"defaults.uri_scheme", "what payment requests begin with, before the colon (BIP21)"},
	{"defaults.silent_prefix", "what silent payment addresses begin with, before the 1 (BIP352); choose your own"},
	{"defaults.mock_clock", "whether setmocktime is allowed, for tests"},
	{"defaults.playground", "whether coins have no value: then there are faucets, and wallets without a passphrase; may be left out, and then they have"},
	{"defaults.private_peers", "whether peers may be at private addresses, for a network inside a house; may be left out, and then not"},
	{"defaults.snapshots[].height", "height of the block whose coins --snapshot may begin with"},
	{"defaults.snapshots[].base", "hash of that block"},
	{"defaults.snapshots[].utxo_hash", "hash of those coins, hash_serialized_3"},
	{"defaults.upgrades[].name", "names a soft fork, as the network is named"},
	{"defaults.upgrades[].height", "height of the first block under it; 0 where blocks signal for it"},
	{"defaults.upgrades[].signal.bit", "bit of the version that signals, 0 to 28; all of signal is 0 where the height is fixed"},
	{"defaults.upgrades[].signal.start", "height from which on signals count"},
	{"defaults.upgrades[].signal.timeout", "height at which it fails if it is not locked in"},
	{"defaults.upgrades[].signal.window", "blocks over which signals are counted"},
	{"defaults.upgrades[].signal.threshold", "signals in one window that lock it in"},
	{"defaults.upgrades[].max_block_weight", "weight units of a block under it, at most what the rules say"},
}
