package testnet_test

import (
	"encoding/hex"
	"path/filepath"
	"testing"

	"lode/consensus"
	"lode/wallet"
)

// resign is a transaction that spends the first coin that the given one spends,
// a coinbase to the wallet's first address, and pays the same fee for the same
// size: the amounts are shifted by one sat. The wallet itself would never make
// it, so it is put together here, with the wallet's own keys.
func resign(t *testing.T, n *node, raw string) string {
	t.Helper()
	spec, err := consensus.EmbeddedSpec(n.network)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := hex.DecodeString(raw)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := consensus.DecodeTx(bytes)
	if err != nil {
		t.Fatal(err)
	}
	files := wallet.FilesOf(filepath.Join(n.datadir, n.network, "wallet.age"))
	w, err := wallet.Open(t.Context(), files, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	secret, err := files.OpenSecret(spec, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	value := spec.Rules.Subsidy(1)
	rival := tx.Clone()
	rival.Out[0].Value--
	rival.Out[1].Value++
	signed, err := w.Sign(&wallet.Draft{
		Tx:     rival,
		Spends: []wallet.Coin{{OutPoint: tx.In[0].PrevOut, Value: value, Key: wallet.KeyID{}, Height: 1, Coinbase: true}},
		Fee:    value - tx.OutputSum(),
	}, secret)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(signed.Bytes())
}
