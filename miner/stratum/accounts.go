package stratum

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"lode/consensus"
	"lode/internal/atomicfile"
	"lode/internal/plainly"
)

// accounts is who has worked, and what is owed to whom: the state of the pool. It
// outlives the node in two files.
type accounts struct {
	cfg    *Config
	saving sync.Mutex // held while accountsFile is written, so that the older state is not written last

	mu     sync.Mutex // guards what follows
	payees *payees
	// What is carried over is that of blocks so deep that they stay, and that of
	// younger ones as far as they are part of the chain when it is looked at. So a
	// block that is reorganized away is taken back, and counts again if it returns.
	settled map[string]consensus.Amount
	blocks  []foundBlock // the oldest first
	found   int          // blocks of the pool that are settled
}

// foundBlock is a block that the pool has found.
type foundBlock struct {
	Hash   consensus.Hash              `json:"hash"`
	Height uint32                      `json:"height"`
	Due    map[string]consensus.Amount `json:"due,omitempty"` // see distribution
}

const (
	settledAfter = 100 // blocks on top of one
	accountsFile = "pool.json"
	windowFile   = "pool-window.json"
	fileVersion  = 1
	maxFile      = 256 << 20 // bytes; settledAfter blocks with maxPayees each are less
)

// errDamaged is the kind of error for a file that does not hold what it should.
var errDamaged = errors.New("is damaged")

// openAccounts reads the state of the pool. A damaged file is put aside, and what
// it held is begun anew.
func openAccounts(cfg *Config) (*accounts, error) {
	a := &accounts{cfg: cfg, payees: newPayees(uint64(cfg.Window) * scoreOne), settled: make(map[string]consensus.Amount)}
	for _, f := range []struct {
		name string
		read func([]byte) error
	}{{accountsFile, a.readAccounts}, {windowFile, a.readWindow}} {
		file := filepath.Join(cfg.Dir, f.name)
		b, err := readFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f.read(b)
		}
		if errors.Is(err, errDamaged) {
			aside := fmt.Sprintf("%s.damaged-%d", file, time.Now().Unix())
			if err := os.Rename(file, aside); err != nil {
				return nil, err
			}
			cfg.Log.Warn("the pool begins anew: its file "+err.Error(), "file", file, "kept", aside)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// savedAccounts is the JSON of accountsFile.
type savedAccounts struct {
	Version int                         `json:"version"`
	Carry   map[string]consensus.Amount `json:"carry"` // sat by address, of settled blocks
	Blocks  []foundBlock                `json:"blocks"`
	Found   int                         `json:"found"`
}

// savedWindow is the JSON of windowFile.
type savedWindow struct {
	Version int                 `json:"version"`
	Slices  []map[string]uint64 `json:"slices"`            // scores by address, the oldest first
	Waiting map[string]uint64   `json:"waiting,omitempty"` // of those who have too little for a place
}

func (a *accounts) readAccounts(b []byte) error {
	var saved savedAccounts
	if err := json.Unmarshal(b, &saved); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, plainly.Error(err))
	}
	if saved.Version != fileVersion {
		return fmt.Errorf("%w: version %d, want %d", errDamaged, saved.Version, fileVersion)
	}
	if saved.Found < 0 {
		return fmt.Errorf("%w: %d blocks were found", errDamaged, saved.Found)
	}
	most := a.cfg.Spec.Rules.MaxMoney
	for _, due := range append([]foundBlock{{Due: saved.Carry}}, saved.Blocks...) {
		var sum consensus.Amount
		for payee, amount := range due.Due {
			if canonical, err := a.cfg.payee(payee); err != nil || canonical != payee || amount < -most || amount > most {
				return fmt.Errorf("%w: %.100q is owed %d sat", errDamaged, payee, amount)
			}
			sum += amount
		}
		if sum != 0 {
			return fmt.Errorf("%w: what is carried over sums up to %d sat, want 0", errDamaged, sum)
		}
	}
	if saved.Carry != nil {
		a.settled = saved.Carry
	}
	a.blocks, a.found = saved.Blocks, saved.Found
	return nil
}

func (a *accounts) readWindow(b []byte) error {
	var saved savedWindow
	if err := json.Unmarshal(b, &saved); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, plainly.Error(err))
	}
	if saved.Version != fileVersion {
		return fmt.Errorf("%w: version %d, want %d", errDamaged, saved.Version, fileVersion)
	}
	const most = 1 << 61 // of all scores together
	var total uint64
	for _, scores := range append(slices.Clone(saved.Slices), saved.Waiting) {
		for payee, score := range scores {
			if canonical, err := a.cfg.payee(payee); err != nil || canonical != payee || score == 0 || score > most-total {
				return fmt.Errorf("%w: %.100q has the score %d", errDamaged, payee, score)
			}
			total += score
		}
	}
	a.payees.restore(saved.Slices, saved.Waiting)
	return nil
}

// restore adds a slice that was saved.
func (w *window) restore(scores map[string]uint64) {
	s := slice{scores: maps.Clone(scores)}
	for payee, score := range scores {
		s.total += score
		w.total += score
		w.scores[payee] += score
	}
	w.slices = append(w.slices, s)
}

// save writes the state of the pool.
func (a *accounts) save() error {
	a.mu.Lock()
	w := savedWindow{Version: fileVersion, Waiting: a.payees.waiting.scores()}
	for _, s := range a.payees.window.slices {
		w.Slices = append(w.Slices, maps.Clone(s.scores))
	}
	a.mu.Unlock()
	return errors.Join(a.saveAccounts(), writeFile(filepath.Join(a.cfg.Dir, windowFile), w))
}

func (a *accounts) saveAccounts() error {
	a.saving.Lock()
	defer a.saving.Unlock()
	a.mu.Lock()
	saved := savedAccounts{fileVersion, maps.Clone(a.settled), slices.Clone(a.blocks), a.found}
	a.mu.Unlock()
	return writeFile(filepath.Join(a.cfg.Dir, accountsFile), saved)
}

// add counts a share. It reports whether it is the first that a block would pay.
func (a *accounts) add(payee string, score uint64) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := len(a.payees.window.scores)
	a.payees.add(payee, score)
	return before == 0 && len(a.payees.window.scores) > 0
}

// least is the score that proves work: what a place in the window costs.
func (a *accounts) least() uint64 { return a.payees.least }

// distribute divides the value of a block on the present tip. It pays nobody if
// there are no shares.
func (a *accounts) distribute(value consensus.Amount) distribution {
	carry := a.carry()
	a.mu.Lock()
	scores := maps.Clone(a.payees.window.scores)
	a.mu.Unlock()
	if len(scores) == 0 {
		return distribution{}
	}
	return distribute(value, scores, carry, a.cfg.Dust, a.cfg.payees())
}

// carry is what is carried over on the present tip. Blocks that are deep enough
// become part of it for good. The ledger is asked without the lock: while it takes
// in a block, shares go on.
func (a *accounts) carry() map[string]consensus.Amount {
	tip, active := a.cfg.Ledger.Tip(), a.active()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.blocks) > 0 && a.blocks[0].Height+settledAfter <= tip.Height {
		if b := a.blocks[0]; active[b.Hash] {
			addDue(a.settled, b.Due)
			a.found++
			trim(a.settled, a.payees.window.scores, maxPayees)
		}
		a.blocks = a.blocks[1:]
	}
	carry := maps.Clone(a.settled)
	for _, b := range a.blocks {
		if active[b.Hash] {
			addDue(carry, b.Due)
		}
	}
	return carry
}

// active says which of the blocks are part of the chain.
func (a *accounts) active() map[consensus.Hash]bool {
	a.mu.Lock()
	blocks := slices.Clone(a.blocks)
	a.mu.Unlock()
	active := make(map[consensus.Hash]bool, len(blocks))
	for _, b := range blocks {
		info, ok := a.cfg.Ledger.Header(b.Hash)
		active[b.Hash] = ok && info.Active
	}
	return active
}

func addDue(carry, due map[string]consensus.Amount) {
	for payee, amount := range due {
		if carry[payee] += amount; carry[payee] == 0 {
			delete(carry, payee)
		}
	}
}

// record remembers a block before the ledger has it, so that it is accounted for
// whatever happens then. It reports false for one that was recorded before: a share
// that is one too many of its job may come any number of times.
func (a *accounts) record(b foundBlock) (first bool) {
	a.mu.Lock()
	first = !slices.ContainsFunc(a.blocks, func(other foundBlock) bool { return other.Hash == b.Hash })
	if first {
		a.blocks = append(a.blocks, b)
	}
	a.mu.Unlock()
	if !first {
		return false
	}
	if len(b.Due) > 0 { // else it changes nothing but a count
		if err := a.saveAccounts(); err != nil {
			a.cfg.Log.Error("what the pool carries over is not on disk", "error", err)
		}
	}
	return true
}

// forget is for a block that the ledger refused.
func (a *accounts) forget(hash consensus.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.blocks {
		if a.blocks[i].Hash == hash {
			a.blocks = append(a.blocks[:i:i], a.blocks[i+1:]...)
			return
		}
	}
}

// readFile reads a file of the pool.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%w: more than %d bytes", errDamaged, maxFile)
	}
	return b, err
}

// writeFile writes JSON into a new file that then takes the place of the old one.
func writeFile(file string, doc any) error {
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(b, '\n'))
}
