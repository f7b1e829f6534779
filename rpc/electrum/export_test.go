package electrum

import "lode/rpc/scripthash"

// StatusText is the status of a history as it is written.
func StatusText(txs []scripthash.Tx, pool []scripthash.PoolTx) *string {
	return statusOf(txs, pool).text()
}
