package stratum_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/miner"
	"lode/miner/kernel"
	"lode/miner/stratum"
)

// TestMineForPool has miners in the same process work for a server over TCP: what
// they find are blocks that pay both.
func TestMineForPool(t *testing.T) {
	p := newPool(t, func(c *stratum.Config) { c.SharesPerMinute = 600 })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	before := p.ledger.Tip().Height
	for i := range 2 {
		client, err := stratum.NewClient(stratum.ClientConfig{URL: "stratum+tcp://" + p.addr, User: p.address(byte(1+i)) + ".rig", Password: "x"})
		check(t, err)
		m := miner.New(client, miner.NewWorkers(1, kernel.Available()[0]), nil)
		wg.Go(func() { check(t, m.Run(ctx)) })
		eventually(t, "no share is accepted", func() bool { return m.Stats().Accepted >= 5 })
	}
	eventually(t, "no blocks pay both", func() bool {
		return p.ledger.Tip().Height >= before+10 && len(p.paid(p.ledger.Tip().Height)) == 2
	})
}

// fakePool is the pool's end of a connection, as a test wants it.
type fakePool struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (f *fakePool) say(lines ...string) {
	for _, l := range lines {
		if _, err := f.conn.Write([]byte(l + "\n")); err != nil {
			return // it has been left
		}
	}
}

// hear reads one request.
func (f *fakePool) hear() (method string, id int, params []json.RawMessage) {
	f.t.Helper()
	line, err := f.in.ReadBytes('\n')
	var m struct {
		ID     int
		Method string
		Params []json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	check(f.t, err)
	return m.Method, m.ID, m.Params
}

const (
	subscribed = `{"id":2,"result":[[["mining.notify","s"]],"c0ffee",%d],"error":null}`
	authorized = `{"id":3,"result":true,"error":null}`
)

var aPrev = strings.Repeat("00", 28) + "04030201" // its last word, swapped

func aJob(id string) string {
	return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","aa","bb",["%s"],"20000000","207fffff","386d4380",true]}`, id, aPrev, strings.Repeat("cc", 32))
}

// hello hears the first three requests.
func (f *fakePool) hello() {
	f.t.Helper()
	for i, want := range []string{"mining.configure", "mining.subscribe", "mining.authorize"} {
		if method, id, _ := f.hear(); method != want || id != 1+i {
			f.t.Errorf("request %d: %s", id, method)
		}
	}
}

// clientWorld is a client in a bubble, and what becomes of it.
type clientWorld struct {
	t      *testing.T
	client *stratum.Client
	pools  chan *fakePool // connections that the client makes
	jobs   chan *miner.Job
	log    *logBuffer
	ended  chan error

	mu     sync.Mutex // guards what follows
	dialed []string   // where to
	fail   error      // of the next dials
}

// refuse sets the error of the next dials, and gives those so far.
func (w *clientWorld) refuse(err error) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
	return w.dialed
}

func withClient(t *testing.T, test func(*clientWorld)) {
	synctest.Test(t, func(t *testing.T) {
		w := &clientWorld{t: t, pools: make(chan *fakePool, 100), jobs: make(chan *miner.Job, 100), log: new(logBuffer), ended: make(chan error, 1)}
		var err error
		w.client, err = stratum.NewClient(stratum.ClientConfig{
			URL: "stratum+tcp://pool.example:3333", User: "me.rig", Password: "x", UserAgent: "lode/test", Log: slog.New(slog.NewTextHandler(w.log, nil)),
			Dial: func(_ context.Context, address string) (net.Conn, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.dialed = append(w.dialed, address)
				if w.fail != nil {
					return nil, w.fail
				}
				client, server := net.Pipe()
				w.pools <- &fakePool{t, server, bufio.NewReader(server)}
				return client, nil
			},
		})
		check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.ended <- w.client.Run(ctx, func(j *miner.Job) { w.jobs <- j }) })
		test(w)
		cancel()
		wg.Wait()
	})
}

// TestClient follows a conversation: jobs with what holds for them, and a share of
// each outcome.
func TestClient(t *testing.T) {
	withClient(t, func(w *clientWorld) {
		p := <-w.pools
		p.hello()
		p.say(`{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe001"},"error":null}`, fmt.Sprintf(subscribed, 4),
			`{"id":null,"method":"mining.set_difficulty","params":[2]}`, aJob("early"), authorized)
		j := <-w.jobs
		if j.ID != "early" || j.ExtraSize != 4 || hex.EncodeToString(j.Coinbase1) != "aac0ffee" || hex.EncodeToString(j.Coinbase2) != "bb" ||
			len(j.Branch) != 1 || j.Version != 0x20000000 || j.Bits != 0x207fffff || j.Time != 0x386d4380 || j.VersionMask != 0x1fffe000 ||
			j.Prev != (consensus.Hash{28: 1, 29: 2, 30: 3, 31: 4}) || fmt.Sprintf("%x", j.Target.ToBig()) != "7fff8"+strings.Repeat("0", 51) {
			t.Errorf("%+v", j)
		}
		// Another difficulty and other extra nonces hold for the jobs that follow.
		p.say(`{"id":null,"method":"mining.set_extranonce","params":["dd",12]}`, `{"id":null,"method":"mining.set_difficulty","params":[0.5]}`, aJob("late"))
		late := <-w.jobs
		if late.ExtraSize != 8 || hex.EncodeToString(late.Coinbase1) != "aadd00000000" || late.Target.Eq(&j.Target) {
			t.Errorf("%+v", late)
		}
		for _, c := range []struct {
			job    *miner.Job
			extra2 string
			answer string
			want   miner.Verdict
		}{
			{j, "01020304", `"result":true,"error":null`, miner.Verdict{}},
			{late, "000000000102030405060708", `"result":true`, miner.Verdict{}},
			{j, "01020304", `"result":null,"error":[21,"Job not found",null]`, miner.Verdict{Outcome: miner.Stale, Reason: "Job not found"}},
			{j, "01020304", `"result":null,"error":{"code":23,"message":"low"}`, miner.Verdict{Outcome: miner.Rejected, Reason: "low"}},
			{j, "01020304", `"result":false,"error":null`, miner.Verdict{Outcome: miner.Rejected, Reason: "the pool gives no reason"}},
		} {
			f := &miner.Found{Job: c.job, Extra: []byte{1, 2, 3, 4, 5, 6, 7, 8}[:c.job.ExtraSize], Header: consensus.Header{Version: 0x20006000, Time: 0x386d4390, Nonce: 0xabc}}
			var wg sync.WaitGroup
			wg.Go(func() {
				if v, err := w.client.Submit(w.t.Context(), f); err != nil || v != c.want {
					t.Errorf("%s: %+v %v", c.answer, v, err)
				}
			})
			method, id, params := p.hear()
			want := fmt.Sprintf(`["me.rig" "%s" "%s" "386d4390" "00000abc" "00006000"]`, c.job.ID, c.extra2)
			if got := fmt.Sprintf("%s", params); method != "mining.submit" || got != want {
				t.Errorf("%s %s, want %s", method, got, want)
			}
			p.say(fmt.Sprintf(`{"id":%d,%s}`, id, c.answer))
			wg.Wait()
		}
		// No answer, and then no connection.
		f := &miner.Found{Job: j, Extra: []byte{1, 2, 3, 4}}
		var wg sync.WaitGroup
		for range 2 { // what gets no answer does not fill up what may wait for one
			for range 256 {
				wg.Go(func() {
					if v, err := w.client.Submit(w.t.Context(), f); err == nil {
						t.Errorf("a share without an answer: %+v", v)
					}
				})
			}
			for range 256 {
				p.hear()
			}
			wg.Wait()
		}
		p.conn.Close()
		if j := <-w.jobs; j != nil {
			t.Error("it mines on without a connection")
		}
		synctest.Wait()
		if v, err := w.client.Submit(w.t.Context(), f); err != nil || v.Outcome != miner.Stale {
			t.Errorf("a share of a lost connection: %+v %v", v, err)
		}
	})
}

// TestClientOutage connects again, ever more seldom, and says so once.
func TestClientOutage(t *testing.T) {
	withClient(t, func(w *clientWorld) {
		p := <-w.pools
		synctest.Wait()
		w.refuse(errors.New("nobody listens"))
		p.conn.Close()
		time.Sleep(10 * time.Minute)
		if n := len(w.refuse(nil)); n < 10 || n > 30 {
			t.Errorf("%d attempts in ten minutes", n)
		}
		p = <-w.pools
		p.hello()
		p.say(fmt.Sprintf(subscribed, 4), authorized, aJob("1"))
		for j := range w.jobs {
			if j != nil {
				break
			}
		}
		synctest.Wait()
		if log := w.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "no connection") || !strings.Contains(log, "connected to the pool") {
			t.Errorf("log of one outage:\n%s", log)
		}
	})
}

// TestClientGarbage leaves a pool that sends garbage, and connects again.
func TestClientGarbage(t *testing.T) {
	for name, lines := range map[string][]string{
		"no JSON":                {"HTTP/1.1 400 Bad Request"},
		"a job without fields":   {fmt.Sprintf(subscribed, 4), authorized, `{"method":"mining.notify","params":[]}`},
		"a job with a bad hash":  {fmt.Sprintf(subscribed, 4), authorized, strings.Replace(aJob("1"), aPrev, "00", 1)},
		"a job with a bad time":  {fmt.Sprintf(subscribed, 4), authorized, strings.Replace(aJob("1"), "386d4380", "now", 1)},
		"a difficulty of zero":   {`{"method":"mining.set_difficulty","params":[0]}`},
		"a difficulty of text":   {`{"method":"mining.set_difficulty","params":["hard"]}`},
		"no extra nonce":         {fmt.Sprintf(subscribed, 0)},
		"a huge extra nonce":     {fmt.Sprintf(subscribed, 1000)},
		"a subscription to none": {`{"id":2,"result":true}`},
		"an error":               {`{"id":2,"result":null,"error":[20,"full",null]}`},
		"no room":                {`{"id":3,"result":null,"error":[20,"full",null]}`},
		"a long line":            {strings.Repeat("x", 2<<20)},
		"silence":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			withClient(t, func(w *clientWorld) {
				p := <-w.pools
				p.hello()
				p.say(lines...)
				p.conn.SetReadDeadline(time.Now().Add(6 * time.Minute))
				if _, err := p.in.ReadByte(); err == nil || !time.Now().Before(time.Date(2000, 1, 1, 0, 5, 1, 0, time.UTC)) {
					t.Errorf("it stays: %v", err)
				}
				p.conn.Close()
				(<-w.pools).hello()
			})
		})
	}
}

// TestClientRefused ends when the pool does not want the user.
func TestClientRefused(t *testing.T) {
	withClient(t, func(w *clientWorld) {
		p := <-w.pools
		p.hello()
		p.say(fmt.Sprintf(subscribed, 4), `{"id":3,"result":null,"error":[24,"Unauthorized worker: not an address",null]}`)
		if err := <-w.ended; err == nil || err.Error() != `the pool refuses the user "me.rig": Unauthorized worker: not an address` {
			t.Errorf("%v", err)
		}
		w.ended <- nil
	})
}

// TestClientReconnect goes to another port of the same host when it is asked to,
// and to no other host.
func TestClientReconnect(t *testing.T) {
	withClient(t, func(w *clientWorld) {
		p := <-w.pools
		p.hello()
		p.say(`{"id":null,"method":"client.show_message","params":["hi"]}`, `{"id":null,"method":"client.reconnect","params":["evil.example",3333,0]}`)
		p.say(`{"id":77,"method":"client.get_version","params":[]}`)
		if line, err := p.in.ReadString('\n'); err != nil || line != `{"id":77,"result":"lode/test","error":null}`+"\n" {
			t.Errorf("%s %v", line, err)
		}
		p.say(`{"id":null,"method":"client.reconnect","params":["pool.example",4444,0]}`)
		p = <-w.pools
		p.hello()
		moved := time.Now()
		p.say(`{"id":null,"method":"client.reconnect","params":[]}`)
		p = <-w.pools
		p.hello()
		if !time.Now().After(moved) {
			t.Error("a pool can have it connect without a pause")
		}
		// The new place is lost: it begins where it began first.
		p.conn.Close()
		(<-w.pools).hello()
		synctest.Wait()
		if got := fmt.Sprint(w.refuse(nil)); got != "[pool.example:3333 pool.example:4444 pool.example:4444 pool.example:3333]" {
			t.Errorf("connects to %s", got)
		}
		if log := w.log.String(); !strings.Contains(log, "evil.example") || !strings.Contains(log, "text=hi") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestClientURL(t *testing.T) {
	for _, url := range []string{"", "pool:3333", "http://pool:3333", "stratum+tcp://pool", "stratum+tcp://:3333", "stratum+tcp://u@pool:3333", "stratum+tcp://pool:3333/x", "stratum+tcp://pool:x", "stratum+tcp://pool:0", "stratum+tcp://pool:65536"} {
		if _, err := stratum.NewClient(stratum.ClientConfig{URL: url}); !errors.Is(err, stratum.ErrURL) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
