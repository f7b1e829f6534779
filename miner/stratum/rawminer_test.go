package stratum_test

// A miner that knows Stratum from its description alone: it shares no code with
// what it tests, and uses nothing but the standard library.

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
)

type rawMiner struct {
	conn net.Conn
	in   *bufio.Reader
	id   int

	extra1     []byte
	extra2Size int
	difficulty float64 // announced last
	jobs       []*rawJob
	nonce      uint32 // to go on with
	hashes     int    // tried so far
}

type rawJob struct {
	difficulty           float64
	id                   string
	prev, coinb1, coinb2 []byte
	branch               [][]byte
	version, bits, time  uint32
	clean                bool
	versionHex, timeHex  string
	extra1               []byte
}

type rawLine struct {
	ID     *int              `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
	Result json.RawMessage   `json:"result"`
	Error  []any             `json:"error"`
}

// code is that of the error of an answer, 0 for none.
func (l *rawLine) code() int {
	if len(l.Error) != 3 {
		return 0
	}
	f, _ := l.Error[0].(float64)
	return int(f)
}

func newRawMiner(conn net.Conn) *rawMiner {
	return &rawMiner{conn: conn, in: bufio.NewReaderSize(conn, 1<<20)}
}

// begin subscribes and authorizes, and waits for the first job.
func (m *rawMiner) begin(user string) error {
	if err := m.subscribe(); err != nil {
		return err
	}
	a, err := m.call("mining.authorize", user, "x")
	if err != nil || string(a.Result) != "true" || a.Error != nil {
		return fmt.Errorf("authorize: %s %v %v", a.Result, a.Error, err)
	}
	for len(m.jobs) == 0 {
		if _, err := m.read(); err != nil {
			return err
		}
	}
	return nil
}

func (m *rawMiner) subscribe() error {
	a, err := m.call("mining.subscribe", "raw/1")
	if err != nil {
		return err
	}
	var result []json.RawMessage
	var subscriptions [][2]string
	var extra1 string
	if json.Unmarshal(a.Result, &result) != nil || len(result) != 3 || json.Unmarshal(result[0], &subscriptions) != nil ||
		json.Unmarshal(result[1], &extra1) != nil || json.Unmarshal(result[2], &m.extra2Size) != nil {
		return fmt.Errorf("subscribe: %s", a.Result)
	}
	m.extra1, err = hex.DecodeString(extra1)
	return err
}

// send writes a request.
func (m *rawMiner) send(method string, params ...any) (id int, err error) {
	m.id++
	line, err := json.Marshal(map[string]any{"id": m.id, "method": method, "params": params})
	if err != nil {
		return 0, err
	}
	_, err = m.conn.Write(append(line, '\n'))
	return m.id, err
}

// call writes a request and reads until it is answered.
func (m *rawMiner) call(method string, params ...any) (rawLine, error) {
	id, err := m.send(method, params...)
	for err == nil {
		var l rawLine
		if l, err = m.read(); err == nil && l.Method == "" && l.ID != nil && *l.ID == id {
			return l, nil
		}
	}
	return rawLine{}, err
}

// read takes one line, and does what it asks for.
func (m *rawMiner) read() (l rawLine, err error) {
	line, err := m.in.ReadBytes('\n')
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return l, err
	}
	switch l.Method {
	case "mining.set_difficulty":
		return l, json.Unmarshal(l.Params[0], &m.difficulty)
	case "mining.notify":
		j, err := m.parseJob(l.Params)
		m.jobs = append(m.jobs, j)
		return l, err
	}
	return l, nil
}

func (m *rawMiner) parseJob(p []json.RawMessage) (*rawJob, error) {
	if len(p) != 9 {
		return nil, fmt.Errorf("a job of %d parameters", len(p))
	}
	j := &rawJob{difficulty: m.difficulty, extra1: m.extra1}
	var prev, coinb1, coinb2, bits string
	var branch []string
	for i, v := range []any{&j.id, &prev, &coinb1, &coinb2, &branch, &j.versionHex, &bits, &j.timeHex, &j.clean} {
		if err := json.Unmarshal(p[i], v); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		from string
		to   *[]byte
	}{{prev, &j.prev}, {coinb1, &j.coinb1}, {coinb2, &j.coinb2}} {
		b, err := hex.DecodeString(f.from)
		if err != nil {
			return nil, err
		}
		*f.to = b
	}
	if len(j.prev) != 32 {
		return nil, errors.New("bad previous hash")
	}
	for i := 0; i < 32; i += 4 { // the words are swapped
		binary.BigEndian.PutUint32(j.prev[i:], binary.LittleEndian.Uint32(j.prev[i:]))
	}
	for _, h := range branch {
		b, err := hex.DecodeString(h)
		if err != nil || len(b) != 32 {
			return nil, errors.New("bad branch")
		}
		j.branch = append(j.branch, b)
	}
	for _, f := range []struct {
		from string
		to   *uint32
	}{{j.versionHex, &j.version}, {bits, &j.bits}, {j.timeHex, &j.time}} {
		b, err := hex.DecodeString(f.from)
		if err != nil || len(b) != 4 {
			return nil, errors.New("bad word")
		}
		*f.to = binary.BigEndian.Uint32(b)
	}
	return j, nil
}

func sha256d(b []byte) []byte {
	first := sha256.Sum256(b)
	second := sha256.Sum256(first[:])
	return second[:]
}

// header makes the 80 bytes with a nonce of zero.
func (j *rawJob) header(extra2 []byte, version, time uint32) []byte {
	var coinbase []byte
	for _, part := range [][]byte{j.coinb1, j.extra1, extra2, j.coinb2} {
		coinbase = append(coinbase, part...)
	}
	root := sha256d(coinbase)
	for _, h := range j.branch {
		root = sha256d(append(root, h...))
	}
	b := binary.LittleEndian.AppendUint32(nil, version)
	b = append(append(b, j.prev...), root...)
	b = binary.LittleEndian.AppendUint32(b, time)
	b = binary.LittleEndian.AppendUint32(b, j.bits)
	return append(b, 0, 0, 0, 0)
}

// target of a difficulty: 0xffff * 2^208 over it.
func rawTarget(difficulty float64) *big.Int {
	one := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(0xffff), 208))
	r := one.Quo(one, new(big.Rat).SetFloat64(difficulty))
	return new(big.Int).Quo(r.Num(), r.Denom())
}

func value(hash []byte) *big.Int {
	be := make([]byte, len(hash))
	for i, b := range hash {
		be[len(hash)-1-i] = b
	}
	return new(big.Int).SetBytes(be)
}

// share is what is submitted.
type share struct {
	job                       *rawJob
	extra2, time, nonce, bits string
	hash                      []byte
}

// find searches a job for a hash that meets the target of a difficulty, and not
// that of another, if it is not zero.
func (m *rawMiner) find(j *rawJob, difficulty, not float64) share {
	return m.findWith(j, difficulty, not, j.version, j.time)
}

func (m *rawMiner) findWith(j *rawJob, difficulty, not float64, version, time uint32) share {
	extra2 := make([]byte, m.extra2Size)
	extra2[0] = 0xa5
	h, target := j.header(extra2, version, time), rawTarget(difficulty)
	for {
		m.nonce++
		m.hashes++
		binary.LittleEndian.PutUint32(h[76:], m.nonce)
		hash := sha256d(h)
		if v := value(hash); v.Cmp(target) > 0 || not != 0 && v.Cmp(rawTarget(not)) <= 0 {
			continue
		}
		return share{j, hex.EncodeToString(extra2), fmt.Sprintf("%08x", time), fmt.Sprintf("%08x", m.nonce), "", hash}
	}
}

func (m *rawMiner) last() *rawJob { return m.jobs[len(m.jobs)-1] }

// submit hands in a share and gives the answer.
func (m *rawMiner) submit(user string, s share) (rawLine, error) {
	return m.call("mining.submit", user, s.job.id, s.extra2, s.time, s.nonce)
}
