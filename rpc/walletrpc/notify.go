package walletrpc

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"lode/wallet"
)

// notifier runs a command for each transaction of a wallet that came or changed, as
// Bitcoin Core's -walletnotify does. What is put into the command are digits, hex
// and the name of a wallet alone, none of which means anything to a shell.
type notifier struct {
	command string
	log     *slog.Logger
	queue   chan string // of commands that wait
	ctx     context.Context
	cancel  func()
	ended   sync.WaitGroup
}

func newNotifier(command string, log *slog.Logger) *notifier {
	n := &notifier{command: command, log: log, queue: make(chan string, maxNotices)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if command == "" {
		return n
	}
	for range notifyAtOnce {
		n.ended.Go(n.work)
	}
	return n
}

// work runs commands, one after the other.
func (n *notifier) work() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case line := <-n.queue:
			n.run(line)
		}
	}
}

// close ends the commands that run, and waits for them.
func (n *notifier) close() {
	n.cancel()
	n.ended.Wait()
}

// fill puts what is known of a transaction into the command: %s its id, %w the
// wallet, %b and %h the hash and height of its block, "unconfirmed" and -1 if it is
// in none, %% a percent sign.
func (n *notifier) fill(name string, v *wallet.TxView) string {
	block, height := "unconfirmed", "-1"
	if v.Height > 0 {
		block, height = v.BlockHash.String(), strconv.FormatUint(uint64(v.Height), 10)
	}
	return strings.NewReplacer("%%", "%", "%s", v.ID.String(), "%w", name, "%b", block, "%h", height).Replace(n.command)
}

// tell runs the command soon, or not at all if too many wait: no wallet waits for
// a command.
func (n *notifier) tell(name string, v *wallet.TxView) {
	if n.command == "" {
		return
	}
	select {
	case n.queue <- n.fill(name, v):
	default:
		n.log.Warn("too many commands of --walletnotify wait: one is left out", "wallet", name, "txid", v.ID)
	}
}

func (n *notifier) run(line string) {
	ctx, cancel := context.WithTimeout(n.ctx, notifyTime)
	defer cancel()
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	cmd := exec.CommandContext(ctx, shell, flag, line)
	cmd.WaitDelay = notifyTime
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		n.log.Warn("the command of --walletnotify failed", "status", e.ExitCode(), "command", line)
	} else if err != nil && n.ctx.Err() == nil {
		n.log.Warn("the command of --walletnotify could not be run", "error", err)
	}
}
