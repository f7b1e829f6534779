package electrum

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"lode/chain"
	"lode/rpc/scripthash"
)

// session is what a client and the server have agreed on.
//
//	state        event                   what happens
//	unversioned  server.version          the newest version that both speak
//	unversioned  any other call          version 1.4, in which nobody has to ask first;
//	                                     1.6 can no longer be agreed on
//	agreed       server.version          refused
type session struct {
	c       *conn
	version version
	spoken  bool // a call was made
	agreed  bool
	errors  int
}

// reply is what a message is answered with.
type reply struct {
	message []byte // nil for none
	cost    float64
	taken   int // bytes of Server.answers
	settles []settled
}

// settled is a subscription and the state that its client was answered with.
type settled struct {
	sub   *subscription
	state state
}

// method is one of the protocol.
type method struct {
	params   []string
	required int
	from, to version // in which it exists; zero for all
	lax      bool    // more parameters are ignored
	call     func(ctx context.Context, s *session, p *params, r *reply) (any, error)
}

// handle answers a message. An error ends the connection, after the answer.
func (s *session) handle(ctx context.Context, line []byte) (r reply, err error) {
	raws, batch, failed := parse(line)
	if failed != nil {
		r.message = answer(nil, nil, failed)
		return r, s.wrong(&r)
	}
	if !batch {
		r.message, err = s.one(ctx, raws[0], &r)
		if len(r.message) > largeAnswer && r.taken == 0 {
			s.take(&r, len(r.message))
		}
		return r, err
	}
	out := []byte{'['}
	for _, raw := range raws {
		one, failure := s.one(ctx, raw, &r)
		if one != nil {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, one...)
		}
		if err = errors.Join(err, failure); err != nil {
			break
		}
		if len(out) > largeAnswer+r.taken && !s.take(&r, len(out)-r.taken) {
			err = errors.New("too many large answers at once")
			break
		}
	}
	if len(out) > 1 { // not only notifications
		r.message = append(out, ']')
	}
	return r, err
}

// take takes memory for an answer; false if there is none left.
func (s *session) take(r *reply, bytes int) bool {
	if !s.c.s.reserve(s.c, bytes) {
		return false
	}
	r.taken += bytes
	return true
}

// large takes memory for an answer that is about to be made.
func (s *session) large(r *reply, bytes int) error {
	if bytes > largeAnswer && !s.take(r, bytes) {
		return fail(codeExcessive, "server busy: too many large answers at once, ask again")
	}
	return nil
}

// wrong counts an error of the caller's making.
func (s *session) wrong(r *reply) error {
	s.c.s.counts.Errors.Add(1)
	r.cost += 10
	if s.errors++; s.errors >= maxErrors {
		return errMany
	}
	return nil
}

// one answers one call; nil for a notification.
func (s *session) one(ctx context.Context, raw json.RawMessage, r *reply) (message []byte, err error) {
	s.c.s.counts.Requests.Add(1)
	r.cost++
	c, failed := parseCall(bytes.Trim(raw, " \t\r\n"))
	if failed != nil {
		return answer(c.id, nil, failed), s.wrong(r)
	}
	result, err := s.call(ctx, c, r)
	s.spoken = true
	var ends *ending
	if errors.As(err, &ends) {
		return answer(c.id, nil, fail(codeBad, "%v", ends.why)), ends.why
	}
	if err != nil {
		failed = s.failure(ctx, c.method, err)
		err = s.wrong(r)
	}
	if c.id == nil {
		return nil, err
	}
	return answer(c.id, result, failed), err
}

// ending is an error after which the connection ends.
type ending struct{ why error }

// Error says why.
func (e *ending) Error() string { return e.why.Error() }

// call makes a call. A panic in a method is a bug, but not the end of the node.
func (s *session) call(ctx context.Context, c *call, r *reply) (result any, err error) {
	m, ok := s.c.s.methods[c.method]
	if ok && (s.version.less(m.from) || m.to != version{} && m.to.less(s.version)) {
		return nil, fail(codeNoMethod, "unknown method %.80q in version %s of the protocol", c.method, s.version)
	}
	if !ok {
		return nil, fail(codeNoMethod, "unknown method %.80q", c.method)
	}
	p, failed := bind(m, c)
	if failed != nil {
		return nil, failed
	}
	defer func() {
		if v := recover(); v != nil {
			s.c.s.cfg.Log.Error("bug: a call panicked", "method", c.method, "panic", v, "stack", string(debug.Stack()))
			result, err = nil, fail(codeInternal, "internal error, see the log of the node")
		}
	}()
	result, err = m.call(ctx, s, p, r)
	if p.err != nil {
		return nil, p.err
	}
	return result, err
}

// failure is an error as the protocol reports it.
func (s *session) failure(ctx context.Context, method string, err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, scripthash.ErrTooLarge):
		return fail(codeBad, "%v", err)
	case errors.Is(err, scripthash.ErrBuilding):
		return fail(codeInternal, "server busy: %v", err)
	case errors.Is(err, chain.ErrNoTx), errors.Is(err, chain.ErrNotFound):
		return fail(codeBad, "%v", err)
	case ctx.Err() != nil:
		return fail(codeInternal, "server shutting down")
	}
	s.c.s.cfg.Log.Warn("an electrum call failed", "method", method, "error", err)
	return fail(codeInternal, "internal error, see the log of the node")
}

// agree settles the version.
func (s *session) agree(name string, from, to version) (version, error) {
	latest := newest
	if s.spoken {
		latest = v143 // from 1.6 on it has to be the first call
	}
	v, ok := negotiate(from, to, latest)
	if !ok {
		return v, &ending{fmt.Errorf("unsupported protocol version: %s to %s; this server speaks %s to %s", from, to, oldest, latest)}
	}
	s.version, s.agreed = v, true
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.name = clean(name)
	return v, nil
}

// clean is the name of a client, for the log.
func clean(name string) string {
	const most = 80
	runes := []rune(name)
	runes = runes[:min(len(runes), most)]
	return string(slices.DeleteFunc(runes, func(r rune) bool { return r < ' ' || r == 0x7f }))
}
