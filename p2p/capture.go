package p2p

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// captureDir holds a directory for each peer, named after its address.
	captureDir = "message_capture"
	// maxCaptured bounds a file of captured messages, in bytes.
	maxCaptured = 1 << 30
)

// capture writes down all messages of a peer, for developers: those that come in
// msgs_recv.dat, those that go in msgs_sent.dat, in the format of Bitcoin Core's
// -capturemessages: the time in microseconds since 1970 (8 bytes, little endian), the
// command (12 bytes), the length of the payload (4 bytes, little endian), the payload.
// Of what is not understood here only the command is kept.
type capture struct {
	dir    string
	now    func() time.Time
	failed func(error) // is told once what goes wrong
	once   sync.Once
}

const (
	capturedIn  = "msgs_recv.dat"
	capturedOut = "msgs_sent.dat"
)

// newCapture has the messages of a connection written down, if the configuration says
// so; else it gives nil.
func (n *Node) newCapture(c Conn) *capture {
	if !n.cfg.Capture || n.cfg.Dir == "" {
		return nil
	}
	name := strings.ReplaceAll(c.RemoteAddr().String(), ":", "_")
	return &capture{dir: n.cfg.inDir(filepath.Join(captureDir, name)), now: n.wall.Now, failed: func(err error) {
		n.log.Warn("not all messages of a peer are captured", "peer", name, "error", err)
	}}
}

// keep writes a message down. c may be nil.
func (c *capture) keep(file, command string, payload []byte) {
	if c == nil {
		return
	}
	if err := c.append(filepath.Join(c.dir, file), command, payload); err != nil {
		c.once.Do(func() { c.failed(err) })
	}
}

// errCaptured says that there is enough.
var errCaptured = errors.New("a file of captured messages has reached 1 GiB")

func (c *capture) append(path, command string, payload []byte) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	name := putCommand(command)
	b := binary.LittleEndian.AppendUint64(nil, uint64(c.now().UnixMicro()))
	b = append(b, name[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	info, err := f.Stat()
	if err == nil && info.Size()+int64(len(b)+len(payload)) > maxCaptured {
		err = errCaptured
	}
	if err == nil {
		_, err = f.Write(append(b, payload...))
	}
	return errors.Join(err, f.Close())
}
