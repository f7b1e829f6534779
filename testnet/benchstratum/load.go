//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"lode/consensus"
	"lode/miner/kernel"
)

// load is all miners in one. A share that is due is taken from a store, that one
// thread fills with what it finds.
type load struct {
	address string
	began   time.Time
	search  *kernel.Search

	counting atomic.Bool

	mu                       sync.Mutex             // guards what follows
	known                    map[string]*job        // by the text of their notification
	arrivals                 map[string][]time.Time // of jobs, by the tip that they come after
	accepted, stale, refused int
	waits                    []time.Duration // for answers
	shortest, longest        int
	failed                   error
}

// job is what mining.notify says, the same for many connections.
type job struct {
	id, tip              string
	coinbase1, coinbase2 []byte
	branch               []consensus.Hash
	header               consensus.Header
}

// conn is one miner.
type conn struct {
	l      *load
	net    net.Conn
	in     *bufio.Reader
	name   string
	extra1 []byte
	due    time.Time // of the next share

	mu     sync.Mutex // guards what follows
	job    *job
	target consensus.Target
	next   consensus.Target // of the jobs that follow
	tip    string
	sent   map[int]time.Time

	// Used by the sender alone.
	worksOn *job
	extra2  uint32
	store   []uint32 // nonces
	id      int
}

func newLoad(address string) *load {
	return &load{address: address, known: make(map[string]*job), arrivals: make(map[string][]time.Time)}
}

func (l *load) run(ctx context.Context) error {
	l.search = kernel.Fastest().NewSearch()
	var conns []*conn
	var readers sync.WaitGroup
	defer func() {
		for _, c := range conns {
			_ = c.net.Close()
		}
		readers.Wait()
	}()
	for i := range *connections {
		c, err := l.connect(i)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		readers.Go(func() {
			if err := c.read(); !errors.Is(err, net.ErrClosed) {
				l.mu.Lock()
				l.failed = err
				l.mu.Unlock()
			}
		})
	}
	l.began = time.Now()
	interval := time.Second / time.Duration(*rate)
	for i, c := range conns { // evenly over the interval
		c.due = l.began.Add(time.Second + interval*time.Duration(i)/time.Duration(len(conns)))
	}
	begin, end := l.began.Add(*warmup), l.began.Add(*warmup+*duration)
	for ctx.Err() == nil {
		now := time.Now()
		if now.After(end) {
			break
		}
		l.counting.Store(now.After(begin))
		idle := true
		for _, c := range conns {
			if now.Before(c.due) {
				continue
			}
			idle = false
			if err := c.send(); err != nil {
				return err
			}
			c.due = c.due.Add(interval)
			runtime.Gosched() // to the readers
		}
		if idle {
			time.Sleep(200 * time.Microsecond)
		}
	}
	l.counting.Store(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.failed, ctx.Err())
}

// answer is a quantile of how long an answer takes.
func (l *load) answer(share float64) time.Duration {
	slices.Sort(l.waits)
	if len(l.waits) == 0 {
		return 0
	}
	return l.waits[int(share*float64(len(l.waits)-1))].Round(10 * time.Microsecond)
}

func (l *load) connect(i int) (*conn, error) {
	nc, err := net.Dial("tcp", l.address)
	if err != nil {
		return nil, err
	}
	c := &conn{l: l, net: nc, in: bufio.NewReaderSize(nc, 16<<10), sent: make(map[int]time.Time), id: 10}
	c.name = fmt.Sprintf("%s.%d", consensus.Address("tlode", [32]byte{byte(i % *payees), 1}), i)
	if _, err := fmt.Fprintf(nc, `{"id":1,"method":"mining.subscribe","params":[]}`+"\n"+`{"id":2,"method":"mining.authorize","params":["%s","x"]}`+"\n", c.name); err != nil {
		return nil, err
	}
	line, err := c.in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var answer struct{ Result []json.RawMessage }
	var extra1 string
	if json.Unmarshal(line, &answer) != nil || len(answer.Result) != 3 || json.Unmarshal(answer.Result[1], &extra1) != nil {
		return nil, fmt.Errorf("no subscription: %s", line)
	}
	c.extra1, err = hex.DecodeString(extra1)
	return c, err
}

var (
	notifyPart     = []byte(`"mining.notify"`)
	difficultyPart = []byte(`"mining.set_difficulty","params":[`)
	goodPart       = []byte(`"result":true`)
	stalePart      = []byte(`"error":[21,`)
)

func (c *conn) read() error {
	var buf []byte
	for {
		part, err := c.in.ReadSlice('\n')
		buf = append(buf, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		now, line := time.Now(), buf
		buf = buf[:0]
		switch {
		case bytes.Contains(line[:min(len(line), 60)], notifyPart):
			if err := c.notified(line, now); err != nil {
				return err
			}
		case bytes.Contains(line, difficultyPart):
			_, text, _ := bytes.Cut(line, difficultyPart)
			text, _, _ = bytes.Cut(text, []byte("]"))
			d, err := strconv.ParseFloat(string(text), 64)
			if err != nil {
				return err
			}
			c.mu.Lock()
			c.next = target(d)
			c.mu.Unlock()
		default:
			c.answered(line, now)
		}
	}
}

// target is that of a difficulty.
func target(difficulty float64) (t consensus.Target) {
	one := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(0xffff), 208))
	q := one.Quo(one, new(big.Rat).SetFloat64(difficulty))
	t.SetFromBig(new(big.Int).Quo(q.Num(), q.Denom()))
	return t
}

// notified takes a job. Its text is read once for all connections.
func (c *conn) notified(line []byte, now time.Time) error {
	l := c.l
	l.mu.Lock()
	j := l.known[string(line)]
	var err error
	if j == nil {
		j, err = parseJob(line)
		l.known[string(line)] = j
		if n := len(line); l.shortest == 0 || n < l.shortest {
			l.shortest = n
		}
		l.longest = max(l.longest, len(line))
	}
	if err == nil && c.tip != j.tip {
		c.tip = j.tip
		l.arrivals[j.tip] = append(l.arrivals[j.tip], now)
	}
	l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.job, c.target = j, c.next
	return err
}

func parseJob(line []byte) (*job, error) {
	var m struct{ Params []json.RawMessage }
	if err := json.Unmarshal(line, &m); err != nil || len(m.Params) != 9 {
		return nil, fmt.Errorf("no job: %.200s", line)
	}
	var texts [8]string
	var branch []string
	for i := range texts {
		into := any(&texts[i])
		if i == 4 {
			into = &branch
		}
		if err := json.Unmarshal(m.Params[i], into); err != nil {
			return nil, err
		}
	}
	j := &job{id: texts[0]}
	var prev []byte
	var err error
	decode := func(text string) []byte {
		b, e := hex.DecodeString(text)
		err = errors.Join(err, e)
		return b
	}
	prev, j.coinbase1, j.coinbase2 = decode(texts[1]), decode(texts[2]), decode(texts[3])
	for _, text := range branch {
		j.branch = append(j.branch, consensus.Hash(decode(text)))
	}
	for i := 0; i < len(prev); i += 4 {
		slices.Reverse(prev[i : i+4])
	}
	words := [3]uint32{}
	for i := range words {
		v, e := strconv.ParseUint(texts[5+i], 16, 32)
		err = errors.Join(err, e)
		words[i] = uint32(v)
	}
	if err != nil {
		return nil, err
	}
	j.header = consensus.Header{Version: int32(words[0]), Prev: consensus.Hash(prev), Bits: words[1], Time: words[2]}
	j.tip = j.header.Prev.String()
	return j, nil
}

// batch is how many nonces the sender tries at a time.
const batch = 256

// send hands in a share. The sender finds several at a time.
func (c *conn) send() error {
	c.mu.Lock()
	j, t := c.job, c.target
	c.mu.Unlock()
	if j == nil {
		return nil
	}
	if j != c.worksOn {
		c.worksOn, c.store = j, c.store[:0]
	}
	if len(c.store) == 0 {
		c.extra2++
		h := j.header
		coinbase := slices.Concat(j.coinbase1, c.extra1, fmt.Appendf(nil, "%04d", c.extra2%10000), j.coinbase2)
		h.MerkleRoot = consensus.BranchRoot(consensus.DoubleSHA256(coinbase), j.branch)
		c.l.search.Set(h, &t)
		for first := uint32(0); len(c.store) == 0; first += batch {
			for nonce := range c.l.search.Hits(first, batch) {
				c.store = append(c.store, nonce)
			}
		}
	}
	nonce := c.store[len(c.store)-1]
	c.store = c.store[:len(c.store)-1]
	c.id++
	line := fmt.Appendf(nil, `{"id":%d,"method":"mining.submit","params":["%s","%s","%x","%08x","%08x"]}`+"\n",
		c.id, c.name, j.id, fmt.Sprintf("%04d", c.extra2%10000), j.header.Time, nonce)
	c.mu.Lock()
	c.sent[c.id] = time.Now()
	c.mu.Unlock()
	_, err := c.net.Write(line)
	return err
}

// answered counts an answer.
func (c *conn) answered(line []byte, now time.Time) {
	text, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte(`{"id":`)), []byte(","))
	id, _ := strconv.Atoi(string(text))
	c.mu.Lock()
	sent, ok := c.sent[id]
	delete(c.sent, id)
	c.mu.Unlock()
	if !ok || !c.l.counting.Load() {
		return
	}
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, now.Sub(sent))
	switch {
	case bytes.Contains(line, goodPart):
		l.accepted++
	case bytes.Contains(line, stalePart):
		l.stale++
	default:
		l.refused++
	}
}
