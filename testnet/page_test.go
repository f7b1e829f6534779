package testnet_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lode/internal/browser"
)

// TestPageOfANetwork looks at a network of real nodes in a browser, and presses buttons:
// all nodes are side by side, a cut makes a fork that the tree shows, and healing ends it.
func TestPageOfANetwork(t *testing.T) {
	if os.Getenv("LODE_TEST_CHROMIUM") == "" {
		t.Skip("set LODE_TEST_CHROMIUM to a Chromium, or call make page")
	}
	n := newTestnetwork(t)
	n.run("up", "3", "--block-time", "2")
	cmd := exec.Command(program, "testnet", "page", "--networks", n.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("Ctrl-C: %v", err)
		}
	}()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	b := browser.Open(t, strings.TrimSpace(url))
	press := func(where string) { // once nothing else goes on
		t.Helper()
		waitFor(t, where+" to be there to press", func() bool {
			pressed, _ := b.Eval(`{ const e = document.querySelector("` + where + `:enabled"); e?.click(); e ? "pressed" : "" }`)
			return pressed == "pressed"
		})
	}
	set := func(form, field, value string) {
		t.Helper()
		b.Do(`document.querySelector("#do-` + form + ` [name=` + field + `]").value = "` + value + `"`)
	}
	b.Sees("#node-3", "mining")
	press("[data-do=pause]")
	b.Sees("#node-3 .state", "paused")
	b.Sees("#agree", "All nodes agree")
	press("#do-send button")
	b.Sees("#story", "Node 1 pays 0.25 to 2")
	b.Sees("#node-3", "Mempool1")
	set("partition", "parts", "1")
	press("#do-partition button")
	b.Sees("#story", "Part 2: nodes 2 3.")
	press("#node-1 [data-do=mine]")
	b.Sees("#story", "Node 1 has mined 1")
	set("mine", "node", "2")
	set("mine", "count", "2")
	press("#do-mine button")
	b.Sees("#agree", "Nodes differ")
	b.Sees(".tree .tip .whose", "2 3")
	b.Sees(".tree g:not(.on) .whose", "1") // its branch lies beside the other
	press("[data-do=heal]")
	b.Sees("#story", "The network is one, and all nodes agree.")
	b.Sees(".tree .tip .whose", "1 2 3")
	b.Sees(".tree .was", "…")
	press("#node-3 [data-do=kill]")
	b.Sees("#node-3 .state", "ended")
	press("#node-3 [data-do=start]")
	b.Sees("#node-3 .state", "paused")
	press("#do-reorg button")
	b.Sees("#story", "All nodes left 2 blocks")
	press("#do-double-spend button")
	b.Sees("#story", "The payment is gone on every node")
	set("clock", "node", "3")
	press("#do-clock button")
	b.Sees("#node-3", "+30 s")
	for _, width := range []int{390, 1440} {
		if png := b.Screenshot(width); len(png) < 10_000 {
			t.Errorf("no picture at %d pixels", width)
		} else if dir := os.Getenv("LODE_TEST_PICTURES"); dir != "" {
			_ = os.WriteFile(dir+"/page"+time.Now().Format("150405.000")+".png", png, 0o600)
		}
		if wide, _ := b.Eval(`document.documentElement.scrollWidth > innerWidth ? "too wide" : ""`); wide != "" {
			t.Errorf("at %d pixels it is %s", width, wide)
		}
	}
}
