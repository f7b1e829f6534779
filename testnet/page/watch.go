package page

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"lode/consensus"
	"lode/testnet/network"
)

const (
	lookEvery = time.Second
	treeDepth = 40      // blocks below the tip of each node
	maxTree   = 4 << 20 // bytes of the answer of a node
	maxStory  = 300     // lines
	keepAlive = 15 * time.Second
)

// view is what the page shows.
type view struct {
	Name      string               `json:"name"`
	BlockTime int                  `json:"block_time"`
	Paused    bool                 `json:"paused"`
	Parts     int                  `json:"parts"`
	Link      string               `json:"link,omitempty"`
	Nodes     []network.NodeStatus `json:"nodes"`
	Tree      *forkTree            `json:"tree"`
	Problem   string               `json:"problem,omitempty"`
}

// line is one of what is told of what happens.
type line struct {
	Number int    `json:"number"`
	Time   int64  `json:"time"` // seconds since 1970
	Text   string `json:"text"`
	Bad    bool   `json:"bad,omitempty"`
	Job    string `json:"job,omitempty"`
}

// watch looks at the nodes as long as somebody watches.
func (s *Server) watch() {
	var n *network.Network
	var last view
	for {
		if s.watched() {
			v := view{}
			var err error
			if n == nil {
				n, err = network.Look(s.options)
			} else {
				err = n.Reload()
			}
			if err != nil {
				n, v.Problem = nil, err.Error()
			} else {
				v = s.look(n, last)
			}
			if last = v; s.ctx.Err() == nil {
				s.show(v)
			}
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(lookEvery):
		case <-s.wake:
		}
	}
}

func (s *Server) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watchers > 0
}

// look asks all nodes. Their trees are fetched where a tip has moved.
func (s *Server) look(n *network.Network, last view) view {
	v := view{Name: n.Name, BlockTime: n.BlockTime, Paused: n.Paused, Parts: max(1, len(n.Groups)), Link: n.Link, Tree: last.Tree}
	v.Nodes = n.Watch(s.ctx, last.Nodes)
	same := slices.EqualFunc(v.Nodes, last.Nodes, func(a, b network.NodeStatus) bool { return a.Tip == b.Tip && a.State == b.State })
	if !same || v.Tree == nil {
		v.Tree = merge(s.trees(v.Nodes), v.Nodes)
	}
	return v
}

// trees are the newest parts of the trees of headers, by node.
func (s *Server) trees(nodes []network.NodeStatus) map[int]*forkTree {
	trees := make(map[int]*forkTree)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, node := range nodes {
		if node.Tip == (consensus.Hash{}) {
			continue
		}
		wg.Go(func() {
			if t, err := s.treeOf(node.RPCURL); err == nil { // else it is asked again when a tip moves
				mu.Lock()
				trees[node.Index] = t
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return trees
}

func (s *Server) treeOf(url string) (*forkTree, error) {
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, fmt.Sprintf("%s/page/tree?depth=%d", url, treeDepth), nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.explore.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s says %s", url, answer.Status)
	}
	t := new(forkTree)
	return t, json.NewDecoder(io.LimitReader(answer.Body, maxTree)).Decode(t)
}

// show tells watchers of what is another than before.
func (s *Server) show(v view) {
	doc, err := json.Marshal(v)
	if err != nil {
		return // there is nothing in it that has no JSON
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(doc, s.state) {
		s.state = doc
		s.version++
		s.tell()
	}
}

// tell wakes those who watch. The mutex is held.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// lookNow has the nodes looked at at once.
func (s *Server) lookNow() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// say adds a line to the story.
func (s *Server) say(job string, bad bool, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := line{Number: 1, Time: time.Now().Unix(), Text: text, Bad: bad, Job: job}
	if len(s.story) > 0 {
		next.Number = s.story[len(s.story)-1].Number + 1
	}
	s.story = append(s.story, next)
	if len(s.story) > maxStory {
		s.story = slices.Delete(s.story, 0, len(s.story)-maxStory)
	}
	s.tell()
}

// news is what a watcher gets.
type news struct {
	State json.RawMessage   `json:"state,omitempty"` // if it is another than before
	Story []line            `json:"story,omitempty"` // lines that are new
	Jobs  map[string]string `json:"jobs"`            // by slot, what goes on
}

// since gives what a watcher does not know, and a channel that is closed when there is
// more.
func (s *Server) since(version, number int) (n news, nowVersion, nowNumber int, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version > version {
		n.State = s.state
	}
	for _, l := range s.story {
		if l.Number > number {
			n.Story, number = append(n.Story, l), l.Number
		}
	}
	n.Jobs = make(map[string]string)
	for slot, j := range s.jobs {
		n.Jobs[slot] = j.what
	}
	return n, s.version, number, s.changed
}

// events tells a page what happens, as server-sent events.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("the page is open %d times already", maxWatchers))
		return
	}
	defer s.leave()
	s.lookNow()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	version, number := 0, 0
	for ctx := r.Context(); ctx.Err() == nil; {
		n, v, l, more := s.since(version, number)
		doc, err := json.Marshal(n)
		if err == nil {
			err = write(control, w, "data: "+string(doc)+"\n\n")
		}
		if err != nil {
			return // it has gone
		}
		version, number = v, l
		if !wait(ctx, more, func() error { return write(control, w, ": still here\n\n") }) {
			return
		}
	}
}

// wait waits for more, and reports whether there is some; meanwhile it does something
// now and then.
func wait(ctx context.Context, more <-chan struct{}, meanwhile func() error) bool {
	for {
		select {
		case <-more:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(keepAlive):
			if meanwhile() != nil {
				return false
			}
		}
	}
}

// write sends a part of an answer that goes on, to a caller who must take it soon.
func write(control *http.ResponseController, w io.Writer, text string) error {
	if err := control.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return control.Flush()
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers == maxWatchers {
		return false
	}
	s.watchers++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	s.watchers--
	s.mu.Unlock()
}
