package walletrpc_test

import (
	"context"
	"testing"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 3_000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("after half a minute still not: %s", what)
}

// TestBusyWalletDoesNotHoldUpOthers: while a call has one wallet for long, the others follow
// the chain, and it does when the call is done.
func TestBusyWalletDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	for _, name := range []string{"a", "b"} {
		ok[any](n, "createwallet", name)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.wallets.Run(ctx) }()
	release := n.wallets.Hold("a")
	tip := n.mine(2, elsewhere(n))[1]
	hash, err := consensus.ParseHash(tip)
	check(t, err)
	eventually(t, "b is at the tip", func() bool { return n.wallets.UpTo("b") == hash })
	release()
	eventually(t, "a is at the tip", func() bool { return n.wallets.UpTo("a") == hash })
	stop()
	check(t, <-ended)
}

// TestWalletThatIsInUseDoesNotHoldUpOthers: a call that waits for another process to give a
// wallet free does not keep others from being made and loaded.
func TestWalletThatIsInUseDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest")
	ok[any](n, "createwallet", "used", true)
	ok[any](n, "unloadwallet", "used")
	files, err := wallet.NamedFiles(n.dir, "used")
	check(t, err)
	other, err := wallet.Open(t.Context(), files, n.spec) // as another process
	check(t, err)
	loaded := make(chan bool)
	go func() {
		_, failure := n.call("loadwallet", "used")
		loaded <- failure == nil
	}()
	eventually(t, "it is being loaded", func() bool { return n.wallets.Loading("used") })
	ok[any](n, "createwallet", "free", true)
	ok[any](n, "unloadwallet", "free")
	ok[any](n, "loadwallet", "free")
	n.refused(-4, "Wallet already loading.", "loadwallet", "used")
	check(t, other.Close())
	if !<-loaded {
		t.Error("it was not loaded when the other process was done")
	}
}

// TestPanicEndsItsScan: a scan that a mistake of this program cuts short is not under way any
// more, and the wallet is as its files have it.
func TestPanicEndsItsScan(t *testing.T) {
	t.Parallel()
	n := funded(t, 1)
	func() {
		defer func() {
			if v := recover(); v != "a mistake" {
				t.Errorf("recovered %v", v)
			}
		}()
		n.wallets.PanicIn("w", "a mistake")
	}()
	want(t, "scanning", ok[object](n, "getwalletinfo")["scanning"], "false")
	want(t, "balance", ok[any](n, "getbalance"), "50.00000000")
	want(t, "rescan", ok[any](n, "rescanblockchain", 0), "map[start_height:0 stop_height:101]")
}
