// Command oracle says what btcutil's psbt makes of PSBTs, one in base64 a line: a
// line of JSON for each. It is a module of its own, as that package needs a version
// of btcd that others here cannot have.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"

	"github.com/btcsuite/btcd/btcutil/psbt"
)

type verdict struct {
	Err   string // why it is refused
	PSBT  string // written back
	TxID  string // of the transaction without signatures
	Final string // the transaction, in hex, if it can be finalized
}

func judge(text string) (v verdict) {
	p, err := psbt.NewFromRawBytes(strings.NewReader(text), true)
	if err != nil {
		v.Err = err.Error()
		return v
	}
	v.TxID = p.UnsignedTx.TxHash().String()
	if v.PSBT, err = p.B64Encode(); err != nil {
		v.Err = err.Error()
		return v
	}
	if psbt.MaybeFinalizeAll(p) != nil {
		return v
	}
	tx, err := psbt.Extract(p)
	if err != nil {
		return v
	}
	var b strings.Builder
	if tx.Serialize(hex.NewEncoder(&b)) == nil {
		v.Final = b.String()
	}
	return v
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if err := out.Encode(judge(in.Text())); err != nil {
			os.Exit(1)
		}
	}
}
