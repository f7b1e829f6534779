package main

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// listenOnce is a command of scripts: "listen ADDR FILE" waits on a port of loopback,
// puts tcp://HOST:PORT into the variable ADDR, and writes the first message of Bitcoin's
// TCP framing that the first caller sends into FILE, with its header.
func listenOnce(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], "tcp://"+l.Addr().String())
	file := ts.MkAbs(args[1])
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return // the script has ended
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		message := make([]byte, 24) // magic, command, length, checksum
		if _, err := io.ReadFull(conn, message); err == nil {
			payload, _ := io.ReadAll(io.LimitReader(conn, int64(binary.LittleEndian.Uint32(message[16:]))))
			message = append(message, payload...)
		}
		_ = os.WriteFile(file+".new", message, 0o600)
		_ = os.Rename(file+".new", file)
	}()
	ts.Defer(func() { _ = l.Close(); <-done })
}
