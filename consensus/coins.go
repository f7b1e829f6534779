package consensus

// Coin is an unspent Taproot output.
type Coin struct {
	Value    Amount
	Key      [32]byte // the output key (BIP341); need not be on the curve
	Height   uint32   // of the block that made it
	Coinbase bool
}

// Output is the transaction output that made c.
func (c *Coin) Output() TxOut { return TxOut{Value: c.Value, Script: TaprootScript(c.Key)} }

// CoinSource looks coins up. What cannot be found is spent or never was.
type CoinSource interface {
	Coin(OutPoint) (Coin, bool)
}

// Coins is a set of coins in memory.
type Coins map[OutPoint]Coin

// Coin looks a coin up.
func (c Coins) Coin(o OutPoint) (Coin, bool) {
	coin, ok := c[o]
	return coin, ok
}

// View is the coins as they would be after some transactions. The block in
// progress, the mempool and the template for the next block all use it, so that
// the three cannot disagree. It never changes what it stands on.
type View struct {
	base  CoinSource
	spent map[OutPoint]struct{} // of base
	made  Coins
}

// NewView stands on base and has no changes yet.
func NewView(base CoinSource) *View {
	return &View{base: base, spent: make(map[OutPoint]struct{}), made: make(Coins)}
}

// Coin looks a coin up.
func (v *View) Coin(o OutPoint) (Coin, bool) {
	if c, ok := v.made[o]; ok {
		return c, true
	}
	if _, gone := v.spent[o]; gone {
		return Coin{}, false
	}
	return v.base.Coin(o)
}

// Inputs looks up the coins that tx spends, in the order of its inputs. ok is
// false, and missing the first that is not there, if any is not there.
func (v *View) Inputs(tx *Tx) (coins []Coin, missing OutPoint, ok bool) {
	coins = make([]Coin, len(tx.In))
	for i := range tx.In {
		if coins[i], ok = v.Coin(tx.In[i].PrevOut); !ok {
			return nil, tx.In[i].PrevOut, false
		}
	}
	return coins, OutPoint{}, true
}

// ApplyTx removes the coins that tx spends, which must be there, and adds those
// that it makes at height.
func (v *View) ApplyTx(tx *Tx, id Hash, height uint32) {
	coinbase := tx.IsCoinbase()
	if !coinbase {
		for i := range tx.In {
			v.remove(tx.In[i].PrevOut)
		}
	}
	for i := range tx.Out {
		if key, ok := TaprootKey(tx.Out[i].Script); ok {
			v.add(OutPoint{id, uint32(i)}, Coin{tx.Out[i].Value, key, height, coinbase})
		}
	}
}

// RevertTx undoes ApplyTx: it removes the coins that tx made and puts back
// those that it spent, in the order of its inputs.
func (v *View) RevertTx(tx *Tx, id Hash, spent []Coin) {
	for i := range tx.Out {
		if _, ok := TaprootKey(tx.Out[i].Script); ok {
			v.remove(OutPoint{id, uint32(i)})
		}
	}
	for i := range spent {
		v.add(tx.In[i].PrevOut, spent[i])
	}
}

func (v *View) add(o OutPoint, c Coin) { v.made[o] = c }

func (v *View) remove(o OutPoint) {
	if _, ok := v.made[o]; ok {
		delete(v.made, o) // and if base has it too, it is in spent already
		return
	}
	v.spent[o] = struct{}{}
}

// Changes gives what must be removed from the base and what must then be added
// for the base to become v.
func (v *View) Changes() (removed map[OutPoint]struct{}, added Coins) { return v.spent, v.made }
