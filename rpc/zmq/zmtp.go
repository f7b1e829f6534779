package zmq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The part of ZMTP 3.0 (rfc.zeromq.org/spec/23) that a PUB socket speaks: the greeting,
// the NULL mechanism, frames. Newer peers fall back to it.

// flags of a frame.
const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4
)

const (
	greetingSize  = 64
	maxFrame      = 512 // bytes of a frame from a subscriber
	maxTopic      = 256
	mechanismAt   = 12
	mechanismSize = 20
)

// errProtocol is the kind of the errors about what a subscriber sends.
var errProtocol = errors.New("this is not ZMTP 3")

// greeting is what both sides begin with.
func greeting() []byte {
	b := make([]byte, greetingSize)
	b[0], b[8], b[9] = 0xff, 1, 0x7f // the signature
	b[10] = 3                        // version 3.0
	copy(b[mechanismAt:], "NULL")
	return b
}

// checkGreeting wants version 3 and no security.
func checkGreeting(b []byte) error {
	mechanism := string(b[mechanismAt : mechanismAt+mechanismSize])
	if b[0] != 0xff || b[9]&1 != 1 || b[10] < 3 || mechanism != "NULL"+string(make([]byte, mechanismSize-4)) {
		return errProtocol
	}
	return nil
}

// appendFrame appends one frame.
func appendFrame(b, body []byte, flags byte) []byte {
	if len(body) > 255 {
		b = append(b, flags|flagLong)
		b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	} else {
		b = append(b, flags, byte(len(body)))
	}
	return append(b, body...)
}

// encode is a message of several parts.
func encode(parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += 9 + len(p)
	}
	b := make([]byte, 0, size)
	for i, p := range parts {
		flags := byte(flagMore)
		if i == len(parts)-1 {
			flags = 0
		}
		b = appendFrame(b, p, flags)
	}
	return b
}

// command is a frame with a command.
func command(name string, data []byte) []byte {
	body := append([]byte{byte(len(name))}, name...)
	return appendFrame(nil, append(body, data...), flagCommand)
}

// ready says what this side is.
func ready() []byte {
	const name, value = "Socket-Type", "PUB"
	b := append([]byte{byte(len(name))}, name...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return command("READY", append(b, value...))
}

// frame is one that a subscriber sent.
type frame struct {
	flags byte
	body  []byte
}

// readFrame reads one of at most maxFrame bytes.
func readFrame(r io.Reader) (f frame, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return f, err
	}
	f.flags = head[0]
	size := uint64(0)
	if f.flags&flagLong != 0 {
		if _, err := io.ReadFull(r, head[1:9]); err != nil {
			return f, err
		}
		size = binary.BigEndian.Uint64(head[1:9])
	} else {
		if _, err := io.ReadFull(r, head[1:2]); err != nil {
			return f, err
		}
		size = uint64(head[1])
	}
	if f.flags&^(flagMore|flagLong|flagCommand) != 0 || size > maxFrame {
		return f, fmt.Errorf("%w: a frame with flags %02x and %d bytes", errProtocol, f.flags, size)
	}
	f.body = make([]byte, size)
	_, err = io.ReadFull(r, f.body)
	return f, err
}

// cutCommand takes the name off the body of a command.
func cutCommand(body []byte) (name string, data []byte, ok bool) {
	if len(body) == 0 || len(body) < 1+int(body[0]) {
		return "", nil, false
	}
	n := 1 + int(body[0])
	return string(body[1:n]), body[n:], true
}

// checkReady wants the socket of a subscriber behind READY.
func checkReady(f frame) error {
	name, data, ok := cutCommand(f.body)
	if f.flags&flagCommand == 0 || !ok || name != "READY" {
		return errProtocol
	}
	for len(data) > 0 {
		key, rest, ok := cutCommand(data)
		if !ok || len(rest) < 4 {
			return errProtocol
		}
		size := uint64(binary.BigEndian.Uint32(rest))
		if rest = rest[4:]; size > uint64(len(rest)) {
			return errProtocol
		}
		if value := string(rest[:size]); key == "Socket-Type" && value != "SUB" && value != "XSUB" {
			return fmt.Errorf("%w: only SUB may connect to PUB, not %.10q", errProtocol, value)
		}
		data = rest[size:]
	}
	return nil
}

// wish is what a subscriber wants.
type wish struct {
	topic     string
	subscribe bool
	ping      []byte // the answer to a ping, or nil
}

// readWish understands a frame of a subscriber; ok is false for one that says nothing.
func readWish(f frame) (w wish, ok bool) {
	if f.flags&flagCommand == 0 {
		if len(f.body) == 0 || f.body[0] > 1 || len(f.body) > maxTopic || f.flags&flagMore != 0 {
			return w, false
		}
		return wish{topic: string(f.body[1:]), subscribe: f.body[0] == 1}, true
	}
	switch name, data, _ := cutCommand(f.body); name {
	case "SUBSCRIBE", "CANCEL": // ZMTP 3.1
		return wish{topic: string(data), subscribe: name == "SUBSCRIBE"}, len(data) <= maxTopic
	case "PING": // its time to live, of two bytes, and what the answer repeats
		if len(data) < 2 || len(data) > 2+16 {
			return w, false
		}
		return wish{ping: command("PONG", data[2:])}, true
	}
	return w, false
}
