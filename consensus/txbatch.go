package consensus

// TxBatch decodes transactions that are kept as long as each other, such as those of a file
// that is read whole. Their parts are cut from few large pieces of memory, and their ids are
// hashed from the bytes as they came: both take about half of the time of DecodeTx and TxID.
// The zero value is ready for use. It is for one goroutine.
type TxBatch struct {
	txs     []Tx
	ins     []TxIn
	outs    []TxOut
	items   [][]byte
	scratch []byte
}

// Decode is DecodeTx with the transaction's id; what it gives aliases raw.
func (b *TxBatch) Decode(raw []byte) (*Tx, Hash, error) {
	d := Decoder{buf: raw, batch: b}
	tx := d.Tx()
	if err := d.Finish(); err != nil {
		return nil, Hash{}, err
	}
	if !tx.HasWitness() {
		return tx, DoubleSHA256(raw), nil
	}
	// Without the marker and the witness; what is decoded has one encoding only.
	const marker, lockTime = 2, 4
	size := tx.StrippedSize()
	s := append(b.scratch[:0], raw[:4]...)
	s = append(s, raw[4+marker:marker+size-lockTime]...)
	s = append(s, raw[len(raw)-lockTime:]...)
	b.scratch = s
	return tx, DoubleSHA256(s), nil
}

// piece is how many elements TxBatch takes memory for at a time.
const piece = 512

// cut gives n elements that are zero, from what is left of a piece of memory.
func cut[T any](left *[]T, n int) []T {
	if n > piece/8 {
		return make([]T, n)
	}
	if n > len(*left) {
		*left = make([]T, piece)
	}
	c := (*left)[:n:n]
	*left = (*left)[n:]
	return c
}

func (d *Decoder) newTx() *Tx {
	if d.batch == nil {
		return new(Tx)
	}
	return &cut(&d.batch.txs, 1)[0]
}

func (d *Decoder) newIns(n int) []TxIn {
	if d.batch == nil {
		return make([]TxIn, n)
	}
	return cut(&d.batch.ins, n)
}

func (d *Decoder) newOuts(n int) []TxOut {
	if d.batch == nil {
		return make([]TxOut, n)
	}
	return cut(&d.batch.outs, n)
}

func (d *Decoder) newItems(n int) [][]byte {
	if d.batch == nil {
		return make([][]byte, n)
	}
	return cut(&d.batch.items, n)
}
