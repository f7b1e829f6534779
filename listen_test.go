package main

import (
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// listenOnce is a command of scripts: "listen ADDR FILE N" waits on a port of loopback,
// puts tcp://HOST:PORT into the variable ADDR, and writes the first N bytes that the
// first caller sends into FILE.
func listenOnce(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], "tcp://"+l.Addr().String())
	file := ts.MkAbs(args[1])
	size, err := strconv.Atoi(args[2])
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return // the script has ended
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		first := make([]byte, size)
		n, _ := io.ReadFull(conn, first)
		_ = os.WriteFile(file+".new", first[:n], 0o600)
		_ = os.Rename(file+".new", file)
	}()
	ts.Defer(func() { _ = l.Close(); <-done })
}
