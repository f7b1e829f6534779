package stratum

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lode/internal/places"
)

// conn is the connection of one miner.
type conn struct {
	s      *Server
	net    net.Conn
	from   string // for the log
	origin places.Origin
	extra1 [extra1Size]byte
	out    chan []byte // lines to be written
	cut    context.CancelCauseFunc
	budget bucket       // for everything but good shares; used by run alone
	buf    []byte       // of coinbases; used by run alone
	rank   atomic.Int32 // see Server.rank

	mu         sync.Mutex // guards what follows
	subscribed bool
	users      map[string]*worker // by the names that were authorized
	payee      string             // the first of them
	suggested  bool               // a difficulty, once
	mask       uint32             // of the version, see mining.configure
	difficulty float64            // of the next job
	announced  float64            // of the jobs that were given last; 0 for none
	vardiff    vardiff
	issued     []*issue  // the newest last
	score      uint64    // of accepted shares
	worked     time.Time // when the last was accepted
}

// Bounds of one connection.
const (
	maxLine      = 4096 // bytes
	maxQueue     = 64   // lines that wait to be written
	maxIssued    = 8    // jobs of which shares are taken
	maxUsers     = 64
	budgetSize   = 600 // lines at once that are no good shares
	budgetRefill = 20  // and in a second
	helloTimeout = 30 * time.Second
	idleTimeout  = 10 * time.Minute
	writeTimeout = 10 * time.Second
)

func newConn(s *Server, nc net.Conn, cut context.CancelCauseFunc) *conn {
	c := &conn{s: s, net: nc, from: nc.RemoteAddr().String(), out: make(chan []byte, maxQueue), users: make(map[string]*worker), cut: cut}
	if a, err := netip.ParseAddrPort(c.from); err == nil {
		c.origin = places.OriginOf(a.Addr())
		c.origin.Exempt = s.cfg.Local(a.Addr().Unmap())
	}
	c.difficulty = s.cfg.Difficulty
	c.vardiff = vardiff{perMinute: s.cfg.SharesPerMinute, since: time.Now()}
	c.budget.set(budgetSize, budgetRefill)
	return c
}

// run serves the connection until ctx ends, and says why it has ended; nil if the
// miner has left.
func (c *conn) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer func() {
		c.cut(nil)
		_ = c.net.Close()
		wg.Wait()
	}()
	defer context.AfterFunc(ctx, func() { _ = c.net.Close() })()
	wg.Go(func() { c.write(ctx) })
	err := c.read()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// write sends what is queued, all that waits in one go.
func (c *conn) write(ctx context.Context) {
	for {
		var lines net.Buffers
		select {
		case <-ctx.Done():
			return
		case line := <-c.out:
			lines = append(lines, line)
		}
		for more := true; more; {
			select {
			case line := <-c.out:
				lines = append(lines, line)
			default:
				more = false
			}
		}
		_ = c.net.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := lines.WriteTo(c.net); err != nil {
			c.cut(fmt.Errorf("cannot be written to: %w", err))
			return
		}
	}
}

// send queues a line. Who does not read is cut. The caller holds mu, so that lines
// stay in order.
func (c *conn) send(line []byte) {
	select {
	case c.out <- line:
	default:
		c.cut(fmt.Errorf("%d lines wait to be read", maxQueue))
	}
}

func (c *conn) read() error {
	r := bufio.NewReaderSize(c.net, maxLine)
	for {
		timeout := helloTimeout
		c.mu.Lock()
		if c.ready() {
			timeout = idleTimeout
		}
		c.mu.Unlock()
		_ = c.net.SetReadDeadline(time.Now().Add(timeout))
		line, err := r.ReadSlice('\n')
		var slow net.Error
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("a line of more than %d bytes", maxLine)
		case errors.As(err, &slow) && slow.Timeout():
			return fmt.Errorf("it said nothing for %v", timeout)
		case err != nil:
			return err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			if !c.budget.take(time.Now()) {
				return errors.New("too many empty lines")
			}
			continue
		}
		m, err := parse(line)
		if err != nil {
			return err
		}
		if m.Method == "" {
			m.Method = "an answer to nothing"
		}
		if good := c.handle(&m); !good && !c.budget.take(time.Now()) {
			return errors.New("too much that is no good share")
		}
	}
}

// ready reports whether the miner can be given work. The caller holds mu.
func (c *conn) ready() bool { return c.subscribed && len(c.users) > 0 }

// handle answers a message. It reports whether it was a good share.
func (c *conn) handle(m *message) (good bool) {
	if m.Method == "mining.submit" {
		err := c.submit(m)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.send(answer(m.ID, "true", err))
		return err == nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.ready()
	var result string
	var err *Error
	switch m.Method {
	case "mining.subscribe":
		result = c.subscribe()
	case "mining.authorize":
		result, err = c.authorize(m)
	case "mining.configure":
		result = c.configure(m)
	case "mining.extranonce.subscribe":
		result = "true" // it never changes
	case "mining.suggest_difficulty":
		if d, ok := m.number(0); ok {
			c.suggest(d)
		}
		result = "true"
	default:
		err = fail(codeOther, "Unknown method %.40q", m.Method)
	}
	c.send(answer(m.ID, result, err))
	if !before && c.ready() {
		c.s.rank(c, connUnproven)
	}
	if w := c.s.current.Load(); w != nil && !before && c.ready() {
		c.vardiff.since = time.Now()
		c.giveLocked(w)
	}
	return false
}

func (c *conn) subscribe() (result string) {
	c.subscribed = true
	// The session cannot be taken up again: its id only names it.
	return fmt.Sprintf(`[[["mining.set_difficulty","%x"],["mining.notify","%x"]],"%x",%d]`, c.extra1, c.extra1, c.extra1, extra2Size)
}

// authorize takes the name of a worker, address or address.rig, and a password of
// no meaning but d=DIFFICULTY.
func (c *conn) authorize(m *message) (string, *Error) {
	name, ok := m.text(0)
	if !ok || name == "" {
		return "", fail(codeUnauthorized, "Unauthorized worker: want ADDRESS or ADDRESS.RIG as the user name")
	}
	if len(name) > maxName {
		return "", fail(codeUnauthorized, "Unauthorized worker: a name of %d characters, want at most %d", len(name), maxName)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) { // it is shown on terminals
		return "", fail(codeUnauthorized, "Unauthorized worker: want a name of printable ASCII characters")
	}
	if c.users[name] != nil {
		return "true", nil
	}
	address, _, _ := strings.Cut(name, ".")
	payee, err := c.s.cfg.payee(address)
	if err != nil {
		c.s.workers.refuse()
		return "", fail(codeUnauthorized, "Unauthorized worker: %v", err)
	}
	if len(c.users) >= maxUsers {
		return "", fail(codeOther, "there are %d workers on this connection already", maxUsers)
	}
	w, out := c.s.workers.join(name, payee, c, time.Now())
	cutUnproven(out)
	if w == nil {
		return "", fail(codeOther, "there are too many workers already")
	}
	c.users[name] = w
	if c.payee == "" {
		c.payee = payee
	}
	if password, ok := m.text(1); ok {
		for field := range strings.SplitSeq(password, ",") {
			if value, ok := strings.CutPrefix(field, "d="); ok {
				wish := message{Params: m.Params[1:]}
				wish.Params[0] = []byte(value)
				if d, ok := wish.number(0); ok {
					c.suggest(d)
				}
			}
		}
	}
	return "true", nil
}

// suggest begins with the difficulty that a miner wishes. Only the first wish
// counts. The caller holds mu.
func (c *conn) suggest(difficulty float64) {
	if !c.suggested && difficulty > 0 && !math.IsInf(difficulty, 0) {
		c.suggested = true
		c.difficulty = min(max(difficulty, minDifficulty), maxDifficulty)
	}
}

// give hands out work if the miner can take it.
func (c *conn) give(w *work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready() {
		c.giveLocked(w)
	}
}

// adjust changes the difficulty if there are too few shares, or too many.
func (c *conn) adjust(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.s.current.Load()
	if !c.ready() || w == nil {
		return
	}
	before := c.bound(w)
	d, changed := c.vardiff.next(before, now)
	if !changed {
		return
	}
	c.difficulty = min(max(d, c.s.cfg.LeastDifficulty), maxDifficulty)
	if c.bound(w) != before {
		c.giveLocked(w)
	}
	c.difficulty = c.bound(w)
}

// credit counts an accepted share.
func (c *conn) credit(hashes float64, score uint64, now time.Time) {
	c.mu.Lock()
	c.vardiff.accepted(hashes)
	c.score, c.worked = addUpTo(c.score, score), now
	proven := c.score >= c.s.accounts.least()
	c.mu.Unlock()
	if proven {
		c.s.rank(c, connProven)
	}
}

// review takes what the connection has proven from it if that was long ago.
func (c *conn) review(now time.Time) {
	c.mu.Lock()
	idle := c.rank.Load() == connProven && now.Sub(c.worked) > idleTimeout
	if idle {
		c.score = 0
	}
	c.mu.Unlock()
	if idle {
		c.s.rank(c, connUnproven)
	}
}

// bound is the difficulty of the next job. The caller holds mu.
func (c *conn) bound(w *work) float64 {
	return min(max(c.difficulty, c.s.cfg.LeastDifficulty), w.most)
}

// giveLocked hands out work: with another job if this work was given before. The
// caller holds mu.
func (c *conn) giveLocked(w *work) {
	v, fresh := variant{}, true
	if len(w.pay.Pay) == 0 {
		v.payee = c.payee
	}
	for _, i := range c.issued {
		if i.work == w {
			v.n++
		}
		fresh = fresh && i.template.Tip.Hash != w.template.Tip.Hash
	}
	if v.n == maxIssued {
		return // the next work has the next difficulty
	}
	j, err := w.job(v)
	if err != nil {
		c.cut(err)
		return
	}
	i := &issue{job: j, difficulty: c.bound(w), seen: make(map[solution]struct{})}
	var ok bool
	if i.target, ok = targetOf(i.difficulty); !ok {
		c.cut(fmt.Errorf("no target has difficulty %v", i.difficulty))
		return
	}
	i.score = scoreOf(i.target, w.target)
	if len(c.issued) == maxIssued {
		c.issued = append(c.issued[:0], c.issued[1:]...)
	}
	c.issued = append(c.issued, i)
	if i.difficulty != c.announced {
		c.announced = i.difficulty
		c.send(difficultyLine(i.difficulty))
	}
	if fresh {
		c.send(j.clean)
	} else {
		c.send(j.later)
	}
}
