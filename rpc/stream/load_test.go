package stream

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"lode/consensus"
	"lode/mempool"
)

// TestOneWhoDoesNotReadHarmsNobody has many subscribers follow a busy mempool beside some
// that read nothing: all of them see the same events. LODE_TEST_STREAM=SECONDS has 100
// subscribers see 2,000 transactions come and go a second, and prints what that took.
func TestOneWhoDoesNotReadHarmsNobody(t *testing.T) {
	subscribers, rounds, pause := 10, 10, time.Duration(0)
	if seconds, _ := strconv.Atoi(os.Getenv("LODE_TEST_STREAM")); seconds > 0 {
		subscribers, rounds, pause = 100, 20*seconds, 50*time.Millisecond
	}
	w := newWorld(t)
	url := "ws" + strings.TrimPrefix(w.http.URL, "http") + "/ws?topics=mempool,warnings&since=" + w.feed.Log.Now().String()
	dial := func() *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.Close() })
		return ws
	}
	for range 3 {
		dial() // and does not read
	}
	sums := make([]hash.Hash, subscribers)
	var group sync.WaitGroup
	for i := range sums {
		ws, sum := dial(), sha256.New()
		sums[i] = sum
		group.Go(func() {
			for begun := false; ; {
				_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
				_, raw, err := ws.ReadMessage()
				if err != nil {
					t.Error(err)
					return
				}
				raw = bytes.TrimSuffix(bytes.TrimPrefix(raw, []byte("[")), []byte("]"))
				switch {
				case bytes.Contains(raw, []byte(`"type":"restart"`)):
					t.Errorf("a subscriber has to start over: %s", raw)
				case begun: // events, however they were put together
					sum.Write(append(raw, ','))
				}
				if begun = true; bytes.Contains(raw, []byte(`"topic":"warnings"`)) {
					return
				}
			}
		})
	}
	begin := time.Now()
	for round := range rounds {
		for i := range 100 {
			e := &mempool.Entry{TxID: consensus.Hash{byte(i), byte(round)}, Size: 150, Weight: 600, Fee: 1500}
			w.feed.Move(mempool.Move{Entry: e})
			w.feed.Move(mempool.Move{Entry: e, Left: mempool.LeftReplaced, By: consensus.Hash{1}})
		}
		time.Sleep(pause)
	}
	waitFor(t, func() bool {
		w.feed.mu.Lock()
		defer w.feed.mu.Unlock()
		return len(w.feed.moves) == 0
	})
	w.stop() // the last moves are told
	w.feed.Log.add(number(Warnings, 0))
	group.Wait()
	fmt.Printf("%d events to %d subscribers in %v\n", rounds*200, subscribers, time.Since(begin).Round(time.Millisecond))
	for i := range sums[1:] {
		if !bytes.Equal(sums[i+1].Sum(nil), sums[0].Sum(nil)) {
			t.Errorf("subscriber %d has seen other events", i+1)
		}
	}
}
