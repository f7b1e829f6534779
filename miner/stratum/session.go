package stratum

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"lode/consensus"
	"lode/miner"
	"lode/miner/kernel"
)

// session is one connection to a pool.
type session struct {
	c    *Client
	net  net.Conn
	gone chan struct{} // closed when it ends

	mu      sync.Mutex // guards what follows, and the order of writing
	next    uint64     // id of the next request
	waiting map[uint64]chan message
	jobs    []given // the newest last
	state   sessionState
}

// given is a job, and how many bytes of its extra nonce are always zero.
type given struct {
	*miner.Job
	padding int
}

// sessionState is what the pool has said. Only the reader changes it.
type sessionState struct {
	extra1     []byte
	extra2Size int // 0 before the pool has said it
	target     consensus.Target
	mask       uint32 // of the version
	authorized bool
	notify     *message // the job that was announced before the rest was known
}

// Requests that begin a session.
const (
	idConfigure = 1 + iota
	idSubscribe
	idAuthorize
	idFirst // of the others
)

const (
	maxExtra   = 64 // bytes of each extra nonce
	maxBranch  = 32 // hashes: more transactions than any block has
	keptJobs   = 16
	maxWaiting = 256
)

func newSession(c *Client, nc net.Conn) *session {
	s := &session{c: c, net: nc, gone: make(chan struct{}), next: idFirst, waiting: make(map[uint64]chan message)}
	s.state.target, _ = targetOf(1)
	return s
}

// end tells whoever waits that there will be no answer.
func (s *session) end() {
	s.c.session.clear(s)
	close(s.gone)
}

// slot holds the present session.
type slot struct {
	mu sync.Mutex // guards s
	s  *session
}

func (p *slot) get() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

func (p *slot) set(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s = s
}

func (p *slot) clear(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.s == s {
		p.s = nil
	}
}

// request is a line that asks for an answer.
func request(id uint64, method string, params ...any) ([]byte, error) {
	line, err := json.Marshal(struct {
		ID     uint64 `json:"id"`
		Method string `json:"method"`
		Params []any  `json:"params"`
	}{id, method, append([]any{}, params...)})
	return append(line, '\n'), err
}

// hello asks for work. A pool that does not know BIP310 answers with an error, and
// that is all.
func (s *session) hello() error {
	var lines []byte
	for _, r := range []struct {
		id     uint64
		method string
		params []any
	}{
		{idConfigure, "mining.configure", []any{[]string{"version-rolling"}, map[string]any{
			"version-rolling.mask": fmt.Sprintf("%08x", kernel.VersionBits), "version-rolling.min-bit-count": 0,
		}}},
		{idSubscribe, "mining.subscribe", []any{s.c.cfg.UserAgent}},
		{idAuthorize, "mining.authorize", []any{s.c.cfg.User, s.c.cfg.Password}},
	} {
		line, err := request(r.id, r.method, r.params...)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	return s.write(lines)
}

func (s *session) write(line []byte) error {
	_ = s.net.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.net.Write(line)
	return err
}

// handle reads a line of the pool, and gives the job if it means another one.
func (s *session) handle(line []byte) (*miner.Job, error) {
	m, err := parse(line)
	if err != nil {
		return nil, err
	}
	if m.Method == "" {
		return s.answered(&m)
	}
	st := &s.state
	switch m.Method {
	case "mining.notify":
		st.notify = &m
		return s.job()
	case "mining.set_difficulty":
		d, ok := m.number(0)
		target, good := targetOf(d)
		if !ok || !good {
			return nil, fmt.Errorf("a difficulty that is none: %.100s", line)
		}
		st.target = target // of the jobs that follow
	case "mining.set_extranonce":
		return nil, s.setExtra(m.Params)
	case "mining.set_version_mask":
		mask, ok := m.word(0)
		if !ok {
			return nil, fmt.Errorf("a version mask that is none: %.100s", line)
		}
		st.mask = mask & kernel.VersionBits
	case "client.reconnect":
		return nil, s.reconnect(&m)
	case "client.show_message":
		text, _ := m.text(0)
		s.c.cfg.Log.Info("message from the pool", "text", fmt.Sprintf("%.200s", text))
	case "client.get_version":
		text, _ := json.Marshal(s.c.cfg.UserAgent)
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, s.write(answer(m.ID, string(text), nil))
	}
	return nil, nil
}

// reconnect follows the pool to another port of the same host. Any other place is
// left alone: whoever can write into the connection must not be able to take
// the miner away.
func (s *session) reconnect(m *message) error {
	host, port := s.c.host, ""
	if text, ok := m.text(0); ok && text != "" {
		host = text
	}
	if _, known, err := net.SplitHostPort(s.c.address); err == nil {
		port = known
	}
	if n, ok := m.number(1); ok && n >= 1 && n <= math.MaxUint16 && n == math.Trunc(n) {
		port = strconv.Itoa(int(n))
	}
	if !strings.EqualFold(host, s.c.host) {
		s.c.cfg.Log.Warn("the pool asks to connect to another host: ignored", "host", fmt.Sprintf("%.100s", host))
		return nil
	}
	return &move{net.JoinHostPort(s.c.host, port)}
}

// answered reads the answer to a request.
func (s *session) answered(m *message) (*miner.Job, error) {
	id, err := strconv.ParseUint(string(m.ID), 10, 64)
	if err != nil {
		return nil, nil // to nothing that was asked
	}
	st := &s.state
	switch id {
	case idConfigure:
		var result struct {
			Rolling any    `json:"version-rolling"`
			Mask    string `json:"version-rolling.mask"`
		}
		_ = json.Unmarshal(m.Result, &result) // else nothing is rolled
		if mask, err := strconv.ParseUint(result.Mask, 16, 32); err == nil && result.Rolling == true {
			st.mask = uint32(mask) & kernel.VersionBits
		}
	case idSubscribe:
		if e := m.failure(); e != nil {
			return nil, fmt.Errorf("the pool does not let subscribe: %w", e)
		}
		var result []json.RawMessage
		if json.Unmarshal(m.Result, &result) != nil || len(result) < 3 {
			return nil, fmt.Errorf("an answer to mining.subscribe that is none: %.100s", m.Result)
		}
		if err := s.setExtra(result[1:]); err != nil {
			return nil, err
		}
		return s.job()
	case idAuthorize:
		if e := m.failure(); e != nil || string(m.Result) != "true" {
			if e == nil {
				e = errUnauthorized
			}
			err := fmt.Errorf("the user %.100q: %w", s.c.cfg.User, e)
			if e.Code == codeOther { // it may have no room at the moment
				return nil, err
			}
			return nil, fmt.Errorf("%w %w", errRefused, err)
		}
		st.authorized = true
		if !s.c.greeted {
			s.c.greeted = true
			s.c.cfg.Log.Info("connected to the pool, waiting for work", "pool", s.c.cfg.URL, "user", s.c.cfg.User)
		}
		return s.job()
	default:
		s.mu.Lock()
		waiting := s.waiting[id]
		delete(s.waiting, id)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- *m
		}
	}
	return nil, nil
}

// failure is the error of an answer, nil if there is none: an array [code, text],
// an object with these members, or anything else.
func (m *message) failure() *Error {
	if len(m.Error) == 0 || string(m.Error) == "null" {
		return nil
	}
	var list []json.RawMessage
	e := &Error{Code: codeOther}
	var object struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	switch {
	case json.Unmarshal(m.Error, &list) == nil && len(list) >= 2 &&
		json.Unmarshal(list[0], &e.Code) == nil && json.Unmarshal(list[1], &e.Message) == nil:
	case json.Unmarshal(m.Error, &object) == nil && object.Message != "":
		e.Code, e.Message = object.Code, object.Message
	default:
		e.Message = string(m.Error)
	}
	e.Message = fmt.Sprintf("%.200s", e.Message)
	return e
}

// setExtra reads extra nonce 1 and the size of extra nonce 2. They hold for the
// jobs that follow.
func (s *session) setExtra(params []json.RawMessage) error {
	var text string
	var size int
	if len(params) < 2 || json.Unmarshal(params[0], &text) != nil || json.Unmarshal(params[1], &size) != nil {
		return errors.New("extra nonces that are none")
	}
	extra1, err := hex.DecodeString(text)
	if err != nil || len(extra1) > maxExtra || size < 1 || size > maxExtra {
		return fmt.Errorf("extra nonces that are of no use: %.100q and %d bytes", text, size)
	}
	s.state.extra1, s.state.extra2Size = extra1, size
	return nil
}

// job is the job that was announced last, nil while something about it is not
// known.
func (s *session) job() (*miner.Job, error) {
	st := &s.state
	if st.notify == nil || st.extra2Size == 0 || !st.authorized {
		return nil, nil
	}
	m := st.notify
	st.notify = nil
	j, err := st.read(m)
	if err != nil {
		return nil, fmt.Errorf("a job that is none: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) == keptJobs {
		s.jobs = slices.Delete(s.jobs, 0, 1)
	}
	s.jobs = append(s.jobs, given{j, st.extra2Size - j.ExtraSize})
	return j, nil
}

// rolledFor is how long the time of a job may be counted on.
const rolledFor = 7200 // seconds

// read makes a job of mining.notify.
func (st *sessionState) read(m *message) (*miner.Job, error) {
	if len(m.Params) < 8 {
		return nil, fmt.Errorf("%d parameters, want 9", len(m.Params))
	}
	j := &miner.Job{Target: st.target, VersionMask: st.mask}
	var ok bool
	if j.ID, ok = m.text(0); !ok || len(j.ID) > 256 {
		return nil, errors.New("its id is no text of at most 256 characters")
	}
	prev, ok := m.bytes(1)
	if !ok || len(prev) != len(j.Prev) {
		return nil, errors.New("its previous hash has not 64 hex digits")
	}
	j.Prev = swapWords(consensus.Hash(prev))
	first, ok := m.bytes(2)
	last, good := m.bytes(3)
	if !ok || !good {
		return nil, errors.New("the halves of its coinbase are not hex")
	}
	var branch []string
	if json.Unmarshal(m.Params[4], &branch) != nil || len(branch) > maxBranch {
		return nil, fmt.Errorf("its branch is no list of at most %d hashes", maxBranch)
	}
	for _, text := range branch {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(consensus.Hash{}) {
			return nil, errors.New("a hash of its branch has not 64 hex digits")
		}
		j.Branch = append(j.Branch, consensus.Hash(b))
	}
	version, ok1 := m.word(5)
	bits, ok2 := m.word(6)
	now, ok3 := m.word(7)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("its version, bits and time have not 8 hex digits each")
	}
	j.Version, j.Bits, j.Time = int32(version), bits, now
	j.MaxTime = uint32(min(uint64(now)+rolledFor, math.MaxUint32))
	// No miner needs more than eight bytes: the others stay zero.
	const most = 8
	j.ExtraSize = min(st.extra2Size, most)
	j.Coinbase1 = slices.Concat(first, st.extra1, make([]byte, st.extra2Size-j.ExtraSize))
	j.Coinbase2 = last
	return j, nil
}

// bytes reads the i-th parameter as hex.
func (m *message) bytes(i int) ([]byte, bool) {
	text, ok := m.text(i)
	b, err := hex.DecodeString(text)
	return b, ok && err == nil
}

// submission is the parameters of mining.submit.
func (s *session) submission(f *miner.Found, padding int) []any {
	params := []any{
		s.c.cfg.User, f.Job.ID, hex.EncodeToString(append(make([]byte, padding), f.Extra...)),
		fmt.Sprintf("%08x", f.Header.Time), fmt.Sprintf("%08x", f.Header.Nonce),
	}
	if f.Job.VersionMask != 0 {
		params = append(params, fmt.Sprintf("%08x", uint32(f.Header.Version)&f.Job.VersionMask))
	}
	return params
}

// submit hands in a find and waits for what the pool says.
func (s *session) submit(ctx context.Context, f *miner.Found) (miner.Verdict, error) {
	answered := make(chan message, 1)
	s.mu.Lock()
	n := slices.IndexFunc(s.jobs, func(g given) bool { return g.Job == f.Job })
	if n < 0 || len(s.waiting) >= maxWaiting {
		s.mu.Unlock()
		return miner.Verdict{Outcome: miner.Stale, Reason: "its job was given over another connection, or long ago"}, nil
	}
	id := s.next
	s.next++
	s.waiting[id] = answered
	line, err := request(id, "mining.submit", s.submission(f, s.jobs[n].padding)...)
	if err == nil {
		err = s.write(line)
	}
	s.mu.Unlock()
	defer func() { // also if there was no answer
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, id)
	}()
	if err != nil {
		return miner.Verdict{}, err
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	select {
	case m := <-answered:
		e := m.failure()
		switch {
		case e != nil && e.Code == codeNoJob:
			return miner.Verdict{Outcome: miner.Stale, Reason: e.Message}, nil
		case e != nil:
			return miner.Verdict{Outcome: miner.Rejected, Reason: e.Message}, nil
		case string(m.Result) != "true":
			return miner.Verdict{Outcome: miner.Rejected, Reason: "the pool gives no reason"}, nil
		}
		return miner.Verdict{}, nil
	case <-s.gone:
		return miner.Verdict{}, errors.New("the connection to the pool has ended before it has answered")
	case <-timeout.C:
		return miner.Verdict{}, fmt.Errorf("the pool has not answered for %v", answerTimeout)
	case <-ctx.Done():
		return miner.Verdict{}, ctx.Err()
	}
}
