package wallet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"lode/consensus"
)

// watchVersion is the version of the watch file that this program writes.
const watchVersion = 1

// maxWatchSize bounds what is read of a watch file, in bytes: some millions of
// transactions.
const maxWatchSize = 1 << 30

// Point is a place in a chain.
type Point struct {
	Height uint32         `json:"height"`
	Hash   consensus.Hash `json:"hash"`
}

// watchDoc is the watch file. Coins are not in it: they follow from the
// transactions, so that a reorg only has to drop the transactions above the
// fork, and nothing can disagree with itself.
type watchDoc struct {
	Version     int                `json:"version"`
	Network     string             `json:"network"`
	Rules       consensus.HexBytes `json:"rules"` // consensus.Rules.ID
	XPub        string             `json:"xpub"`
	Fingerprint string             `json:"fingerprint"`
	Next        [2]uint32          `json:"next"` // by chain: the first index that was never handed out
	Labels      map[KeyPath]string `json:"labels"`
	Start       Point              `json:"start"`  // the wallet is younger than what follows this block
	Points      []Point            `json:"points"` // scanned, rising, the last one is the tip
	Records     []*Record          `json:"transactions"`
	Pending     []*Record          `json:"pending"` // in the node's mempool when last asked
}

// Record is a transaction that pays the wallet or spends from it.
type Record struct {
	TxID     consensus.Hash   `json:"txid"`
	Height   uint32           `json:"height"` // 0 if pending
	Time     uint32           `json:"time"`   // of the block, Unix seconds; 0 if pending
	Coinbase bool             `json:"coinbase,omitempty"`
	Inputs   int              `json:"inputs"`           // all of them
	Total    consensus.Amount `json:"total"`            // of all outputs, sat
	Spends   []Spend          `json:"spends,omitempty"` // coins of the wallet
	Makes    []Make           `json:"makes,omitempty"`  // coins of the wallet
	Pays     []Payee          `json:"pays,omitempty"`   // others, if the wallet is among the spenders
}

// Spend is an input that spends a coin of the wallet.
type Spend struct {
	TxID  consensus.Hash   `json:"txid"`
	Index uint32           `json:"n"`
	Value consensus.Amount `json:"value"` // sat
}

func (s Spend) outPoint() consensus.OutPoint { return consensus.OutPoint{TxID: s.TxID, Index: s.Index} }

// Make is an output that pays a key of the wallet.
type Make struct {
	Index uint32           `json:"n"`
	Value consensus.Amount `json:"value"` // sat
	Path  KeyPath          `json:"path"`
}

// Payee is an output that pays somebody else.
type Payee struct {
	Address string           `json:"address"`
	Value   consensus.Amount `json:"value"` // sat
}

func newWatchDoc(spec *consensus.Spec, account *Account, start Point) *watchDoc {
	id := spec.Rules.ID()
	return &watchDoc{
		Version: watchVersion, Network: spec.Name, Rules: id[:],
		XPub: account.XPub(), Fingerprint: hex.EncodeToString(account.Fingerprint[:]),
		Labels: make(map[KeyPath]string), Start: start, Points: []Point{start},
	}
}

// loadWatch reads a watch file of this network.
func loadWatch(path string, spec *consensus.Spec) (*watchDoc, error) {
	b, err := readFile(path, maxWatchSize)
	if err != nil {
		return nil, err
	}
	var head struct {
		Version int                `json:"version"`
		Network string             `json:"network"`
		Rules   consensus.HexBytes `json:"rules"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, damagedWatch(path, err)
	}
	id := spec.Rules.ID()
	switch {
	case head.Version != watchVersion:
		return nil, fmt.Errorf("watch file %s has version %d, this program knows %d: use the program that wrote it", path, head.Version, watchVersion)
	case head.Network != spec.Name:
		return nil, fmt.Errorf("watch file %s: %w: it was made for %q, want %q", path, ErrNetwork, head.Network, spec.Name)
	case !bytes.Equal(head.Rules, id[:]):
		return nil, fmt.Errorf("watch file %s: %w: that one is called %q too, but has other rules", path, ErrNetwork, head.Network)
	}
	doc := new(watchDoc)
	if err := json.Unmarshal(b, doc); err != nil {
		return nil, damagedWatch(path, err)
	}
	if err := doc.check(); err != nil {
		return nil, damagedWatch(path, err)
	}
	if doc.Labels == nil {
		doc.Labels = make(map[KeyPath]string)
	}
	return doc, nil
}

// damagedWatch says what to do about a watch file that cannot be read.
func damagedWatch(path string, why error) error {
	return fmt.Errorf("watch file %s is %w (%w): move it away, and the next command builds it anew with the passphrase; labels are lost", path, ErrDamaged, why)
}

// check looks for what this program never writes.
func (d *watchDoc) check() error {
	if len(d.Points) == 0 {
		return fmt.Errorf("it has no points")
	}
	for i := 1; i < len(d.Points); i++ {
		if d.Points[i].Height <= d.Points[i-1].Height {
			return fmt.Errorf("its points do not rise")
		}
	}
	for _, next := range d.Next {
		if next >= 1<<31 {
			return fmt.Errorf("index %d is no index of a key", next)
		}
	}
	tip := d.Points[len(d.Points)-1].Height
	last := uint32(0)
	for _, r := range d.Records {
		if r == nil || r.Height < max(last, 1) || r.Height > tip {
			return fmt.Errorf("its transactions are not in order")
		}
		last = r.Height
	}
	for _, r := range d.Pending {
		if r == nil {
			return fmt.Errorf("a pending transaction is null")
		}
	}
	return nil
}

func (d *watchDoc) tip() Point { return d.Points[len(d.Points)-1] }

// How many of the last points are all kept, and how densely those before are:
// so that the fork of a reorg is found at about a sixteenth of its depth.
const (
	recentPoints = 100
	pointDensity = 16
)

// addPoint makes p the tip and forgets points that are no longer needed. A
// point at depth d stays if its height is a multiple of the largest power of
// two up to d/16: what stays at one depth has stayed at all lesser ones.
func (d *watchDoc) addPoint(p Point) {
	d.Points = append(d.Points, p)
	if len(d.Points)%recentPoints != 0 {
		return // in batches: it need not be exact
	}
	kept := d.Points[:1] // the start
	for _, q := range d.Points[1:] {
		depth, spacing := p.Height-q.Height, uint32(1)
		for spacing*2 <= depth/pointDensity {
			spacing *= 2
		}
		if depth < recentPoints || q.Height%spacing == 0 {
			kept = append(kept, q)
		}
	}
	d.Points = kept
}
