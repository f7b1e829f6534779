package web_test

import (
	"fmt"
	"os"
	"testing"

	"lode/consensus"
	"lode/internal/browser"
	"lode/p2p"
)

// tab is a page in a browser.
type tab struct{ *browser.Tab }

func openTab(t *testing.T, url string) tab { return tab{browser.Open(t, url)} }

func (b tab) eval(script string) (string, error) { return b.Eval(script) }
func (b tab) sees(selector, text string)         { b.T.Helper(); b.Sees(selector, text) }
func (b tab) do(script string)                   { b.T.Helper(); b.Do(script) }
func (b tab) goTo(hash string)                   { b.T.Helper(); b.GoTo(hash) }

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
		n.net.peers = append(n.net.peers, p2p.PeerInfo{ID: int64(i + 1), Version: 70016, SubVer: text, Addr: text, HandshakeIsOver: true})
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

// TestPageIsForEverybody has axe-core look at every page in both themes, on a telephone
// and on a large screen.
func TestPageIsForEverybody(t *testing.T) {
	if os.Getenv("LODE_TEST_AXE") == "" {
		t.Skip("set LODE_TEST_AXE to the axe.min.js of axe-core (npm), or call make page")
	}
	axe, err := os.ReadFile(os.Getenv("LODE_TEST_AXE"))
	check(t, err)
	n := newNode(t)
	n.net.peers = append(n.net.peers, p2p.PeerInfo{ID: 1, Version: 70016, SubVer: "/Peer:1/", Addr: "192.0.2.1:1", HandshakeIsOver: true})
	next := n.gen.Extend(1)[0]
	for _, err := range n.pool.AddAll(next.Txs[1:]) {
		check(t, err)
	}
	b := openTab(t, n.http.URL+"/")
	b.sees("h1", "Block 8")
	b.do(string(axe) + "; 1")
	const drawn = `new Promise((done, fail) => { const begin = Date.now(), look = () => document.querySelector("main h1") ? done() : Date.now() - begin > 40000 ? fail("no heading") : setTimeout(look, 20); look(); })`
	block, tx := hashOf(n.gen.Blocks[4]), next.Txs[1].TxID().String()
	for _, width := range []int{390, 1440} {
		b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
		for _, theme := range []string{"light", "dark"} {
			b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": theme}}}, nil)
			for _, page := range []string{"", "forks", "forks/" + block, "block/" + block, "tx/" + tx, "mempool", "peers", "peer/1", "pool", "rules", "why/" + block, "why/" + tx, "change/" + block, "nothing"} {
				b.do(`document.querySelector("main").replaceChildren()`)
				b.goTo("#/" + page)
				b.do(drawn)
				found, err := b.eval(`new Promise(r => setTimeout(r, 50)).then(() => axe.run()).then(r => r.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.target.join(" ") + " " + n.failureSummary.split("\n")[1]).join("; ")).join("\n"))`)
				check(t, err)
				if found != "" {
					t.Errorf("#/%.12s at %d pixels, %s:\n%s", page, width, theme, found)
				}
			}
		}
	}
}
