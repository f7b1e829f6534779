// Package stream tells programs what happens in a node: blocks connected and
// disconnected, transactions into and out of the mempool, peers, the miner, the pool,
// warnings. It is one ordered stream of events with a number that only rises, also
// over restarts: a client that comes back with the last number it has seen misses
// nothing, or is told to start over.
//
// Events are encoded once. Subscribers have no queues: each has a number, reads behind
// it from what is kept, and costs nothing while it does not read.
package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// Topic is what an event is about.
type Topic uint8

// The topics.
const (
	Blocks Topic = iota
	Mempool
	Peers
	Miner
	Pool
	Warnings
	topics
)

var topicNames = [topics]string{"blocks", "mempool", "peers", "miner", "pool", "warnings"}

// String is the name of a topic in subscriptions and events.
func (t Topic) String() string { return topicNames[t] }

// Set is a set of topics.
type Set uint8

// SetOf is the set of some topics.
func SetOf(list ...Topic) (s Set) {
	for _, t := range list {
		s |= 1 << t
	}
	return s
}

// All is every topic.
const All Set = 1<<topics - 1

// ErrTopic is the kind of error for a subscription to what does not exist.
var ErrTopic = errors.New("unknown topic")

// ParseSet reads names with commas in between, of those that may be had; an empty text
// is all of them.
func ParseSet(text string, may Set) (s Set, err error) {
	if text == "" {
		return may, nil
	}
next:
	for name := range strings.SplitSeq(text, ",") {
		for t, known := range topicNames {
			if name == known && may&(1<<t) != 0 {
				s |= 1 << t
				continue next
			}
		}
		return 0, fmt.Errorf("%w %.40q: want some of %s", ErrTopic, name, may)
	}
	return s, nil
}

// String lists the names with commas in between.
func (s Set) String() string {
	var names []string
	for t, name := range topicNames {
		if s&(1<<t) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// What is kept for those who come back: of the mempool, which changes often, and of
// all else, so that the mempool does not push out the blocks.
const (
	keepEvents = 1 << 17
	keepBytes  = 24 << 20
	maxFrame   = 256 << 10 // bytes of events that are sent together
	maxFrames  = 64        // frames that are kept to be shared
)

// event is one that is kept: a JSON object that says its number.
type event struct {
	seq   uint64
	topic Topic
	json  []byte
}

// ring is the newest events of some topics.
type ring struct {
	events  []event // a queue; what was taken off is cut off now and then
	bytes   int
	dropped uint64 // the number of the newest that is not kept any more
}

func (r *ring) add(e event, most, mostBytes int) {
	r.events = append(r.events, e)
	r.bytes += len(e.json)
	gone := 0
	for len(r.events)-gone > most || r.bytes > mostBytes {
		r.bytes -= len(r.events[gone].json)
		r.dropped = r.events[gone].seq
		r.events[gone].json = nil
		gone++
	}
	r.events = r.events[gone:] // append moves what is left when it needs room
}

// after is the index of the first event behind a number.
func (r *ring) after(seq uint64) int {
	low, high := 0, len(r.events)
	for low < high {
		if middle := (low + high) / 2; r.events[middle].seq <= seq {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// Log is the events that are kept. It may be used from several goroutines.
type Log struct {
	id        string // of the stream; numbers of another mean nothing here
	most, cap int    // of each ring: events and bytes

	mu       sync.Mutex // guards what follows
	rings    [2]ring    // of all but the mempool, and of it
	last     uint64     // number of the newest event
	reserved uint64     // numbers up to here are never given again, whatever happens
	reserve  func(id string, last uint64) (reserved uint64)
	frames   map[frameKey]*Frame
	woken    chan struct{} // closed when there is more
}

func newLog(id string, last uint64) *Log {
	l := &Log{id: id, most: keepEvents, cap: keepBytes, last: last, reserved: 1<<64 - 1, frames: make(map[frameKey]*Frame), woken: make(chan struct{})}
	l.rings[0].dropped, l.rings[1].dropped = last, last
	return l
}

func ringOf(t Topic) int {
	if t == Mempool {
		return 1
	}
	return 0
}

// add gives events their numbers, in order, and wakes those who wait for them. Each is
// a JSON object that is not empty.
func (l *Log) add(list []pending) {
	if len(list) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range list {
		if l.last++; l.last >= l.reserved {
			l.reserved = l.reserve(l.id, l.last)
		}
		b := make([]byte, 0, len(p.json)+len(`{"seq":,`)+20)
		b = strconv.AppendUint(append(b, `{"seq":`...), l.last, 10)
		b = append(append(b, ','), p.json[1:]...)
		l.rings[ringOf(p.topic)].add(event{l.last, p.topic, b}, l.most, l.cap)
	}
	l.wake()
}

// wake wakes who waits. The caller holds mu.
func (l *Log) wake() {
	clear(l.frames)
	close(l.woken)
	l.woken = make(chan struct{})
}

// forget drops all events: everybody has to start over.
func (l *Log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	for i := range l.rings {
		l.rings[i] = ring{dropped: l.last}
	}
	l.wake()
}

// pending is an event without its number.
type pending struct {
	topic Topic
	json  []byte
}

// newPending encodes an event: an object that begins with its topic and its type.
func newPending(t Topic, kind string, fields any) pending {
	b := append([]byte(`{"topic":"`), t.String()...)
	b = append(append(append(b, `","type":"`...), kind...), '"')
	rest, err := json.Marshal(fields)
	if err != nil || len(rest) <= len("{}") {
		return pending{t, append(b, '}')}
	}
	return pending{t, append(append(b, ','), rest[1:]...)}
}

// Position is where a client was: the number of the last event that it has seen, of a
// stream if that is not empty.
type Position struct {
	Stream string
	Seq    uint64
}

// ErrPosition is the kind of error for what is no position.
var ErrPosition = errors.New("not a number of this stream")

// ParsePosition reads a number, or a stream and a number with a hyphen in between.
func ParsePosition(text string) (p Position, err error) {
	stream, number, found := strings.Cut(text, "-")
	if !found {
		stream, number = "", text
	}
	p.Stream = stream
	if p.Seq, err = strconv.ParseUint(number, 10, 64); err != nil || len(stream) > 32 || found && stream == "" {
		return Position{}, fmt.Errorf("%w: %.60q", ErrPosition, text)
	}
	return p, nil
}

// String is the inverse of ParsePosition.
func (p Position) String() string {
	if p.Stream == "" {
		return strconv.FormatUint(p.Seq, 10)
	}
	return p.Stream + "-" + strconv.FormatUint(p.Seq, 10)
}

// Now is the position behind the newest event.
func (l *Log) Now() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Position{l.id, l.last}
}

// Why a client has to start over.
const (
	overFuture = "the number is from the future: it belongs to another stream"
	overStream = "the number belongs to another stream"
	overGone   = "what came after the number is not kept any more"
)

// over says why a client at a position has to start over, or nothing.
func (l *Log) over(at Position, of Set) (why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case at.Stream != "" && at.Stream != l.id:
		return overStream
	case at.Seq > l.last:
		return overFuture
	case l.gone(at.Seq, of):
		return overGone
	}
	return ""
}

// gone reports whether an event behind a number is not kept any more. The caller holds
// mu.
func (l *Log) gone(seq uint64, of Set) bool {
	return of&^SetOf(Mempool) != 0 && seq < l.rings[0].dropped || of&SetOf(Mempool) != 0 && seq < l.rings[1].dropped
}

type frameKey struct {
	since uint64
	of    Set
}

// Frame is events that are sent together. It does not change, and is shared by all who
// want the same.
type Frame struct {
	JSON []byte // an array; nil if there is nothing for these topics
	To   uint64 // the number up to which it reaches

	once     sync.Once
	prepared *websocket.PreparedMessage
	err      error
}

// message is the frame as a message of WebSocket.
func (f *Frame) message() (*websocket.PreparedMessage, error) {
	f.once.Do(func() { f.prepared, f.err = websocket.NewPreparedMessage(websocket.TextMessage, f.JSON) })
	return f.prepared, f.err
}

// read gives the events behind a number. Without any, more is closed when there are.
// ok is false if some of them are not kept any more.
func (l *Log) read(since uint64, of Set) (f *Frame, more <-chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone(since, of) || since > l.last {
		return nil, nil, false
	}
	if since == l.last {
		return nil, l.woken, true
	}
	key := frameKey{since, of}
	if f := l.frames[key]; f != nil {
		return f, nil, true
	}
	f = l.frame(since, of)
	if len(l.frames) < maxFrames {
		l.frames[key] = f
	}
	return f, nil, true
}

// frame puts the first events behind a number together. The caller holds mu.
func (l *Log) frame(since uint64, of Set) *Frame {
	var b bytes.Buffer
	f := &Frame{To: l.last}
	at := [2]int{l.rings[0].after(since), l.rings[1].after(since)}
	for {
		next := -1
		for i := range l.rings {
			if of.touches(i) && at[i] < len(l.rings[i].events) && (next < 0 || l.rings[i].events[at[i]].seq < l.rings[next].events[at[next]].seq) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		e := &l.rings[next].events[at[next]]
		if b.Len()+len(e.json) > maxFrame && b.Len() > 0 {
			break
		}
		at[next]++
		if of&(1<<e.topic) == 0 {
			continue
		}
		if b.Len() == 0 {
			b.WriteByte('[')
		} else {
			b.WriteByte(',')
		}
		b.Write(e.json)
		f.To = e.seq
	}
	if b.Len() > 0 {
		b.WriteByte(']')
		f.JSON = b.Bytes()
	}
	if at[0] == len(l.rings[0].events) && at[1] == len(l.rings[1].events) || b.Len() == 0 {
		f.To = l.last
	}
	return f
}

// touches reports whether a topic of s is in a ring.
func (s Set) touches(ring int) bool {
	if ring == 1 {
		return s&SetOf(Mempool) != 0
	}
	return s&^SetOf(Mempool) != 0
}
