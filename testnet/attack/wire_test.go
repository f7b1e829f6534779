package attack

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"lode/consensus"
)

// The kinds of things that inv and getdata name.
const (
	kindTx      = 1
	kindBlock   = 2
	kindCompact = 4
	kindWTx     = 5
	kindWitness = 1 << 30
)

// wire is one connection that speaks Bitcoin's TCP framing.
type wire struct {
	c     net.Conn
	r     *bufio.Reader
	magic []byte
	mu    sync.Mutex // guards writing
}

// address is the n-th of many loopback addresses, each in a group of its own (/16)
// as long as there are groups.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + n%250), byte(n / 250), byte(1 + n/250/256)})
}

// dial connects to a node from a loopback address.
func dial(ctx context.Context, from netip.Addr, to string, magic []byte) (*wire, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return newWire(c, magic), nil
}

func newWire(c net.Conn, magic []byte) *wire {
	return &wire{c: c, r: bufio.NewReaderSize(c, 1<<16), magic: magic}
}

// frame is one message with its header.
func frame(magic []byte, command string, payload []byte) []byte {
	sum := consensus.DoubleSHA256(payload)
	b := make([]byte, 0, 24+len(payload))
	b = append(b, magic...)
	name := [12]byte{}
	copy(name[:], command)
	b = append(b, name[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, sum[:4]...), payload...)
}

// send writes one message.
func (w *wire) send(command string, payload []byte) error {
	return w.write(frame(w.magic, command, payload))
}

// write writes what frame has made.
func (w *wire) write(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.c.SetWriteDeadline(time.Now().Add(20 * time.Second))
	_, err := w.c.Write(b)
	return err
}

// read waits for one message.
func (w *wire) read() (command string, payload []byte, err error) {
	var head [24]byte
	if _, err := io.ReadFull(w.r, head[:]); err != nil {
		return "", nil, err
	}
	length := binary.LittleEndian.Uint32(head[16:])
	if length > 4_000_000 {
		return "", nil, fmt.Errorf("a message of %d bytes", length)
	}
	end := 4
	for end < 16 && head[end] != 0 {
		end++
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(w.r, payload)
	return string(head[4:end]), payload, err
}

// version is the payload of a version message.
func version(height uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 70016)
	b = binary.LittleEndian.AppendUint64(b, 1|8)
	b = binary.LittleEndian.AppendUint64(b, uint64(time.Now().Unix()))
	b = append(b, make([]byte, 2*26)...)
	b = binary.LittleEndian.AppendUint64(b, rand.Uint64())
	b = consensus.AppendVarBytes(b, []byte("/stranger:1/"))
	b = binary.LittleEndian.AppendUint32(b, height)
	return append(b, 1)
}

// greet finishes the handshake of both sides. first says who dialled.
func (w *wire) greet(first bool, height uint32) error {
	_ = w.c.SetReadDeadline(time.Now().Add(30 * time.Second))
	defer func() { _ = w.c.SetReadDeadline(time.Time{}) }()
	if first {
		if err := w.send("version", version(height)); err != nil {
			return err
		}
	}
	for {
		command, _, err := w.read()
		if err != nil {
			return err
		}
		switch command {
		case "version":
			if !first {
				if err := w.send("version", version(height)); err != nil {
					return err
				}
			}
			if err := w.send("wtxidrelay", nil); err != nil {
				return err
			}
			if err := w.send("verack", nil); err != nil {
				return err
			}
		case "verack":
			return nil
		}
	}
}

// invPayload is the payload of inv or getdata for hashes of one kind.
func invPayload(kind uint32, hashes ...consensus.Hash) []byte {
	b := consensus.AppendCompactSize(nil, uint64(len(hashes)))
	for _, hash := range hashes {
		b = binary.LittleEndian.AppendUint32(b, kind)
		b = append(b, hash[:]...)
	}
	return b
}

// invItems reads the payload of inv or getdata.
func invItems(payload []byte, f func(kind uint32, hash consensus.Hash)) {
	d := consensus.NewDecoder(payload)
	for range d.Count(36) {
		f(d.Uint32(), d.Hash())
	}
}

// headersPayload is the payload of headers.
func headersPayload(headers ...consensus.Header) []byte {
	b := consensus.AppendCompactSize(nil, uint64(len(headers)))
	for i := range headers {
		b = append(headers[i].Append(b), 0)
	}
	return b
}

// compactPayload is the payload of cmpctblock for a block of a coinbase alone.
func compactPayload(block *consensus.Block) []byte {
	b := block.Header.Append(nil)
	b = binary.LittleEndian.AppendUint64(b, rand.Uint64())
	b = append(b, 0, 1, 0) // no short ids, one transaction in full, at index 0
	return block.Txs[0].Append(b)
}

// randomHashes are n hashes that nobody knows.
func randomHashes(n int) []consensus.Hash {
	list := make([]consensus.Hash, n)
	for i := range list {
		for j := 0; j < 32; j += 8 {
			binary.LittleEndian.PutUint64(list[i][j:], rand.Uint64())
		}
	}
	return list
}
