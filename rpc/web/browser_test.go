package web_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"lode/consensus"
	"lode/p2p"
)

// tab is a page in Chromium, driven by its DevTools protocol.
type tab struct {
	t       *testing.T
	ws      *websocket.Conn
	session string
	id      int
}

// openTab starts the browser that LODE_TEST_CHROMIUM names with a page of this node.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	program := os.Getenv("LODE_TEST_CHROMIUM")
	if program == "" {
		t.Skip("set LODE_TEST_CHROMIUM to a Chromium, or call make page")
	}
	dir, err := os.MkdirTemp("", "chromium")
	check(t, err)
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0", "--remote-debugging-address=127.0.0.1",
		"--remote-allow-origins=*", "--user-data-dir="+dir, "--window-size=1200,900", "about:blank")
	out, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir) // its children may still be ending
	})
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		if m := regexp.MustCompile(`ws://\S+`).FindString(lines.Text()); m != "" {
			address = m
		}
	}
	go func() { _, _ = bufio.NewReader(out).WriteTo(discard{}) }()
	b := &tab{t: t}
	b.ws, _, err = websocket.DefaultDialer.Dial(address, nil)
	check(t, err)
	t.Cleanup(func() { _ = b.ws.Close() })
	var made struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	return b
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// call makes a call of the protocol; what else is said meanwhile is passed over.
func (b *tab) call(method string, params any, into any) {
	b.t.Helper()
	b.id++
	check(b.t, b.ws.WriteJSON(map[string]any{"id": b.id, "method": method, "params": params, "sessionId": b.session}))
	for {
		_ = b.ws.SetReadDeadline(time.Now().Add(time.Minute))
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		check(b.t, b.ws.ReadJSON(&answer))
		if answer.ID != b.id {
			continue
		}
		if answer.Error != nil {
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if into != nil {
			check(b.t, json.Unmarshal(answer.Result, into))
		}
		return
	}
}

// eval runs a script in the page, as its developer would.
func (b *tab) eval(script string) (text string, err error) {
	b.t.Helper()
	var v struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &v)
	if v.ExceptionDetails != nil {
		return "", errors.New(v.ExceptionDetails.Text)
	}
	return fmt.Sprint(v.Result.Value), nil
}

// sees waits until a part of the page holds a text, without loading it again.
func (b *tab) sees(selector, text string) {
	b.t.Helper()
	got := ""
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got, _ = b.eval(fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.textContent).join(" | ")`, selector))
		if strings.Contains(got, text) {
			return
		}
	}
	b.t.Fatalf("%s does not show %q but %.500q", selector, text, got)
}

func (b *tab) do(script string) {
	b.t.Helper()
	if _, err := b.eval(script); err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
}

// goTo follows a link, which loads nothing anew.
func (b *tab) goTo(hash string) { b.do(fmt.Sprintf("location.hash = %q", hash)) }

// TestPageShowsWhatHappens lets blocks, a payment and a reorganization happen before the
// eyes of a browser that never loads the page again.
func TestPageShowsWhatHappens(t *testing.T) {
	if os.Getenv("LODE_TEST_CHROMIUM") == "" {
		t.Skip("set LODE_TEST_CHROMIUM to a Chromium, or call make page")
	}
	n := newNode(t)
	b := openTab(t, n.http.URL+"/")
	b.sees("h1", "Block 8")
	b.do("window.mark = 1") // is gone if the page is loaded again
	n.add(n.gen.Extend(1)...)
	b.sees("h1", "Block 9")
	b.sees(".strip b", "9")
	b.do(`document.querySelector("#mine").click()`)
	b.sees("h1", "Block 10")

	// The generator did not see what the button mined: it replaces it, with the payment.
	next := n.gen.Extend(1)[0]
	payment := next.Txs[1]
	n.gen.Params.Txs = 0
	rest := n.gen.Extend(6)
	for _, err := range n.pool.AddAll(next.Txs[1:]) {
		check(t, err)
	}
	b.goTo("#/tx/" + payment.TxID().String())
	b.sees("main", "Why it is not confirmed")
	n.add(next, rest[0])
	b.sees(".state", "Confirmed in")
	b.sees("#confirmations", "2")
	n.add(rest[1:5]...)
	b.sees("#confirmations", "6")
	b.sees("#news", "Reorganization: 1 block left the chain")

	// A reorganization drops the payment: its coins were made by blocks that leave.
	b.goTo("#/forks")
	b.sees("main h1", "Forks")
	n.gen = n.gen.Fork(0, 77)
	n.add(n.gen.Extend(17)...)
	b.sees("#news", "Reorganization: 15 blocks left the chain")
	b.goTo("#/forks/" + hashOf(next))
	b.sees(".fates", "lost")
	b.sees(".tree .was", hashOf(next)[58:])
	if mark, _ := b.eval("window.mark"); mark != "1" {
		t.Error("the page was loaded again")
	}
}

// TestPageChangesABlock edits a block in the browser and asks the node.
func TestPageChangesABlock(t *testing.T) {
	if os.Getenv("LODE_TEST_CHROMIUM") == "" {
		t.Skip("set LODE_TEST_CHROMIUM to a Chromium, or call make page")
	}
	n := newNode(t)
	b := openTab(t, n.http.URL+"/#/change/4")
	b.sees("#newhash", hashOf(n.gen.Blocks[4]))
	b.sees("#later", "points to the block above")
	b.do(`document.querySelector("#ask").click()`)
	b.sees("#verdict", "It is part of the chain, and keeps every rule")
	// A byte of a transaction: its version.
	b.do(`{ const p = document.querySelector("#pick"); p.value = 1; p.dispatchEvent(new Event("change")); }`)
	b.do(`{ const a = document.querySelector("#txbytes"); a.value = "07" + a.value.slice(2); a.dispatchEvent(new Event("input")); }`)
	b.sees("#root.bad", "")
	b.do(`document.querySelector("#ask").click()`)
	b.sees("#reason", "bad-txnmrklroot")
	b.do(`document.querySelector("#fixroot").click()`)
	b.sees("#later", "points to a block that is gone")
	b.do(`document.querySelector("#again").click()`)
	b.sees("main", "Found after")
	b.sees("#work", "enough work")
	b.do(`document.querySelector("#ask").click()`)
	b.sees("#reason", "bad-witness-merkle-match")
	b.do(`document.querySelector("#all").click()`)
	b.sees("#later li:last-child", "mined again")
	if got, _ := b.eval(`document.querySelectorAll("#later .loose").length`); got != "0" {
		t.Errorf("%s blocks are loose after all were mined again", got)
	}
}

// TestHostileTextOnThePageIsNotRun has miners and peers send scripts.
func TestHostileTextOnThePageIsNotRun(t *testing.T) {
	if os.Getenv("LODE_TEST_CHROMIUM") == "" {
		t.Skip("set LODE_TEST_CHROMIUM to a Chromium, or call make page")
	}
	n := newNode(t)
	hostile := `<img src=x onerror=hit()><script>hit()</script>`
	for i, text := range []string{`"><svg/onload=hit()>`, `</title><script>hit()</script>`, `javascript:hit()//`, `{{hit()}}${hit()}`} {
		n.net.peers = append(n.net.peers, p2p.PeerInfo{ID: int64(i + 1), SubVer: text, Addr: text, HandshakeIsOver: true})
	}
	next := n.gen.Extend(1)[0]
	next.Txs[0].In[0].ScriptSig = append(consensus.CoinbaseScript(9, []byte("12345678")), hostile...)
	next.MerkleRoot, _ = consensus.MerkleRoot(next.TxIDs())
	target, _ := consensus.TargetFromBits(next.Bits)
	for !next.Header.Hash().MeetsTarget(&target) {
		next.Nonce++
	}
	b := openTab(t, n.http.URL+"/")
	b.sees("h1", "Block 8")
	b.do("window.hits = 0; window.hit = () => { window.hits++; }")
	n.add(next)
	b.sees(".strip", hostile)
	b.goTo("#/block/9")
	b.sees("main", hostile)
	b.goTo("#/tx/" + next.Txs[0].TxID().String() + "?block=" + hashOf(next))
	b.sees(".coinbase", hostile)
	b.goTo("#/peers")
	b.sees(".agent", `"><svg/onload=hit()>`)
	b.goTo("#/peer/2")
	b.sees(".agent", "</title>")
	b.do(`{ const q = document.querySelector("input[type=search]"); q.value = ` + fmt.Sprintf("%q", hostile) + `; q.form.requestSubmit(); }`)
	b.sees("#news", "no height, hash or address")
	if got, _ := b.eval(`window.hits + document.querySelectorAll("main img, main script").length`); got != "0" {
		t.Errorf("what strangers wrote was run or became elements: %s", got)
	}
}
