package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"lode/consensus"
	"lode/internal/clock"
)

// Conn is a connection over which protocol messages travel. One goroutine may
// read while another writes, and any may close.
type Conn interface {
	// ReadMessage waits for the next message. The payload of a command that
	// is not understood is dropped unread and nil. Errors of kind
	// consensus.ErrDecode are the other side's fault. After one of kind errTooLong
	// the next message can be read; what is left of that one is dropped then.
	ReadMessage() (command string, payload []byte, err error)
	// WriteMessage keeps neither command nor payload.
	WriteMessage(command string, payload []byte) error
	// Close ends both directions and every call in progress. The reason is
	// told to the other side where the transport can do that.
	Close(reason string) error
	// RemoteAddr is where the other side is, for bans and for people.
	RemoteAddr() net.Addr
	// Transport names the transport, for people; nothing depends on it.
	Transport() string
}

// localAddr is the address of this side of a connection, if its transport has one.
func localAddr(c Conn) string {
	if l, ok := c.(interface{ LocalAddr() net.Addr }); ok {
		return l.LocalAddr().String()
	}
	return ""
}

// The transports, as getpeerinfo names them: "v1" is Bitcoin Core's name.
const (
	transportSocket = "websocket"
	transportTCP    = "v1"
)

// DialFunc opens a connection to the peer at a URL.
type DialFunc func(ctx context.Context, url string) (Conn, error)

// rawDialer opens what transports run over.
type rawDialer struct {
	from netip.Addr // may be none
	link func(net.Conn) net.Conn
}

func (r rawDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: dialControl(ctx)}
	if r.from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.from, 0))
	}
	c, err := d.DialContext(ctx, network, address)
	if err == nil && r.link != nil {
		c = r.link(c)
	}
	return c, err
}

// dialAny gives a DialFunc for every transport.
func dialAny(spec *consensus.Spec) DialFunc { return rawDialer{}.any(spec) }

func (r rawDialer) any(spec *consensus.Spec) DialFunc {
	socket, tcp := r.socket(spec), r.tcp(spec)
	return func(ctx context.Context, url string) (Conn, error) {
		if strings.HasPrefix(url, schemeTCP+"://") {
			return tcp(ctx, url)
		}
		return socket(ctx, url)
	}
}

const (
	// idleTimeout is how long a message may be waited for. A live peer
	// answers a ping every two minutes.
	idleTimeout = 20 * time.Minute
	// messageTimeout is how long a message may take to come once it has
	// begun, and writeTimeout how long one may take to go: 4 MB at 33 kB/s.
	messageTimeout = 2 * time.Minute
	writeTimeout   = messageTimeout
	// dialTimeout bounds a dial up to the end of the transport's handshake.
	dialTimeout = 15 * time.Second
	// closeTimeout bounds the attempt to tell the other side why.
	closeTimeout = 200 * time.Millisecond
)

// deadline is when a socket has had so much time: the operating system counts it in its
// own time, which no clock of this program moves.
func deadline(after time.Duration) time.Time { return clock.System.Now().Add(after) }

// commandSize is the length in bytes of a command, padded with NUL.
const commandSize = 12

// errClosed is what a connection gives that was closed on this side.
var errClosed = errors.New("connection closed")

func putCommand(command string) (b [commandSize]byte) {
	copy(b[:], command)
	return b
}

// parseCommand reads a command: printable ASCII, then nothing but NUL.
func parseCommand(b [commandSize]byte) (string, error) {
	name := bytes.TrimRight(b[:], "\x00")
	for _, c := range name {
		if c < ' ' || c > '~' {
			return "", fmt.Errorf("%w: command %q", consensus.ErrDecode, b[:])
		}
	}
	return string(name), nil
}

// payloadLimit is how long the payload of a command may be, in bytes. A short message
// that is a little longer than it should be is malformed, and no more than that.
func payloadLimit(command string) int {
	if f, ok := formats[command]; ok {
		return max(f.max, minPayloadLimit)
	}
	return maxPayload
}

const minPayloadLimit = 1000

// longFunc is called when longMessage bytes of a message have come, and more may: it
// may wait until there is memory for the rest. room is how many bytes of it were set
// aside; 0 if none were.
type longFunc func(command string, head []byte) (room int, err error)

// readPayload reads the rest of a message from r, which ends with it. What is
// longer than its command allows is not read. Memory is taken as bytes come,
// not as they are announced, but for what long has set aside: then size, if it is not
// 0, is how many bytes were announced. long may be nil.
func readPayload(command string, r io.Reader, size int, long longFunc) (payload []byte, err error) {
	limit := payloadLimit(command)
	limited := io.LimitReader(r, int64(limit)+1)
	var n int64
	if _, known := formats[command]; known {
		var b bytes.Buffer // grows by doubling, which leaves less behind than io.ReadAll
		n, err = b.ReadFrom(io.LimitReader(limited, longMessage))
		if err == nil && n == longMessage {
			room := 0
			if long != nil {
				room, err = long(command, b.Bytes())
			}
			b.Grow(max(0, min(size-longMessage, room)) + bytes.MinRead)
			if err == nil {
				_, err = b.ReadFrom(limited)
			}
		}
		payload, n = b.Bytes(), int64(b.Len())
	} else {
		n, err = io.Copy(io.Discard, limited)
	}
	if err == nil && n > int64(limit) {
		err = tooLong(command, limit)
	}
	if err != nil {
		return nil, err
	}
	return payload, nil
}

// errOversized is the kind of the error for a message of more than maxPayload bytes,
// whatever its command is. Nothing more can be read then.
var errOversized = errors.New("sent a message of more than 4000000 bytes")

// errTooLong is the kind of the error for a message that has more than its command
// allows. It is of kind consensus.ErrDecode, too.
var errTooLong = fmt.Errorf("%w: more than is allowed", consensus.ErrDecode)

func tooLong(command string, limit int) error {
	return fmt.Errorf("%w: size too large, %q message of more than %d bytes", errTooLong, command, limit)
}
