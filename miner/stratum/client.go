package stratum

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"time"

	"lode/internal/pause"
	"lode/miner"
)

// ClientConfig says which pool to work for.
type ClientConfig struct {
	URL            string // stratum+tcp://HOST:PORT
	User, Password string
	UserAgent      string // as in "lode/0.1.0"
	Log            *slog.Logger
	Dial           func(ctx context.Context, address string) (net.Conn, error) // nil for TCP
}

// Client is a pool as a source of work. It implements miner.Source.
type Client struct {
	cfg        ClientConfig
	host, home string // the host, and HOST:PORT

	address string // where to connect to: home, or where the pool has sent to; used by Run alone
	greeted bool   // it was said that there is a connection; used by Run alone
	session slot
}

const scheme = "stratum+tcp"

// ErrURL is the kind of error of NewClient.
var ErrURL = errors.New("not the URL of a pool")

// NewClient prepares a source; Run connects.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err == nil {
		_, err = strconv.ParseUint(u.Port(), 10, 16)
	}
	if err != nil || u.Scheme != scheme || u.Hostname() == "" || u.Port() == "0" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: %.100q: want %s://HOST:PORT", ErrURL, cfg.URL, scheme)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dial == nil {
		d := net.Dialer{Timeout: dialTimeout}
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	return &Client{cfg: cfg, host: u.Hostname(), home: u.Host, address: u.Host}, nil
}

const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
	quietTimeout  = 5 * time.Minute // a pool has a new job at least every minute
	maxPoolLine   = 1 << 20         // bytes; a job is longest
	leastBackoff  = time.Second
	mostBackoff   = time.Minute
)

// errRefused is the kind of error for a user whom the pool does not want: to try
// again is of no use.
var errRefused = errors.New("the pool refuses")

// Run implements miner.Source. It ends early if the pool refuses the user.
func (c *Client) Run(ctx context.Context, work func(*miner.Job)) error {
	backoff, down := leastBackoff, false
	for ctx.Err() == nil {
		err := c.connect(ctx, func(j *miner.Job) {
			backoff, down = leastBackoff, false
			work(j)
		})
		work(nil)
		if errors.Is(err, errRefused) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if m, moved := errors.AsType[*move](err); moved {
			c.address = m.address
			_ = pause.For(ctx, leastBackoff) // it may send its miners round in a circle
			continue
		}
		c.address = c.home // where it has sent to may be gone for good
		if !down {         // one line for an outage, however long
			c.cfg.Log.Warn("no connection to the pool, trying on", "pool", c.cfg.URL, "error", err)
			c.greeted = false
		}
		down = true
		_ = pause.For(ctx, backoff/2+rand.N(backoff/2)) // not all miners at once
		backoff = min(2*backoff, mostBackoff)
	}
	return nil
}

// move is what ends a connection when the pool asks for another.
type move struct{ address string }

func (m *move) Error() string { return "the pool asks to connect to " + m.address }

// connect works over one connection until it ends.
func (c *Client) connect(ctx context.Context, work func(*miner.Job)) error {
	nc, err := c.cfg.Dial(ctx, c.address)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	s := newSession(c, nc)
	defer s.end()
	c.session.set(s)
	if err := s.hello(); err != nil {
		return err
	}
	r := bufio.NewReaderSize(nc, maxPoolLine)
	for {
		_ = nc.SetReadDeadline(time.Now().Add(quietTimeout))
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("a line of more than %d bytes", maxPoolLine)
		}
		if err != nil {
			return err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		job, err := s.handle(line)
		if err != nil {
			return err
		}
		if job != nil {
			work(job)
		}
	}
}

// Submit implements miner.Source.
func (c *Client) Submit(ctx context.Context, f *miner.Found) (miner.Verdict, error) {
	s := c.session.get()
	if s == nil {
		return miner.Verdict{Outcome: miner.Stale, Reason: "the connection to the pool was lost"}, nil
	}
	return s.submit(ctx, f)
}
