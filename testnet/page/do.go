package page

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"lode/consensus"
	"lode/internal/plainly"
	"lode/testnet/network"
)

// wish is what a button sends. Each takes some of the fields.
type wish struct {
	Node          int     `json:"node"`
	To            string  `json:"to"` // a node, or an address
	Amount        string  `json:"amount"`
	Count         int     `json:"count"`
	Depth         int     `json:"depth"`
	Confirmations int     `json:"confirmations"`
	Seconds       int64   `json:"seconds"`
	Parts         string  `json:"parts"` // as `lode testnet partition` has them
	Drop          string  `json:"drop"`  // the id of a payment
	Replace       string  `json:"replace"`
	KeepMempool   bool    `json:"keep_mempool"`
	Kind          string  `json:"kind"` // of an attack
	Share         float64 `json:"share"`
	Rate          float64 `json:"rate"` // payments a second
	Name          string  `json:"name"`
}

// job is something that a button has started. One of each slot runs at a time: one
// changes the network, one makes payments, one mines.
type job struct {
	what string
	stop context.CancelFunc
}

// button is what one does.
type button struct {
	slot string // the first word of what is busy meanwhile
	do   func(ctx context.Context, n *network.Network, q *wish) error
}

const (
	changing = "change" // takes the network, as the commands do
	paying   = "pay"
	mining   = "mine"
)

// onNode is for buttons on one node.
func onNode(f func(ctx context.Context, n *network.Network, i int) error, said string) button {
	return button{changing, func(ctx context.Context, n *network.Network, q *wish) error {
		err := f(ctx, n, q.Node)
		if err == nil {
			n.Say("Node %d %s.", q.Node, said)
		}
		return err
	}}
}

var buttons = map[string]button{
	"start": onNode(func(ctx context.Context, n *network.Network, i int) error { return n.Start(ctx, i) }, "runs"),
	"stop":  onNode(func(_ context.Context, n *network.Network, i int) error { return n.Stop(i) }, "is stopped"),
	"kill":  onNode(func(_ context.Context, n *network.Network, i int) error { return n.Kill(i) }, "is killed"),
	"wipe":  onNode(func(ctx context.Context, n *network.Network, i int) error { return n.Wipe(ctx, i) }, "is wiped"),
	"pause": {changing, func(ctx context.Context, n *network.Network, _ *wish) error { return n.Pause(ctx, true) }},
	"resume": {changing, func(ctx context.Context, n *network.Network, _ *wish) error {
		return n.Pause(ctx, false)
	}},
	"add": {changing, func(ctx context.Context, n *network.Network, _ *wish) error {
		node, err := n.Add(ctx, 0)
		if err == nil {
			n.Say("Node %d runs.", node.Index)
		}
		return err
	}},
	"heal": {changing, func(ctx context.Context, n *network.Network, _ *wish) error {
		err := n.Heal(ctx)
		if err == nil {
			err = n.Agree(ctx)
		}
		if err == nil {
			n.Say("The network is one, and all nodes agree.")
		}
		return err
	}},
	"partition": {changing, partition},
	"clock":     {changing, setClock},
	"reorg":     {changing, reorg},
	"churn":     {changing, churn},
	"double-spend": {changing, func(ctx context.Context, n *network.Network, q *wish) error {
		_, err := n.DoubleSpend(ctx, q.Amount, q.Confirmations)
		return err
	}},
	"attack":   {changing, attack},
	"snapshot": {changing, snapshot},
	"send":     {paying, send},
	"load":     {paying, load},
	"mine":     {mining, mine},
}

func partition(ctx context.Context, n *network.Network, q *wish) error {
	var parts [][]int
	for _, word := range strings.Fields(q.Parts) {
		var part []int
		for text := range strings.SplitSeq(word, ",") {
			i, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("%q is no number of a node: want parts such as 1,2 3", text)
			}
			part = append(part, i)
		}
		parts = append(parts, part)
	}
	err := n.Partition(ctx, parts)
	for i, part := range n.Groups {
		if err == nil {
			n.Say("Part %d: nodes %s.", i+1, strings.Trim(fmt.Sprint(part), "[]"))
		}
	}
	return err
}

func setClock(ctx context.Context, n *network.Network, q *wish) error {
	err := n.SetClock(ctx, q.Node, q.Seconds)
	if err == nil {
		n.Say("The clock of node %d is %+d s from the machine's.", q.Node, q.Seconds)
	}
	return err
}

func reorg(ctx context.Context, n *network.Network, q *wish) error {
	f := network.Fork{Depth: q.Depth, KeepMempool: q.KeepMempool}
	if q.Drop != "" {
		id, err := consensus.ParseHash(strings.TrimSpace(q.Drop))
		if err != nil {
			return fmt.Errorf("what to leave out: %q is no id of a transaction", q.Drop)
		}
		f.Drop = []consensus.Hash{id}
	}
	if q.Replace != "" {
		id, err := consensus.ParseHash(strings.TrimSpace(q.Replace))
		if err != nil || q.To == "" {
			return fmt.Errorf("what to replace: want the id of a transaction, and whom to pay instead")
		}
		f.Replace, f.To = id, q.To
	}
	r, err := n.Reorg(ctx, f)
	if err == nil {
		tellReorg(n, r)
	}
	return err
}

func tellReorg(n *network.Network, r network.Reorged) {
	n.Say("All nodes left %d blocks for a fork of %d, and are at height %d. Of the payments in those blocks it confirms %d, and leaves out %d.", r.Depth, r.Blocks, r.Height, r.Kept, r.Left)
}

// churn reorganizes the network until it is stopped.
func churn(ctx context.Context, n *network.Network, q *wish) error {
	if q.Depth < 1 || q.Seconds < 1 {
		return fmt.Errorf("a depth of %d every %d seconds: want 1 or more of both", q.Depth, q.Seconds)
	}
	for {
		r, err := n.Churn(ctx, q.Depth)
		if err != nil {
			return err
		}
		tellReorg(n, r)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(q.Seconds) * time.Second):
		}
	}
}

func attack(ctx context.Context, n *network.Network, q *wish) (err error) {
	switch q.Kind {
	case "51":
		_, err = n.Attack51(ctx, q.Amount, q.Confirmations)
	case "selfish":
		_, err = n.Selfish(ctx, q.Share, q.Count)
	case "censor":
		_, err = n.Censor(ctx, q.Amount, q.Share)
	default:
		err = fmt.Errorf("%q is no attack: want 51, selfish or censor", q.Kind)
	}
	return err
}

func snapshot(ctx context.Context, n *network.Network, q *wish) error {
	err := n.Snapshot(ctx, q.Name)
	if err == nil {
		n.Say("Snapshot %s is made.", q.Name)
	}
	return err
}

func send(ctx context.Context, n *network.Network, q *wish) error {
	id, err := n.Send(ctx, q.Node, q.To, q.Amount)
	if err == nil {
		n.Say("Node %d pays %s to %s: %s", q.Node, q.Amount, q.To, id)
	}
	return err
}

func load(ctx context.Context, n *network.Network, q *wish) error {
	told := 0
	return n.Load(ctx, q.Rate, time.Duration(q.Seconds)*time.Second, func(l network.Load) {
		if told++; told%10 == 1 || l.Err != nil {
			n.Say("%d payments, %d times no coin was free", l.Sent, l.Waiting)
		}
	})
}

func mine(ctx context.Context, n *network.Network, q *wish) error {
	hashes, err := n.Mine(ctx, q.Node, q.Count)
	if len(hashes) > 0 {
		n.Say("Node %d has mined %d; the last is %s", q.Node, len(hashes), hashes[len(hashes)-1])
	}
	return err
}

// press does what a button is for, in the background: what becomes of it is told in the
// story. A page of another origin cannot press.
func (s *Server) press(w http.ResponseWriter, r *http.Request, name string) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	origins := r.Header.Values("Origin")
	switch {
	case r.Method != http.MethodPost:
		fail(w, http.StatusMethodNotAllowed, "want POST")
		return
	case len(origins) != 1 || !strings.EqualFold(origins[0], "http://"+r.Host):
		fail(w, http.StatusForbidden, "this is for the page itself")
		return
	case kind != "application/json":
		fail(w, http.StatusUnsupportedMediaType, "want application/json")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("want %d bytes at most", maxBody))
		return
	}
	q := new(wish)
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(q); err != nil {
		fail(w, http.StatusBadRequest, plainly.Error(err).Error())
		return
	}
	if name == "cancel" {
		s.cancel(q.Name)
		reply(w, http.StatusOK, map[string]bool{"ok": true})
		return
	}
	b, ok := buttons[name]
	if !ok {
		fail(w, http.StatusNotFound, "there is no such button")
		return
	}
	if busy := s.begin(name, b, q); busy != "" {
		fail(w, http.StatusConflict, busy+" goes on: wait until it has ended, or stop it")
		return
	}
	reply(w, http.StatusAccepted, map[string]bool{"ok": true})
}

// begin starts a job, unless another one has its slot; then it gives that one's name.
func (s *Server) begin(name string, b button, q *wish) (busy string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[b.slot]; j != nil {
		return j.what
	}
	if s.ctx.Err() != nil {
		return "the end of the server"
	}
	ctx, stop := context.WithCancel(s.ctx)
	s.jobs[b.slot] = &job{name, stop}
	s.tell()
	s.running.Go(func() {
		defer stop()
		err := s.run(ctx, name, b, q)
		switch {
		case errors.Is(err, context.Canceled) || err != nil && ctx.Err() != nil:
			s.say(name, false, "It was stopped.")
		case err != nil:
			s.say(name, true, strings.TrimPrefix(err.Error(), network.ErrUsage.Error()+": "))
		}
		s.mu.Lock()
		delete(s.jobs, b.slot)
		s.tell()
		s.mu.Unlock()
		s.lookNow()
	})
	return ""
}

func (s *Server) run(ctx context.Context, name string, b button, q *wish) error {
	o := s.options
	o.Say = func(format string, args ...any) { s.say(name, false, fmt.Sprintf(format, args...)) }
	if b.slot != changing {
		n, err := network.Look(o)
		if err != nil {
			return err
		}
		return b.do(ctx, n, q)
	}
	n, err := network.Open(ctx, o)
	if err != nil {
		return err
	}
	defer n.Close()
	return b.do(ctx, n, q)
}

// cancel ends a job, as Ctrl-C ends a command.
func (s *Server) cancel(slot string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[slot]; j != nil {
		j.stop()
	}
}
