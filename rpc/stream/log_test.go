package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lode/consensus"
)

// number is an event of a test.
func number(t Topic, n int) []pending {
	return []pending{newPending(t, "test", struct {
		N int `json:"n"`
	}{n})}
}

type seen struct {
	Seq   uint64
	Topic string
	N     int
}

// drain reads all behind a number.
func drain(t *testing.T, l *Log, since uint64, of Set) (list []seen, to uint64) {
	t.Helper()
	for {
		f, more, ok := l.read(since, of)
		if !ok {
			t.Fatalf("nothing behind %d", since)
		}
		if more != nil {
			return list, since
		}
		var part []seen
		if f.JSON != nil {
			if err := json.Unmarshal(f.JSON, &part); err != nil {
				t.Fatalf("%s: %v", f.JSON, err)
			}
		}
		if f.To <= since {
			t.Fatalf("a frame behind %d reaches %d", since, f.To)
		}
		list, since = append(list, part...), f.To
	}
}

func TestEventsComeInOrderAndByTopic(t *testing.T) {
	l := newLog("a1", 0)
	for n := range 100 {
		l.add(number(Topic(n%int(topics)), n))
	}
	for _, of := range []Set{All, SetOf(Mempool), SetOf(Blocks, Warnings), SetOf(Blocks, Mempool)} {
		list, to := drain(t, l, 0, of)
		var want []int
		for n := range 100 {
			if of&(1<<(n%int(topics))) != 0 {
				want = append(want, n)
			}
		}
		var got []int
		for _, s := range list {
			if got = append(got, s.N); s.Seq != uint64(s.N+1) {
				t.Errorf("event %d has number %d", s.N, s.Seq)
			}
		}
		if !slices.Equal(got, want) || to != 100 {
			t.Errorf("%s: %v up to %d, want %v", of, got, to, want)
		}
	}
	a, _, _ := l.read(7, All)
	if b, _, _ := l.read(7, All); a != b {
		t.Error("a frame is made twice for two subscribers")
	}
}

func TestMempoolDoesNotPushOutBlocks(t *testing.T) {
	l := newLog("a1", 0)
	l.most = 10
	l.add(number(Blocks, 0))
	for n := range 50 {
		l.add(number(Mempool, n))
	}
	if why := l.over(Position{Seq: 0}, SetOf(Mempool)); why != overGone {
		t.Errorf("what is gone of the mempool is said to be there: %q", why)
	}
	if list, _ := drain(t, l, 0, SetOf(Blocks)); len(list) != 1 {
		t.Errorf("the block is gone: %v", list)
	}
	if list, _ := drain(t, l, 41, All); len(list) != 10 {
		t.Errorf("%d events are kept, want 10", len(list))
	}
}

func TestBytesAreBounded(t *testing.T) {
	l := newLog("a1", 0)
	l.cap = 10_000
	for n := range 1000 {
		l.add(number(Blocks, n))
	}
	if l.rings[0].bytes > l.cap {
		t.Errorf("%d bytes are kept", l.rings[0].bytes)
	}
}

func TestWhoHasToStartOver(t *testing.T) {
	l := newLog("a1", 0)
	for n := range 10 {
		l.add(number(Blocks, n))
	}
	for _, test := range []struct {
		at   string
		over string
	}{{"10", ""}, {"0", ""}, {"a1-3", ""}, {"11", overFuture}, {"18446744073709551615", overFuture}, {"b2-3", overStream}} {
		at, err := ParsePosition(test.at)
		if err != nil || at.String() != test.at {
			t.Errorf("%s: %v, %v", test.at, at, err)
		}
		if got := l.over(at, All); got != test.over {
			t.Errorf("%s: %q, want %q", test.at, got, test.over)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1.5", "18446744073709551616", "a-b-3", "000000000000000000000000000000000000-1"} {
		if at, err := ParsePosition(bad); !errors.Is(err, ErrPosition) {
			t.Errorf("%q is read as %v, %v", bad, at, err)
		}
	}
	l.forget()
	if l.over(Position{Seq: 10}, All) == "" || l.over(l.Now(), All) != "" {
		t.Error("after a loss, who was up to date must start over")
	}
	if _, err := ParseSet("blocks,nonsense", All); !errors.Is(err, ErrTopic) {
		t.Errorf("nonsense is a topic: %v", err)
	}
	if _, err := ParseSet("peers", Public); !errors.Is(err, ErrTopic) {
		t.Errorf("peers are told to everybody: %v", err)
	}
}

// TestNumbersGoOnAfterAStopAndAKill stops and kills a stream in turn.
func TestNumbersGoOnAfterAStopAndAKill(t *testing.T) {
	dir, tip := t.TempDir(), consensus.Hash{7}
	last, id := uint64(0), ""
	for round := range 6 {
		l, at, whole, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if stopped := round > 0 && round%2 == 1; whole != stopped || stopped && at != tip {
			t.Errorf("round %d: whole %v at %v", round, whole, at)
		}
		if id != "" && l.id != id {
			t.Errorf("round %d: the stream has another name", round)
		}
		over := l.over(Position{id, last}, All)
		if (over == "") != (whole || round == 0) {
			t.Errorf("round %d: who was up to date must start over: %q", round, over)
		}
		if whole {
			if list, _ := drain(t, l, last-5, All); len(list) != 5 {
				t.Errorf("round %d: %d of the last 5 events are there", round, len(list))
			}
		}
		for n := range 10 {
			l.add(number(Topic(n%2), n))
		}
		if now := l.Now(); now.Seq <= last {
			t.Errorf("round %d: number %d after %d", round, now.Seq, last)
		}
		id, last = l.id, l.last
		if round%2 == 0 {
			if err := l.save(dir, tip); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDamagedFileBeginsAnotherStream(t *testing.T) {
	dir := t.TempDir()
	l, _, _, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.add(number(Blocks, 1))
	if err := l.save(dir, consensus.Hash{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	other, _, whole, err := open(dir)
	if err != nil || whole || other.id == l.id {
		t.Errorf("a damaged file gives %v, %v, the same stream: %v", whole, err, other.id == l.id)
	}
}

func FuzzFile(f *testing.F) {
	l := newLog("0102030405060708", 0)
	for n := range 5 {
		l.add(number(Topic(n%2), n))
	}
	dir := f.TempDir()
	if err := l.save(dir, consensus.Hash{1}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, _, _, err := decode(b)
		if err == nil {
			for _, r := range l.rings {
				for i, e := range r.events {
					if e.seq > l.last || i > 0 && r.events[i-1].seq >= e.seq {
						t.Fatal("numbers do not rise")
					}
				}
			}
		}
		_ = fmt.Sprint(err)
	})
}
