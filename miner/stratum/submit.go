package stratum

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// submit takes a share: [user, job, extra nonce 2, time, nonce], and with BIP310
// the bits of the version. nil means that it counts.
func (c *conn) submit(m *message) *Error {
	name, _ := m.text(0)
	c.mu.Lock()
	w, subscribed := c.users[name], c.subscribed
	c.mu.Unlock()
	if !subscribed {
		return errNotSubscribed
	}
	if w == nil {
		c.s.workers.refuse()
		return errUnauthorized
	}
	err := c.share(w, m)
	if err != nil {
		w.refused(err)
	}
	return err
}

func (c *conn) share(w *worker, m *message) *Error {
	i, sol, err := c.solution(m)
	if err != nil {
		return err
	}
	h, buf := i.header(c.extra1, sol, c.buf)
	c.buf = buf
	hash := h.Hash()
	if !hash.MeetsTarget(&i.target) {
		return errLow
	}
	// A stale share counts for nothing, but its block may still become the better
	// one.
	stale := i.template.Tip.Hash != c.s.current.Load().template.Tip.Hash
	now, hashes := time.Now(), hashesOf(i.difficulty)
	err = c.remember(i, sol)
	switch {
	case err == errDuplicate:
		return err
	case err == nil && stale:
		err = errStale
	case err == nil: // before its block has everybody paid anew
		w.accepted(hashes, i.score, now)
		cutUnproven(c.s.workers.prove(w, c))
		c.s.credit(w.payee, i.score)
	}
	if hash.MeetsTarget(&i.work.target) {
		c.s.found(c, w, i, sol, h)
	}
	if err == nil {
		c.credit(hashes, i.score, now)
		c.adjust(now)
	}
	return err
}

// remember makes sure that a share counts once.
func (c *conn) remember(i *issue, sol solution) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := i.seen[sol]; ok {
		return errDuplicate
	}
	if len(i.seen) >= maxSeen {
		return fail(codeOther, "more than %d shares of one job", maxSeen)
	}
	i.seen[sol] = struct{}{}
	return nil
}

// solution reads the fields of a share, and finds its job.
func (c *conn) solution(m *message) (*issue, solution, *Error) {
	var sol solution
	invalid := func(format string, args ...any) (*issue, solution, *Error) {
		return nil, sol, fail(codeOther, format, args...)
	}
	id, ok := m.text(1)
	if !ok {
		return invalid("Invalid job: want the string that mining.notify had")
	}
	c.mu.Lock()
	n := slices.IndexFunc(c.issued, func(i *issue) bool { return i.id == id })
	var i *issue
	if n >= 0 {
		i = c.issued[n]
	}
	mask := c.mask
	c.mu.Unlock()
	extra2, ok := m.text(2)
	if b, err := hex.DecodeString(extra2); !ok || err != nil || len(b) != extra2Size {
		return invalid("Invalid extranonce2: want %d hex digits", 2*extra2Size)
	} else {
		copy(sol.extra2[:], b)
	}
	if sol.time, ok = m.word(3); !ok {
		return invalid("Invalid ntime: want 8 hex digits")
	}
	if sol.nonce, ok = m.word(4); !ok {
		return invalid("Invalid nonce: want 8 hex digits")
	}
	rolls := len(m.Params) > 5 && string(m.Params[5]) != "null"
	if rolls {
		if sol.version, ok = m.word(5); !ok || sol.version&^mask != 0 {
			return invalid("Invalid version bits: want 8 hex digits, and no bits but those of the mask %08x", mask)
		}
	}
	if i == nil {
		return nil, sol, errStale
	}
	if !rolls {
		mask = 0
	}
	sol.version |= uint32(i.mining.Version) &^ mask
	latest := c.s.cfg.Templates.Now().Unix() + int64(c.s.cfg.Spec.Defaults.MaxDrift)
	if sol.time < i.template.MinTime || int64(sol.time) > latest {
		return invalid("Invalid ntime: %d is not within %d and %d", sol.time, i.template.MinTime, latest)
	}
	return i, sol, nil
}

// configure answers mining.configure (BIP310). The caller holds mu.
func (c *conn) configure(m *message) string {
	var wanted []string
	options := make(map[string]json.RawMessage)
	if len(m.Params) > 0 {
		_ = json.Unmarshal(m.Params[0], &wanted) // what is not understood is not offered
	}
	if len(m.Params) > 1 {
		_ = json.Unmarshal(m.Params[1], &options)
	}
	result := make(map[string]any)
	for _, extension := range wanted[:min(len(wanted), 16)] {
		if len(extension) > 64 {
			continue
		}
		result[extension] = false
		if extension != "version-rolling" {
			continue
		}
		asked := uint64(0xffffffff)
		var text string
		if json.Unmarshal(options["version-rolling.mask"], &text) == nil {
			v, err := strconv.ParseUint(text, 16, 32)
			if err != nil {
				continue
			}
			asked = v
		}
		c.mask = c.s.rollable & uint32(asked)
		result[extension] = true
		result["version-rolling.mask"] = fmt.Sprintf("%08x", c.mask)
	}
	b, _ := json.Marshal(result) // strings and booleans
	return string(b)
}
