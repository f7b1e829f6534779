package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"

	"lode/consensus"
)

// socketPath is where a node serves its peers, and what a URL without a path
// means.
const socketPath = "/p2p"

const (
	// socketReadLimit is the longest message: a command and a payload.
	socketReadLimit = commandSize + maxPayload
	// maxControlFrames is how many ping, pong and close frames may come
	// between two messages. Proxies send a ping every half a minute or so.
	maxControlFrames = 64
	socketBuffer     = 16 << 10
	// maxRefusal is how much of an HTTP answer is shown, in bytes.
	maxRefusal = 300
	// maxAnswer is how much a server may send, in bytes, before the
	// handshake of the transport is over, certificates included.
	maxAnswer = 256 << 10
)

// subProtocol names the network in the WebSocket handshake, so that nodes of
// different rules refuse each other.
func subProtocol(r *consensus.Rules) string {
	id := r.ID()
	return fmt.Sprintf("lode-%x", id[:4])
}

// networkName says what a sub-protocol stands for, as far as that is known.
func networkName(protocol string, spec *consensus.Spec) string {
	if protocol == subProtocol(&spec.Rules) {
		return fmt.Sprintf("%s (%s)", spec.Name, protocol)
	}
	for _, name := range consensus.SpecNames {
		if s, err := consensus.EmbeddedSpec(name); err == nil && protocol == subProtocol(&s.Rules) {
			return fmt.Sprintf("%s (%s)", name, protocol)
		}
	}
	return fmt.Sprintf("unknown (%.40q)", protocol)
}

// socketHandler accepts WebSocket peers.
type socketHandler struct {
	spec    *consensus.Spec
	origins []string // web origins that may connect; other pages must not reach a node through their visitor
	proxies []netip.Prefix
	admit   func(host netip.Addr, forwarded bool) error
	accept  func(Conn)
	refused func(remote net.Addr, why string)
	buffers sync.Pool
}

// ServeHTTP refuses in one line whoever may not connect, and hands the others on.
func (h *socketHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	remote, status, why := h.judge(r)
	if status != 0 {
		h.refused(remote, why)
		http.Error(w, why, status)
		return
	}
	up := websocket.Upgrader{
		HandshakeTimeout: dialTimeout,
		ReadBufferSize:   socketBuffer,
		WriteBufferSize:  socketBuffer,
		WriteBufferPool:  &h.buffers,
		Subprotocols:     []string{subProtocol(&h.spec.Rules)},
		CheckOrigin:      func(*http.Request) bool { return true }, // see judge
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	h.accept(newSocket(ws, remote))
}

// judge says who makes a request, or the HTTP status and the reason for one
// that is not let in.
func (h *socketHandler) judge(r *http.Request) (remote net.Addr, status int, why string) {
	from, err := clientAddr(r, h.proxies)
	if err != nil {
		from = httpAddr(r.RemoteAddr)
	}
	if status, why = h.refusal(r); status != 0 {
		return from, status, why
	}
	if err != nil {
		return from, http.StatusBadRequest, err.Error()
	}
	switch err := h.admit(hostOf(from), string(from) != r.RemoteAddr); {
	case errors.Is(err, errKnocks):
		return from, http.StatusTooManyRequests, err.Error()
	case err != nil:
		return from, http.StatusServiceUnavailable, err.Error()
	}
	return from, 0, ""
}

// refusal is the HTTP status and the reason for a request that nobody may make.
func (h *socketHandler) refusal(r *http.Request) (int, string) {
	if origin, ok := r.Header["Origin"]; ok && (len(origin) != 1 || !slices.Contains(h.origins, origin[0])) {
		return http.StatusForbidden, fmt.Sprintf("requests of web pages are refused: the Origin %.80q is not allowed", strings.Join(origin, ", "))
	}
	if !websocket.IsWebSocketUpgrade(r) {
		return http.StatusUpgradeRequired, "this is the peer port of a Lode node: it speaks WebSocket only"
	}
	own := subProtocol(&h.spec.Rules)
	offered := websocket.Subprotocols(r)
	if len(offered) == 0 {
		return http.StatusBadRequest, "no sub-protocol names your network; this node is on " + networkName(own, h.spec)
	}
	if !slices.Contains(offered, own) {
		return http.StatusBadRequest, fmt.Sprintf("wrong network: you are on %s, this node is on %s",
			networkName(offered[0], h.spec), networkName(own, h.spec))
	}
	return 0, ""
}

var errForwarded = errors.New("the proxy's X-Forwarded-For holds no IP address")

// clientAddr is the address and port from where a request comes. Only a trusted
// proxy is believed when it names somebody else: the last address in
// X-Forwarded-For that is not a trusted proxy's too, because those before it may
// be made up. The port is 0 then.
func clientAddr(r *http.Request, proxies []netip.Prefix) (httpAddr, error) {
	from := httpAddr(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && isOneOfHosts(hostOf(from), proxies); i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" {
			continue
		}
		ip, err := netip.ParseAddr(hop)
		if err != nil {
			return "", fmt.Errorf("%w: %.80q", errForwarded, hop)
		}
		from = httpAddr(netip.AddrPortFrom(ip, 0).String())
	}
	return from, nil
}

func isOneOfHosts(ip netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// httpAddr is the address and port of who made a request.
type httpAddr string

// Network implements net.Addr.
func (a httpAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a httpAddr) String() string { return string(a) }

// dialSocket gives a DialFunc for ws:// and wss:// URLs.
func dialSocket(spec *consensus.Spec) DialFunc { return rawDialer{}.socket(spec) }

func (r rawDialer) socket(spec *consensus.Spec) DialFunc {
	own := subProtocol(&spec.Rules)
	return func(ctx context.Context, url string) (Conn, error) {
		var raw *answerConn
		dialer := websocket.Dialer{
			NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				raw = &answerConn{Conn: c}
				raw.left.Store(maxAnswer)
				return raw, nil
			},
			HandshakeTimeout: dialTimeout,
			ReadBufferSize:   socketBuffer,
			WriteBufferSize:  socketBuffer,
			Subprotocols:     []string{own},
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		ws, resp, err := dialer.DialContext(ctx, url, nil)
		if err != nil {
			return nil, dialError(resp, err)
		}
		raw.left.Store(noLimit)
		// The dialer offers no extension, but would go along with a server
		// that claims to have been asked for compression.
		if _, ok := resp.Header["Sec-Websocket-Extensions"]; ok {
			_ = ws.Close()
			return nil, errExtension
		}
		if got := ws.Subprotocol(); got != own {
			_ = ws.Close()
			return nil, fmt.Errorf("wrong network: the peer answers for %s, this node is on %s",
				networkName(got, spec), networkName(own, spec))
		}
		return newSocket(ws, ws.RemoteAddr()), nil
	}
}

var (
	errExtension = errors.New("the peer uses a WebSocket extension that it was not offered")
	errAnswer    = fmt.Errorf("the peer's answer to the WebSocket handshake has more than %d bytes", maxAnswer)
)

// noLimit lets everything through an answerConn.
const noLimit = math.MinInt64

// answerConn bounds what is read of the answer to a handshake, which the HTTP
// library would read to its end.
type answerConn struct {
	net.Conn
	left atomic.Int64 // bytes, or noLimit
}

// Read implements net.Conn.
func (c *answerConn) Read(b []byte) (int, error) {
	left := c.left.Load()
	if left == noLimit {
		return c.Conn.Read(b)
	}
	if left <= 0 {
		return 0, errAnswer
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.CompareAndSwap(left, left-int64(n))
	return n, err
}

// dialError adds what the other side answered, if it is text.
func dialError(resp *http.Response, err error) error {
	if resp == nil || resp.Body == nil {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	return fmt.Errorf("%w: status %d %q", err, resp.StatusCode, strings.TrimSpace(string(body)))
}

// socket is a Conn over WebSocket: each binary message is a command of 12 bytes
// and a payload.
type socket struct {
	ws       *websocket.Conn
	remote   net.Addr
	long     longFunc // set before the first message is read
	controls int      // control frames since the last message; only the reader uses it
	once     sync.Once
}

func newSocket(ws *websocket.Conn, remote net.Addr) *socket {
	s := &socket{ws: ws, remote: remote}
	ws.SetReadLimit(socketReadLimit)
	ws.SetPingHandler(func(data string) error {
		if err := s.countControl(); err != nil {
			return err
		}
		// It may have to wait for a message that is being sent on a slow
		// line; a frame that is cut short ends the connection.
		return ws.WriteControl(websocket.PongMessage, []byte(data), deadline(writeTimeout))
	})
	ws.SetPongHandler(func(string) error { return s.countControl() })
	return s
}

func (s *socket) countControl() error {
	if s.controls++; s.controls > maxControlFrames {
		return fmt.Errorf("%w: more than %d control frames in a row", consensus.ErrDecode, maxControlFrames)
	}
	return nil
}

// ReadMessage implements Conn.
func (s *socket) ReadMessage() (string, []byte, error) {
	if err := s.ws.SetReadDeadline(deadline(idleTimeout)); err != nil {
		return "", nil, err
	}
	kind, r, err := s.ws.NextReader()
	if err != nil {
		return "", nil, socketError(err)
	}
	s.controls = 0
	if err := s.ws.SetReadDeadline(deadline(messageTimeout)); err != nil {
		return "", nil, err
	}
	if kind != websocket.BinaryMessage {
		return "", nil, fmt.Errorf("%w: a text message", consensus.ErrDecode)
	}
	var head [commandSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: a message without a command", consensus.ErrDecode)
		}
		return "", nil, socketError(err)
	}
	command, err := parseCommand(head)
	if err != nil {
		return "", nil, err
	}
	payload, err := readPayload(command, r, 0, s.long)
	return command, payload, socketError(err)
}

// socketError says in our words what went wrong; text of the other side is
// escaped.
func socketError(err error) error {
	if errors.Is(err, websocket.ErrReadLimit) {
		return errOversized
	}
	if e, ok := errors.AsType[*websocket.CloseError](err); ok {
		return fmt.Errorf("closed by the peer: %.100q", e.Text)
	}
	return err
}

func (s *socket) onLong(f longFunc) { s.long = f }

// WriteMessage implements Conn.
func (s *socket) WriteMessage(command string, payload []byte) error {
	if err := s.ws.SetWriteDeadline(deadline(writeTimeout)); err != nil {
		return err
	}
	w, err := s.ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	head := putCommand(command)
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if _, err := w.Write(payload); err != nil {
		return err
	}
	return w.Close()
}

// Close implements Conn.
func (s *socket) Close(reason string) (err error) {
	s.once.Do(func() {
		// RFC 6455: the reason of a close frame has at most 123 bytes.
		frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, strings.ToValidUTF8(reason[:min(len(reason), 120)], ""))
		_ = s.ws.WriteControl(websocket.CloseMessage, frame, deadline(closeTimeout))
		err = s.ws.Close()
	})
	return err
}

// RemoteAddr implements Conn.
func (s *socket) RemoteAddr() net.Addr { return s.remote }

func (s *socket) LocalAddr() net.Addr { return s.ws.LocalAddr() }

// Transport implements Conn.
func (s *socket) Transport() string { return transportSocket }
