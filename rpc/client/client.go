// Package client calls a node's JSON-RPC interface: Lode's, or Bitcoin Core's.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"lode/internal/plainly"
)

// Kinds of errors.
var (
	ErrNotRunning   = errors.New("no node answers")
	ErrUnauthorized = errors.New("the node wants other credentials")
	ErrForbidden    = errors.New("the node does not allow the call")
	ErrTooLarge     = errors.New("the answer is too large")
	ErrBadAnswer    = errors.New("the answer is not JSON-RPC")
	ErrURL          = errors.New("not the URL of a node")
)

// Error is what the node says about a call that it refused.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error gives the code and the message.
func (e *Error) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// Auth is the name and password of basic authentication; empty for none.
type Auth struct{ User, Password string }

// maxCookie bounds what is read of a cookie file, in bytes.
const maxCookie = 4096

// Cookie reads the file that a node leaves for the programs of its own user:
// "__cookie__:<hex>".
func Cookie(path string) (Auth, error) {
	f, err := os.Open(path)
	if err != nil {
		return Auth{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCookie))
	if err != nil {
		return Auth{}, fmt.Errorf("reading %s: %w", path, err)
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	if !ok {
		return Auth{}, fmt.Errorf("%s is not a cookie: want user:password", path)
	}
	return Auth{user, password}, nil
}

// DefaultLimit bounds an answer, in bytes: the largest block in the most
// verbose form fits.
const DefaultLimit = 256 << 20

// dialTimeout is how long a node may take to accept a connection.
const dialTimeout = 10 * time.Second

// Client calls one node. It may be used from several goroutines.
type Client struct {
	Limit int64 // of an answer, in bytes; set it before the first call

	url  string // without credentials
	auth Auth
	bare bool // the credentials came with the URL
	http *http.Client
}

// New gives a client of the node at a URL, such as "http://127.0.0.1:9556";
// "http://" may be left out. Credentials in the URL take the place of auth.
func New(rawURL string, auth Auth) (*Client, error) {
	if !strings.Contains(rawURL, "://") {
		rawURL = "http://" + rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: want http://HOST:PORT", ErrURL) // err would repeat a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: %q, want http://HOST:PORT", ErrURL, u.Redacted())
	}
	bare := false
	if u.User != nil {
		password, _ := u.User.Password()
		auth = Auth{u.User.Username(), password}
		u.User = nil
		bare = true
	}
	transport := &http.Transport{
		// No proxy: the cookie is for this host alone.
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
	return &Client{
		Limit: DefaultLimit, url: u.String(), auth: auth, bare: bare,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// URL is where the node is, without credentials.
func (c *Client) URL() string { return c.url }

// InURL reports whether the credentials came with the URL, and were not given
// beside it.
func (c *Client) InURL() bool { return c.bare }

// Request is one call of a batch.
type Request struct {
	Method string
	Params []any
	Result any   // where the result is stored, as json.Unmarshal does; nil to drop it
	Err    error // of this call, set by Batch; an *Error if the node refused it
}

// request and response are the wire form (JSON-RPC 2.0).
type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

type response struct {
	ID     *int            `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
}

func newRequest(id int, method string, params []any) request {
	if params == nil {
		params = []any{}
	}
	return request{"2.0", id, method, params}
}

// Call calls a method with parameters by position and stores its result. Where
// result has fields of type json.Number, or is an *any, numbers are not rounded.
func (c *Client) Call(ctx context.Context, method string, params []any, result any) error {
	return c.call(ctx, newRequest(0, method, params), result)
}

// CallNamed is Call with parameters by name.
func (c *Client) CallNamed(ctx context.Context, method string, params map[string]any, result any) error {
	return c.call(ctx, request{"2.0", 0, method, params}, result)
}

func (c *Client) call(ctx context.Context, req request, result any) error {
	body, err := c.post(ctx, req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", req.Method, err)
	}
	var resp response
	if err := json.Unmarshal(body, &resp); err != nil {
		return fmt.Errorf("calling %s: %w", req.Method, ErrBadAnswer)
	}
	return resp.store(req.Method, result)
}

// Batch makes several calls at once. The error is of the batch as a whole; that
// of each call is in its Err.
func (c *Client) Batch(ctx context.Context, calls []Request) error {
	if len(calls) == 0 {
		return nil
	}
	reqs := make([]request, len(calls))
	for i := range calls {
		reqs[i] = newRequest(i, calls[i].Method, calls[i].Params)
		calls[i].Err = fmt.Errorf("calling %s: %w: nothing came back", calls[i].Method, ErrBadAnswer)
	}
	body, err := c.post(ctx, reqs)
	if err != nil {
		return fmt.Errorf("calling %s and others: %w", calls[0].Method, err)
	}
	var all []response
	if err := json.Unmarshal(body, &all); err != nil {
		var one response // a batch that is refused as a whole
		if json.Unmarshal(body, &one) == nil && one.Error != nil {
			return one.Error
		}
		return fmt.Errorf("calling %s and others: %w", calls[0].Method, ErrBadAnswer)
	}
	for i := range all {
		if id := all[i].ID; id != nil && *id >= 0 && *id < len(calls) {
			call := &calls[*id]
			call.Err = all[i].store(call.Method, call.Result)
		}
	}
	return nil
}

// store gives the error of a call, or stores its result.
func (r *response) store(method string, result any) error {
	switch {
	case r.Error != nil:
		return r.Error
	case result == nil:
		return nil
	case len(r.Result) == 0:
		return fmt.Errorf("calling %s: %w: neither a result nor an error", method, ErrBadAnswer)
	}
	dec := json.NewDecoder(bytes.NewReader(r.Result))
	dec.UseNumber()
	if err := dec.Decode(result); err != nil {
		return fmt.Errorf("calling %s: the result has another form: %w", method, plainly.Error(err))
	}
	return nil
}

// post sends a request and gives the body of the answer.
func (c *Client) post(ctx context.Context, v any) ([]byte, error) {
	out, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.auth != (Auth{}) {
		req.SetBasicAuth(c.auth.User, c.auth.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && ctx.Err() == nil {
			return nil, fmt.Errorf("%w at %s (%w)", ErrNotRunning, c.url, op.Err)
		}
		return nil, fmt.Errorf("talking to %s: %w", c.url, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.Limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of %s: %w", c.url, err)
	case int64(len(body)) > c.Limit:
		return nil, fmt.Errorf("%w: more than %d bytes from %s", ErrTooLarge, c.Limit, c.url)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%w: %s", ErrUnauthorized, c.url)
	case resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s says %s", ErrForbidden, c.url, forbidden(body))
	case !json.Valid(body):
		// A refused call comes with a status of its own too, but with JSON.
		return nil, fmt.Errorf("%w: %s says %s", ErrBadAnswer, c.url, resp.Status)
	}
	return body, nil
}

// forbidden is why a node refuses a call with the status of that name: without a
// word where its user may not make the call.
func forbidden(body []byte) string {
	const most = 200
	var answer struct{ Error Error }
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		body = []byte(answer.Error.Message)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if line == "" {
		return "nothing more: perhaps its --rpc-whitelist does not name the method for this user"
	}
	return strconv.Quote(line[:min(len(line), most)])
}
