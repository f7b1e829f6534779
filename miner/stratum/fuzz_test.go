package stratum

import (
	"context"
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/miner"
)

// oneTemplate is all there is.
type oneTemplate struct{ *miner.Template }

func (o oneTemplate) Current() (*miner.Template, <-chan struct{}, error) {
	return o.Template, make(chan struct{}), nil
}

func (oneTemplate) Now() time.Time { return time.Unix(1e9, 0) }

// FuzzServerLine lets strangers say anything to a server, before and after they
// are known.
func FuzzServerLine(f *testing.F) {
	for _, s := range []string{
		`{"id":1,"method":"mining.subscribe","params":["x",null]}`,
		`{"id":1,"method":"mining.authorize","params":["` + address(1) + `.a","d=0.5,x"]}`,
		`{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}`,
		`{"id":1,"method":"mining.configure","params":[["version-rolling",""],{"version-rolling.mask":"x"}]}`,
		`{"id":1,"method":"mining.suggest_difficulty","params":[1e-300]}`,
		`{"id":null,"method":"mining.submit","params":["` + address(1) + `","100000","00000000","3b9aca00","00000000","00002000"]}`,
		`{"id":"x","method":"mining.extranonce.subscribe","params":[]}`,
		`{"method":"mining.submit","params":[1,2,3,4,5,6]}`,
		`{}`, `[]`, `null`, "\x00", `{"params":{}}`,
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line []byte) {
		spec, err := consensus.EmbeddedSpec("regtest")
		if err != nil {
			t.Fatal(err)
		}
		template := &miner.Template{Height: 1, Version: 0x20000000, Bits: 0x207fffff, MinTime: 1e9, MaxTime: math.MaxUint32, Value: 50e8, Commitment: []byte{0x6a}}
		s, err := NewServer(Config{Spec: spec, Ledger: &activeChain{}, Templates: oneTemplate{template}, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		w, err := newWork(1, template, 1e9, false, distribution{}, s.cfg.script)
		if err != nil {
			t.Fatal(err)
		}
		s.current.Store(w)
		client, server := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { s.ServeConn(context.Background(), server) })
		wg.Go(func() { _, _ = io.Copy(io.Discard, client) })
		for _, l := range []string{
			string(line), `{"id":1,"method":"mining.subscribe","params":[]}`, `{"id":1,"method":"mining.authorize","params":["` + address(1) + `","x"]}`, string(line), string(line),
		} {
			if _, err := client.Write([]byte(l + "\n")); err != nil {
				break
			}
		}
		_ = client.Close()
		wg.Wait()
		if info := s.Info(); info.Connections != 0 {
			t.Errorf("%d connections are left", info.Connections)
		}
	})
}

// FuzzClientLine lets a pool say anything to a miner, before and after it has
// given work.
func FuzzClientLine(f *testing.F) {
	for _, s := range []string{
		`{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}`,
		`{"id":2,"result":[[["mining.notify","a"]],"00000001",4],"error":null}`,
		`{"id":3,"result":true,"error":null}`, `{"id":3,"result":null,"error":[24,"no",null]}`, `{"id":9,"error":{"code":1,"message":"x"}}`,
		`{"id":null,"method":"mining.set_difficulty","params":[1e-9]}`,
		`{"method":"mining.notify","params":["1","` + zeros(64) + `","00","00",["` + zeros(64) + `"],"20000000","207fffff","5f000000",true]}`,
		`{"method":"mining.notify","params":["1","` + zeros(64) + `","00","00",[],"20000000","207fffff"]}`,
		`{"method":"mining.set_extranonce","params":["aabb",64]}`, `{"method":"mining.set_extranonce","params":["",0]}`,
		`{"method":"client.reconnect","params":["pool.example",3333,0]}`, `{"method":"client.reconnect","params":[]}`,
		`{"method":"client.show_message","params":["\u001b[2J"]}`, `{"id":5,"method":"client.get_version"}`, `{"method":"mining.set_version_mask","params":["ffffffff"]}`,
		`{}`, `[]`, `null`, "\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := NewClient(ClientConfig{URL: "stratum+tcp://pool.example:3333", User: "me"})
		if err != nil {
			t.Fatal(err)
		}
		client, server := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(io.Discard, server) })
		s := newSession(c, client)
		for _, l := range [][]byte{
			line, []byte(`{"id":2,"result":[[],"01",4]}`), []byte(`{"id":3,"result":true}`), line,
			[]byte(`{"method":"mining.notify","params":["1","` + zeros(64) + `","","",[],"20000000","207fffff","5f000000",true]}`), line,
		} {
			job, err := s.handle(l)
			if err != nil {
				break
			}
			if job != nil && (job.ExtraSize < 1 || job.ExtraSize > 8 || job.Target.IsZero() || job.MaxTime < job.Time) {
				t.Errorf("an impossible job: %+v", job)
			}
		}
		_ = client.Close()
		_ = server.Close()
		wg.Wait()
	})
}
