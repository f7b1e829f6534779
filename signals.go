package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// secondSignal is how long after the first signal another one ends the program at
// once: `timeout`, a shell and a service manager may each send one at the same
// time and mean one clean stop.
const secondSignal = time.Second

// hangup is what SIGHUP does instead of stopping the program, while there is
// such a thing: reopening the log file.
var hangup atomic.Pointer[func()]

// stopOnSignal gives a context that ends with the first SIGINT, SIGTERM or SIGHUP.
// A SIGINT or SIGTERM that comes more than secondSignal later does what it does by
// default: it ends the program at once. What was ignored from the start stays
// ignored, as nohup and the background jobs of a script want it.
func stopOnSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stops, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	notify := func(to chan<- os.Signal, s os.Signal) {
		if !signal.Ignored(s) {
			signal.Notify(to, s)
		}
	}
	notify(stops, os.Interrupt)
	notify(stops, syscall.SIGTERM)
	notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			if reopen := hangup.Load(); reopen != nil {
				(*reopen)()
			} else {
				cancel()
			}
		}
	}()
	go func() {
		<-stops
		cancel()
		time.Sleep(secondSignal)
		signal.Stop(stops)
	}()
	return ctx, cancel
}

// surviveBrokenPipe makes writing to a pipe that nobody reads any more an error,
// for programs that have something better to do than to print. Otherwise it ends
// the process where the pipe is standard output or standard error.
func surviveBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

// printInTime prints a last line, but does not wait for a reader who stopped
// reading.
func printInTime(w io.Writer, text string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Fprint(w, text)
	}()
	select {
	case <-done:
	case <-time.After(logFarewell):
	}
}
