package electrum

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"lode/consensus"
	"lode/mempool"
	"lode/rpc/scripthash"
)

func hashes(t *testing.T, texts ...string) (list []consensus.Hash) {
	t.Helper()
	for _, s := range texts {
		h, err := consensus.ParseHash(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h)
	}
	return list
}

// TestScriptHashOfTheSpecification is its example of a script hash.
func TestScriptHashOfTheSpecification(t *testing.T) {
	script, _ := hex.DecodeString("76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac")
	if got := scripthash.Of(script).String(); got != "8b01df4e368ea28f8dc0423bcf7a4923e3a12d307c875e47a0cfbf90b5c39161" {
		t.Error(got)
	}
}

// TestStatusOfTheSpecification is the example of protocol 1.6: two transactions of one
// block, and unconfirmed ones that are given in another order.
func TestStatusOfTheSpecification(t *testing.T) {
	ids := hashes(t,
		"a6c9c361bd0bc536d6a22648efbf8f9b200e425ef6c3a7a9669dc444c532a347", "9c42f84b2fcdaff676ba25d9d4941741cc0d1a01cce0c23fdc4c0b2afa38431c",
		"770f2d4371b3fabb902dd9a103e2dd005fcd3971181078fca4a2a1d6ff127b30", "80b19848aed792565ab7c5a79b7c2a00fbf985741579396ebe0ab6098e607311",
		"e02a1dadfa83b996b24175df807b271ea5d02937ef5b35c195fac1e1bdc3198f", "bb4c8ab438c13b89ca80d1d5bee25b0b6b7f55673f4d801998ba97db161d9e85")
	txs := []scripthash.Tx{{TxID: ids[0], Height: 2472}, {TxID: ids[1], Height: 2473}, {TxID: ids[2], Height: 2473}}
	pool := []scripthash.PoolTx{{Entry: &mempool.Entry{TxID: ids[5]}, Depends: true}, {Entry: &mempool.Entry{TxID: ids[4]}}, {Entry: &mempool.Entry{TxID: ids[3]}}}
	scripthash.Sort(pool)
	const want = "78e96c6562cafa71c115503b9411fdfdc595a45031e2ab76ff75162fe1b0590d"
	if got := *statusOf(txs, pool).text(); got != want {
		t.Errorf("status %s, want %s", got, want)
	}
	pool[0], pool[1] = pool[1], pool[0]
	if *statusOf(txs, pool).text() == want {
		t.Error("the order does not matter")
	}
	if statusOf(nil, nil).text() != nil {
		t.Error("no transactions, and a status")
	}
}

// chainOf is a ledger of headers alone.
type chainOf struct {
	Ledger
	list []consensus.Hash
}

func (c *chainOf) HashAt(height uint32) (consensus.Hash, bool) {
	if int(height) >= len(c.list) {
		return consensus.Hash{}, false
	}
	return c.list[height], true
}

// TestHeaderProofOfTheSpecification is the example of block.header with a checkpoint,
// over the first headers of Bitcoin.
func TestHeaderProofOfTheSpecification(t *testing.T) {
	first := hashes(t,
		"000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048",
		"000000006a625f06636b8bb6ac7b960a8d03705d1ace08b1a19da3fdcc99ddbd", "0000000082b5015589a3fdf2d4baff403e6f0be035a5d9742c1cae6295464449",
		"000000004ebadb55ee9096c9a2f8880e09da59c0d68b1c228da88e48844a1485", "000000009b7262315dbf071787ad3656097b892abffd1f95a1a022f896f533fc",
		"000000003031a0e73735690c5a1ff2a4be82553b2a12b776fbd3a215dc8f778d", "0000000071966c2b1d065fd446b1e485b2c9d9594acd2007ccbd5441cfc89444",
		"00000000408c48f847aa786c2268fc3e6ec2af68e8468a34a28c61b7f1de0dc6")
	tree := headerTree{ledger: &chainOf{list: first}}
	branch, root, ok := tree.proof(5, 8)
	want := hashes(t, "000000004ebadb55ee9096c9a2f8880e09da59c0d68b1c228da88e48844a1485", "96cbbc84783888e4cc971ae8acf86dd3c1a419370336bb3c634c97695a8c5ac9",
		"965ac94082cebbcffe458075651e9cc33ce703ab0115c72d9e8b1a9906b2b636", "89e5daa6950b895190716dd26054432b564ccdc2868188ba1da76de8e1dc7591",
		"e347b1c43fd9b5415bf0d92708db8284b78daf4d0e24f9c3405f45feb85e25db")
	if !ok || len(branch) != 4 || [4]consensus.Hash(branch) != [4]consensus.Hash(want) || root != want[4] {
		t.Errorf("branch %v, root %v", branch, root)
	}
}

// TestHeaderProofsOfALongChain compares proofs by kept chunks with those by all leaves,
// at the edges of chunks and after a reorganization.
func TestHeaderProofsOfALongChain(t *testing.T) {
	c := &chainOf{}
	grow := func(from, to int, salt byte) {
		c.list = c.list[:from]
		for i := from; i < to; i++ {
			c.list = append(c.list, consensus.DoubleSHA256([]byte{byte(i), byte(i >> 8), byte(i >> 16), salt}))
		}
	}
	tree := headerTree{ledger: c}
	check := func(height, checkpoint uint32) {
		t.Helper()
		branch, root, ok := tree.proof(height, checkpoint)
		leaves := append([]consensus.Hash{}, c.list[:checkpoint+1]...)
		wantBranch, wantRoot := scripthash.MerkleBranch(leaves, int(height))
		if !ok || root != wantRoot || len(branch) != len(wantBranch) {
			t.Fatalf("height %d in %d: %t, root %s, want %s, branch of %d, want %d", height, checkpoint, ok, root, wantRoot, len(branch), len(wantBranch))
		}
		for i := range branch {
			if branch[i] != wantBranch[i] {
				t.Fatalf("height %d in %d: branch differs at %d", height, checkpoint, i)
			}
		}
	}
	all := func() {
		for _, checkpoint := range []uint32{1, 2, 5, 1022, 1023, 1024, 1025, 2046, 2047, 2048, 3071, 3072, 4095, 4099} {
			for _, height := range []uint32{0, 1, 1023, 1024, 2047, 2048, 3000, checkpoint - 1, checkpoint} {
				if height <= checkpoint {
					check(height, checkpoint)
				}
			}
		}
	}
	grow(0, 4100, 0)
	all()
	grow(1500, 4100, 1)
	all()
	if _, _, ok := tree.proof(1, 4100); ok {
		t.Error("a proof beyond the tip")
	}
}

// FuzzMessages reads what strangers send: whatever it is, it is answered or refused.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"method":"server.version","params":["electrum/4.6.2",["1.4","1.6"]]}`, `[{"id":null,"method":"server.ping"},{"method":"x","params":{"a":[]}}]`,
		`{"jsonrpc":"2.0","id":"a","method":"blockchain.block.headers","params":{"start_height":0,"count":2016,"cp_height":1}}`, `{}`, `[]`, `[[]]`, `{"id":{}}`, "\xff", `{"method":"server.version","params":[null,"1.4.2.1"]}`,
		`{"id":1,"method":"blockchain.scripthash.subscribe","params":["8b01df4e368ea28f8dc0423bcf7a4923e3a12d307c875e47a0cfbf90b5c39161"]}`,
	} {
		f.Add([]byte(seed))
	}
	table := methods()
	f.Fuzz(func(t *testing.T, line []byte) {
		_ = isObject(line)
		raws, batch, failed := parse(line)
		if failed != nil {
			return
		}
		if !batch && len(raws) != 1 || len(raws) == 0 || len(raws) > maxBatch {
			t.Fatalf("%d calls", len(raws))
		}
		for _, raw := range raws {
			c, failed := parseCall(raw)
			if !json.Valid(answer(c.id, 1, failed)) {
				t.Fatalf("an answer that is no JSON to %q", raw)
			}
			if failed != nil {
				continue
			}
			for _, m := range table {
				p, failed := bind(m, c)
				if failed != nil {
					continue
				}
				for i := range p.values {
					if !p.absent(i) {
						_, _, _, _, _ = p.number(i, 0), p.flag(i), p.hash(i, "x"), p.tx(i), p.texts(i)
						_, _, _ = versionRange(p.values[i])
					}
				}
			}
		}
	})
}
