package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestSpool keeps answers in memory and beyond it in files, gives them back as they
// were, and frees what they took.
func TestSpool(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("one goroutine, and 160 MB")
	}
	for _, size := range []int{0, 1, firstSpoolPart, 10 << 20, maxSpooled + 1, maxSpooled + 30<<20} {
		dir := t.TempDir()
		all := newSpools(dir, 1)
		s := all.open("a")
		part := bytes.Repeat([]byte("0123456789abcde"), 1<<14)
		for left := size; left > 0; {
			n, err := s.Write(part[:min(left, len(part))])
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
		if inFile := s.file != nil; inFile != (size > maxSpooled) || all.memory.used > maxSpooled {
			t.Errorf("%d bytes: in a file: %v, %d in memory", size, inFile, all.memory.used)
		}
		// A file has no name from its first byte on, so that none is left whatever
		// becomes of the process. Windows cannot do that.
		if names, err := os.ReadDir(dir); runtime.GOOS != "windows" && (err != nil || len(names) > 0) {
			t.Errorf("%d bytes: the file has a name: %v, %v", size, names, err)
		}
		var out bytes.Buffer
		if n, err := s.WriteTo(&out); err != nil || n != int64(size) || out.Len() != size {
			t.Errorf("%d bytes: %d came back: %v", size, n, err)
		}
		for at := 0; at < size; at += len(part) {
			if end := min(at+len(part), size); !bytes.Equal(out.Bytes()[at:end], part[:end-at]) {
				t.Fatalf("%d bytes: other ones came back", size)
			}
		}
		if err := s.Close(); err != nil || all.memory.used != 0 || all.files.used != 0 {
			t.Errorf("%d bytes: %v, %d and %d are still taken", size, err, all.memory.used, all.files.used)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("files are left: %v, %v", names, err)
		}
	}
}

// TestSpoolLeavesRoom: the ledger has need of the disk, so that an answer is refused
// before the disk is full, and what it took is free again.
func TestSpoolLeavesRoom(t *testing.T) {
	t.Parallel()
	all := newSpools(t.TempDir(), 1)
	left := int64(spoolFree + maxSpooled + 20<<20)
	all.free = func(string) (int64, bool) { return left, true }
	s := all.open("a")
	part := make([]byte, 1<<20)
	var err error
	for err == nil && s.size < 1<<30 {
		if _, err = s.Write(part); s.file != nil {
			left = spoolFree + maxSpooled + 20<<20 - s.size
		}
	}
	if !errors.Is(err, errDisk) || left < spoolFree || left > spoolFree+2*spoolLook {
		t.Errorf("%v, and %d bytes are left", err, left)
	}
	if err := s.Close(); err != nil || all.memory.used != 0 || all.files.used != 0 {
		t.Errorf("%v, %d and %d are still taken", err, all.memory.used, all.files.used)
	}
}

// TestSpoolShares has one user take all memory and files that it may have: others
// have theirs.
func TestSpoolShares(t *testing.T) {
	t.Parallel()
	all := newSpools(t.TempDir(), 2)
	all.memory, all.files = newShares(8<<10, 4<<10, 2), newShares(40<<10, 20<<10, 2)
	greedy, modest := all.open("greedy"), all.open("modest")
	defer greedy.Close()
	defer modest.Close()
	var err error
	for written := 0; err == nil; written += 1 << 10 {
		if _, err = greedy.Write(make([]byte, 1<<10)); written > 20<<10 && err == nil {
			t.Fatal("one user takes all")
		}
	}
	if err != errSpool {
		t.Fatal(err)
	}
	if _, err := modest.Write(make([]byte, 10<<10)); err != nil {
		t.Errorf("nothing is left for another: %v", err)
	}
}

// unreader is a caller that does not read the body of its answer before it is told to.
type unreader struct {
	http.ResponseWriter
	began, reads chan struct{}
	once         *sync.Once
}

func (u unreader) Write(b []byte) (int, error) {
	u.once.Do(func() { u.began <- struct{}{} })
	<-u.reads
	return u.ResponseWriter.Write(b)
}

// TestUnreadAnswersTakeAShare has large answers to single calls that nobody reads:
// they take no more memory than those to batches, and then come as they were.
func TestUnreadAnswersTakeAShare(t *testing.T) {
	t.Parallel()
	const size, count = 12 << 20, 7
	s := &Server{spools: newSpools(t.TempDir(), 1)}
	began, reads := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for i := range count {
		answer := bytes.Repeat([]byte{byte('a' + i)}, size)
		wg.Go(func() {
			w := httptest.NewRecorder()
			s.writeAnswer(unreader{w, began, reads, new(sync.Once)}, caller{user: "a"}, http.StatusTeapot, answer)
			if got := w.Body.Bytes(); w.Code != http.StatusTeapot || len(got) != size || bytes.Count(got, answer[:1]) != size {
				t.Errorf("status %d and %d bytes", w.Code, len(got))
			}
		})
		<-began
	}
	memory, files := s.spools.memory.used, s.spools.files.used
	close(reads)
	wg.Wait()
	if memory > maxSpooled || files < count*size-maxSpooled {
		t.Errorf("%d answers of %d bytes are kept: %d bytes in memory, %d in files", count, size, memory, files)
	}
	if s.spools.memory.used+s.spools.files.used != 0 {
		t.Error("something is still taken")
	}
}

// TestGreedyUsersLeaveWhatIsKept has all users but one take whatever they get, one
// after the other and again and again: the last has its part, of places too.
func TestGreedyUsersLeaveWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		shares *shares
		users  int
		part   int64 // one user may take so much at once
		alone  int64 // that a user gets before others come
		last   int64 // that is left to the last
	}{
		{"one user", newSlots(64, 1), 1, 1, 64, 64},
		{"two", newSlots(64, 2), 2, 1, 48, 16},
		{"five", newSlots(64, 5), 5, 1, 48, 4},
		{"forty", newSlots(64, 40), 40, 1, 32, 0},
		{"few places", newSlots(4, 3), 3, 1, 2, 1},
		{"one place", newSlots(1, 2), 2, 1, 1, 0},
		{"bodies", newShares(allBodies, userBodies, 5), 5, 1 << 20, userBodies, userBodies / 4},
	} {
		name := func(i int) string { return string(rune('a' + i)) }
		greedy := func(i int) {
			for test.shares.take(name(i), test.part) {
			}
		}
		greedy(0)
		if got := test.shares.by[name(0)]; got != test.alone {
			t.Errorf("%s: %d for the first, want %d", test.name, got, test.alone)
		}
		for range 2 {
			for i := range test.users - 1 {
				greedy(i)
			}
		}
		greedy(test.users - 1)
		if got := test.shares.by[name(test.users-1)]; got != test.last {
			t.Errorf("%s: %d for the last, want %d", test.name, got, test.last)
		}
		for i := range test.users {
			test.shares.give(name(i), test.shares.by[name(i)])
		}
		if test.shares.used != 0 || len(test.shares.by) != 0 {
			t.Errorf("%s: %d are still taken", test.name, test.shares.used)
		}
	}
}

// TestScan walks valid JSON as encoding/json decodes it.
func TestScan(t *testing.T) {
	t.Parallel()
	value := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{`1`, `-1.5e3`, `true`, `null`, `""`, `"a,]}\""`, `"\\"`, `[]`, `{}`, `[1, [2 ,"]"]]`, `{"a":{"b":[{}]},"c":"}"}`, "[\n1\t]", `"\u00e9\n"`}).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
		list, object := "["+space, "{"+space
		for i, v := range rapid.SliceOfN(value, 0, 6).Draw(t, "values") {
			if i > 0 {
				list, object = list+","+space, object+","+space
			}
			list += v + space
			object += rapid.SampledFrom([]string{`"a"`, `"b"`, `"\u0061\""`, `"}"`}).Draw(t, "name") + space + ":" + space + v + space
		}
		list, object = list+"]", object+"}"
		var want, got []json.RawMessage
		if err := json.Unmarshal([]byte(list), &want); err != nil {
			t.Fatal(err)
		}
		got = slices.Collect(elements([]byte(list)))
		if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Fatalf("%s: %s, want %s", list, got, want)
		}
		last := make(map[string]json.RawMessage)
		for name, v := range members([]byte(object)) {
			last[name] = v
		}
		fields := make(map[string]json.RawMessage)
		if err := json.Unmarshal([]byte(object), &fields); err != nil || len(fields) != len(last) {
			t.Fatalf("%s: %d members, want %d: %v", object, len(last), len(fields), err)
		}
		for name, v := range fields {
			if !bytes.Equal(v, last[name]) {
				t.Fatalf("%s: %q is %s, want %s", object, name, last[name], v)
			}
		}
	})
}

// FuzzScan walks whatever encoding/json takes for valid, and counts it.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`[1,"a",{"b":[]}]`, `{"a":1,"a":{"":"\""}}`, ` [ ] `, `"]"`, `{"\ud800":[1e5]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		data = trimJSON(data)
		if n := valueLen(data); n != len(data) {
			t.Fatalf("%q ends after %d bytes", data, n)
		}
		count := 0
		switch jsonType(data) {
		case "array":
			var want []json.RawMessage
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			for v := range elements(data) {
				if !bytes.Equal(v, want[count]) {
					t.Fatalf("%q: element %d is %q, want %q", data, count, v, want[count])
				}
				count++
			}
			if count != len(want) {
				t.Fatalf("%q: %d elements, want %d", data, count, len(want))
			}
		case "object":
			for _, v := range members(data) {
				if !json.Valid(v) {
					t.Fatalf("%q: member %q", data, v)
				}
				count++
			}
		}
		if hasMoreValues(data, 1<<30) || count > 1 && !hasMoreValues(data, count-1) {
			t.Fatalf("%q: counted wrong", data)
		}
	})
}
