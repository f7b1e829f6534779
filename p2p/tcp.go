package p2p

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lode/consensus"
)

// The header of a message on TCP, Bitcoin's v1 transport: magic, command, length
// of the payload (little endian), and the first four bytes of its SHA-256d.
const (
	magicSize    = 4
	checksumSize = 4
	frameSize    = magicSize + commandSize + 4 + checksumSize
)

var (
	// errMagic is no fault: Bitcoin Core tries its encrypted transport (BIP324)
	// first, and comes again when it is hung up on without an answer.
	errMagic    = errors.New("it speaks another network's protocol, or an encrypted one")
	errChecksum = errors.New("sent a message with a wrong checksum")
	errCommand  = errors.New("sent a message whose type is no text")
	errHungUp   = errors.New("it hung up")
	errNoWord   = errors.New("it hung up without a word: it may be full, on another network, or not want this node")
)

// framed is a Conn over a stream of bytes.
type framed struct {
	c     net.Conn
	magic [magicSize]byte
	r     *bufio.Reader // only the reader uses it
	long  longFunc      // set before the first message is read
	heard bool          // something has come; likewise
	size  int           // of the payload that came last, in bytes; likewise
	left  int64         // bytes of the last message that were too many and not read; likewise
	in    atomic.Uint64 // bytes that have come, those of a message that is not complete included
	w     *bufio.Writer // only the writer uses it
	once  sync.Once
}

const frameBuffer = 16 << 10

func newFramed(c net.Conn, spec *consensus.Spec) *framed {
	f := &framed{c: c, magic: [magicSize]byte(spec.Defaults.Magic), w: bufio.NewWriterSize(c, frameBuffer)}
	f.r = bufio.NewReaderSize(&countingReader{c, &f.in}, frameBuffer)
	return f
}

// countingReader counts what is read.
type countingReader struct {
	io.Reader
	n *atomic.Uint64
}

// Read implements io.Reader.
func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.n.Add(uint64(n))
	return n, err
}

// came is how many bytes have come.
func (f *framed) came() uint64 { return f.in.Load() }

// lastSize is how long the payload of the last message was, whether it was kept or not.
func (f *framed) lastSize() int { return f.size }

// ReadMessage implements Conn.
func (f *framed) ReadMessage() (string, []byte, error) {
	if err := f.c.SetReadDeadline(deadline(idleTimeout)); err != nil {
		return "", nil, err
	}
	if _, err := f.r.Peek(1); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			reason := errHungUp
			if !f.heard {
				reason = errNoWord
			}
			err = fmt.Errorf("%w: %w", reason, err)
		}
		return "", nil, err
	}
	f.heard = true
	if err := f.c.SetReadDeadline(deadline(messageTimeout)); err != nil {
		return "", nil, err
	}
	if f.left > 0 {
		if _, err := io.CopyN(io.Discard, f.r, f.left); err != nil {
			return "", nil, noEOF(err)
		}
		f.left = 0
		return f.ReadMessage()
	}
	command, payload, size, err := readFrame(f.r, f.magic, f.long)
	f.size = size
	if errors.Is(err, errTooLong) {
		f.left = int64(size)
	}
	return command, payload, err
}

// readFrame reads one message of a stream. What is not of this network is not
// read further than the magic, and what is longer than its command allows, or any
// may be, not further than the header. With errChecksum and errCommand the message was read to its
// end. size is how long its payload was, in bytes.
func readFrame(r io.Reader, magic [magicSize]byte, long longFunc) (command string, payload []byte, size int, err error) {
	var head [frameSize]byte
	if _, err := io.ReadFull(r, head[:magicSize]); err != nil {
		return "", nil, 0, err
	}
	if !bytes.Equal(head[:magicSize], magic[:]) {
		return "", nil, 0, errMagic
	}
	if _, err := io.ReadFull(r, head[magicSize:]); err != nil {
		return "", nil, 0, noEOF(err)
	}
	rest := head[magicSize:]
	command, noCommand := parseCommand([commandSize]byte(rest))
	length := int64(binary.LittleEndian.Uint32(rest[commandSize:]))
	if length > maxPayload {
		return "", nil, 0, fmt.Errorf("%w: %.12q, of %d", errOversized, command, length)
	}
	size = int(length)
	if limit := payloadLimit(command); size > limit {
		return command, nil, size, tooLong(command, limit)
	}
	body, sum := io.LimitedReader{R: r, N: length}, sha256.New()
	if payload, err = readPayload(command, io.TeeReader(&body, sum), size, long); err != nil {
		return "", nil, 0, err
	}
	if body.N > 0 {
		return "", nil, 0, io.ErrUnexpectedEOF
	}
	if twice := sha256.Sum256(sum.Sum(nil)); !bytes.Equal(twice[:checksumSize], head[frameSize-checksumSize:]) {
		return "", payload, size, fmt.Errorf("%w: Wrong checksum of %q", errChecksum, command)
	}
	if noCommand != nil {
		return "", payload, size, fmt.Errorf("%w: %w", errCommand, noCommand)
	}
	return command, payload, size, nil
}

// noEOF is the error for a stream that ends within a message.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendFrame appends the header of a message.
func appendFrame(b []byte, magic [magicSize]byte, command string, payload []byte) []byte {
	name, sum := putCommand(command), consensus.DoubleSHA256(payload)
	b = append(append(b, magic[:]...), name[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, sum[:checksumSize]...)
}

func (f *framed) onLong(long longFunc) { f.long = long }

// WriteMessage implements Conn.
func (f *framed) WriteMessage(command string, payload []byte) error {
	if err := f.c.SetWriteDeadline(deadline(writeTimeout)); err != nil {
		return err
	}
	if _, err := f.w.Write(appendFrame(nil, f.magic, command, payload)); err != nil {
		return err
	}
	if _, err := f.w.Write(payload); err != nil {
		return err
	}
	return f.w.Flush()
}

// Close implements Conn. The transport has no way to tell a reason.
func (f *framed) Close(string) (err error) {
	f.once.Do(func() { err = f.c.Close() })
	return err
}

// RemoteAddr implements Conn.
func (f *framed) RemoteAddr() net.Addr { return f.c.RemoteAddr() }

func (f *framed) LocalAddr() net.Addr { return f.c.LocalAddr() }

// Transport implements Conn.
func (f *framed) Transport() string { return transportTCP }

// tcp gives a DialFunc for tcp:// URLs.
func (r rawDialer) tcp(spec *consensus.Spec) DialFunc {
	return func(ctx context.Context, url string) (Conn, error) {
		c, err := r.dial(ctx, "tcp", strings.TrimPrefix(url, schemeTCP+"://"))
		if err != nil {
			return nil, err
		}
		return newFramed(c, spec), nil
	}
}

// serveTCP accepts peers on l until ctx ends.
func (n *Node) serveTCP(ctx context.Context, l net.Listener) error { return n.serveTCPAs(ctx, l, 0) }

// serveTCPAs is serveTCP for peers that have permissions because they came in there.
func (n *Node) serveTCPAs(ctx context.Context, l net.Listener, may Permissions) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	backoff := firstAcceptBackoff
	limited := &gateListener{l, n.gate, n.refused}
	for {
		c, err := limited.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = c.Close()
			}
			return nil
		case err == nil && n.admit(hostOf(c.RemoteAddr()), false, may) != nil:
			_ = c.Close()
		case err == nil:
			backoff = firstAcceptBackoff
			if !n.begin(func() { n.greet(ctx, newFramed(c, n.cfg.Spec), may) }) {
				_ = c.Close()
			}
		case isTemporary(err): // such as too many open files
			n.log.Warn("cannot accept a peer", "error", err, "retry", backoff)
			pause(ctx, backoff)
			backoff = min(2*backoff, maxAcceptBackoff)
		default:
			return fmt.Errorf("listening for peers on %s: %w", l.Addr(), err)
		}
	}
}

// greet waits for the first bytes on a connection: only who speaks the network's
// protocol becomes a peer and takes a place among them. Before that it is listed, and
// can be disconnected, like a peer.
func (n *Node) greet(ctx context.Context, f *framed, may Permissions) {
	p := n.newPeer(ctx, f, kindInbound, "", may)
	stop := context.AfterFunc(p.ctx, func() { _ = f.Close("") })
	defer stop()
	n.knocks(p)
	silent := n.wall.AfterFunc(n.peerTimeout(), func() {
		n.log.Debug(fmt.Sprintf("socket no message in first %.0f seconds, never sent to peer, disconnecting peer=%d", n.peerTimeout().Seconds(), p.id))
		_ = f.Close("")
	})
	defer silent.Stop()
	err := f.c.SetReadDeadline(deadline(headerTimeout))
	if err == nil {
		var first []byte
		if first, err = f.r.Peek(magicSize); err == nil && !bytes.Equal(first, f.magic[:]) {
			err = errMagic
		}
	}
	if n.hasKnocked(p); err != nil {
		n.log.Debug("no peer", "address", f.RemoteAddr().String(), "why", err)
		p.drop(errNoWord)
		_ = f.Close("")
		return
	}
	settle(f.c)
	n.receive(p)
}

// How long to wait after a connection could not be accepted; each further
// failure doubles it.
const (
	firstAcceptBackoff = 5 * time.Millisecond
	maxAcceptBackoff   = time.Second
)

func isTemporary(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && errno.Temporary()
}

// pause waits, but not longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
