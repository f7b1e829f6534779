// Package browser lets tests look at pages as people see them, in a Chromium that
// LODE_TEST_CHROMIUM names.
package browser

import (
	"bufio"
	"encoding/base64"
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
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Tab is a page in Chromium, driven by its DevTools protocol.
type Tab struct {
	T       *testing.T
	ws      *websocket.Conn
	session string
	id      int
}

// Open starts the browser that LODE_TEST_CHROMIUM names with a page, and skips the test where it names none.
func Open(t *testing.T, url string) *Tab {
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
	b := &Tab{T: t}
	b.ws, _, err = websocket.DefaultDialer.Dial(address, nil)
	check(t, err)
	t.Cleanup(func() { _ = b.ws.Close() })
	var made struct{ TargetID string }
	b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	b.Call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.Call("Page.navigate", map[string]any{"url": url}, nil)
	return b
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Call makes a call of the protocol; what else is said meanwhile is passed over.
func (b *Tab) Call(method string, params any, into any) {
	b.T.Helper()
	b.id++
	check(b.T, b.ws.WriteJSON(map[string]any{"id": b.id, "method": method, "params": params, "sessionId": b.session}))
	for {
		_ = b.ws.SetReadDeadline(time.Now().Add(time.Minute))
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		check(b.T, b.ws.ReadJSON(&answer))
		if answer.ID != b.id {
			continue
		}
		if answer.Error != nil {
			b.T.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if into != nil {
			check(b.T, json.Unmarshal(answer.Result, into))
		}
		return
	}
}

// Eval runs a script in the page, as its developer would.
func (b *Tab) Eval(script string) (text string, err error) {
	b.T.Helper()
	var v struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.Call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &v)
	if v.ExceptionDetails != nil {
		return "", errors.New(v.ExceptionDetails.Text)
	}
	return fmt.Sprint(v.Result.Value), nil
}

// Sees waits until a part of the page holds a text, without loading it again.
func (b *Tab) Sees(selector, text string) {
	b.T.Helper()
	got := ""
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got, _ = b.Eval(fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.textContent).join(" | ")`, selector))
		if strings.Contains(got, text) {
			return
		}
	}
	b.T.Fatalf("%s does not show %q but %.500q", selector, text, got)
}

// Do is Eval for a script that must not fail.
func (b *Tab) Do(script string) {
	b.T.Helper()
	if _, err := b.Eval(script); err != nil {
		b.T.Fatalf("%s: %v", script, err)
	}
}

// GoTo follows a link, which loads nothing anew.
func (b *Tab) GoTo(hash string) { b.Do(fmt.Sprintf("location.hash = %q", hash)) }

// Screenshot makes a picture (PNG) of the whole page as it is at a width in pixels.
func (b *Tab) Screenshot(width int) []byte {
	b.T.Helper()
	b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	var page struct{ CSSContentSize struct{ Height float64 } }
	b.Call("Page.getLayoutMetrics", nil, &page)
	var shot struct{ Data string }
	b.Call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": min(page.CSSContentSize.Height, 10_000), "scale": 1}}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	check(b.T, err)
	return data
}
