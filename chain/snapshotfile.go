package chain

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"lode/consensus"
)

// A snapshot file is what Bitcoin Core's dumptxoutset writes (version 2, since
// Core 28; node/utxo_snapshot.h, rpc/blockchain.cpp, coins.h, compressor.h):
//
//	5   magic, "utxo" and 0xff
//	2   version, 2
//	4   the network's magic
//	32  hash of the base, the block after which these are all coins
//	8   number of coins
//
// then for every transaction that has coins left, in the order of the bytes of
// their ids: the id (32), the number of its coins (compact size), and for each
// coin, in the order of the encoded indices:
//
//	output index (compact size)
//	twice the height, plus one if from a coinbase (varint)
//	amount, compressed (varint)
//	script, compressed: 6 plus its length (varint), and the script
//
// Integers are little endian. A varint is Core's own, in base 128 with the most
// significant digit first. Nothing follows the last coin. A coin has only one
// encoding, so a file has only one that is good.
const (
	snapshotMagic      = "utxo\xff"
	snapshotVersion    = 2
	snapshotHeaderSize = len(snapshotMagic) + 2 + 4 + 32 + 8
)

// snapshotScript is what stands before the key of every coin: the script's
// length plus Core's number of special scripts, OP_1 and the push of the key.
var snapshotScript = [3]byte{6 + 34, 0x51, 32}

// ErrSnapshot is the kind of error for a snapshot file that cannot be used.
var ErrSnapshot = errors.New("not a good snapshot")

func badSnapshot(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSnapshot}, args...)...)
}

// snapshotHeader is how a snapshot file begins.
type snapshotHeader struct {
	magic [4]byte // of the network
	base  consensus.Hash
	coins uint64
}

func (h *snapshotHeader) bytes() []byte {
	b := append(make([]byte, 0, snapshotHeaderSize), snapshotMagic...)
	b = binary.LittleEndian.AppendUint16(b, snapshotVersion)
	b = append(b, h.magic[:]...)
	b = append(b, h.base[:]...)
	return binary.LittleEndian.AppendUint64(b, h.coins)
}

// snapshotCoin is a coin of one transaction.
type snapshotCoin struct {
	index uint32
	coin  consensus.Coin
}

// byVarInt is the order of the coins of a transaction: Bitcoin Core's database
// sorts them by the bytes of the encoded index, which from 16512 on is not the
// order of the numbers.
func byVarInt(a, b snapshotCoin) int {
	return bytes.Compare(appendVarInt(nil, uint64(a.index)), appendVarInt(nil, uint64(b.index)))
}

// appendSnapshotTx writes the coins of a transaction, which it sorts.
func appendSnapshotTx(b []byte, id consensus.Hash, list []snapshotCoin) []byte {
	slices.SortFunc(list, byVarInt)
	b = append(b, id[:]...)
	b = consensus.AppendCompactSize(b, uint64(len(list)))
	for i := range list {
		c := &list[i].coin
		code := uint64(c.Height) << 1
		if c.Coinbase {
			code |= 1
		}
		b = consensus.AppendCompactSize(b, uint64(list[i].index))
		b = appendVarInt(b, code)
		b = appendVarInt(b, compressAmount(uint64(c.Value)))
		b = append(append(b, snapshotScript[:]...), c.Key[:]...)
	}
	return b
}

// appendVarInt writes a number in base 128, the most significant digit first;
// all but the last have their top bit set and count one less than they say
// (Bitcoin Core's serialize.h), so that every number has one encoding.
func appendVarInt(b []byte, n uint64) []byte {
	var digits [10]byte
	at := len(digits) - 1
	for digits[at] = byte(n & 0x7f); n > 0x7f; digits[at] = byte(n&0x7f) | 0x80 {
		n = n>>7 - 1
		at--
	}
	return append(b, digits[at:]...)
}

// compressAmount is Bitcoin Core's CompressAmount: powers of ten are taken out,
// because most amounts have few digits.
func compressAmount(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	e := uint64(0)
	for ; n%10 == 0 && e < 9; e++ {
		n /= 10
	}
	if e < 9 {
		return 1 + (n/10*9+n%10-1)*10 + e
	}
	return 1 + (n-1)*10 + 9
}

// decompressAmount is the inverse of compressAmount, for what is one of at most
// limit.
func decompressAmount(x, limit uint64) (uint64, bool) {
	if x == 0 {
		return 0, true
	}
	if x > 10*limit+10 { // nothing below can overflow
		return 0, false
	}
	x--
	e := x % 10
	n := x/10 + 1
	if x /= 10; e < 9 {
		n = x/9*10 + x%9 + 1
	}
	for ; e > 0 && n <= limit; e-- {
		n *= 10
	}
	return n, n <= limit
}

// snapshotReader reads a snapshot file from its beginning to its end, one
// transaction after the other, in memory that does not depend on its size.
type snapshotReader struct {
	snapshotHeader
	rules *consensus.Rules
	in    *bufio.Reader
	left  uint64         // coins
	last  consensus.Hash // the id before
	any   bool           // there was one
	top   uint32         // the height of the highest coin so far
	hash  serialHash
	buf   []byte
}

// newSnapshotReader reads the header of a file, which must be of a network.
func newSnapshotReader(src io.Reader, spec *consensus.Spec) (*snapshotReader, error) {
	r := &snapshotReader{rules: &spec.Rules, in: bufio.NewReaderSize(src, 1<<20), hash: serialHash{sha256.New()}}
	var raw [snapshotHeaderSize]byte
	if err := r.fill(raw[:]); err != nil {
		return nil, err
	}
	d := consensus.NewDecoder(raw[:])
	if string(d.Bytes(len(snapshotMagic))) != snapshotMagic {
		return nil, badSnapshot("it does not begin as one: the first bytes are %x", raw[:len(snapshotMagic)])
	}
	if version := d.Uint16(); version != snapshotVersion {
		return nil, badSnapshot("it has version %d, want %d", version, snapshotVersion)
	}
	if r.magic = [4]byte(d.Bytes(4)); !bytes.Equal(r.magic[:], spec.Defaults.Magic) {
		return nil, badSnapshot("it is of a network with the magic %x, and that of %s is %x", r.magic, spec.Name, []byte(spec.Defaults.Magic))
	}
	r.base, r.coins = d.Hash(), d.Uint64()
	r.left = r.coins
	return r, d.Finish()
}

// fill reads exactly as many bytes.
func (r *snapshotReader) fill(b []byte) error {
	_, err := io.ReadFull(r.in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badSnapshot("it is cut short: %d coins are missing", r.left)
	}
	return err
}

func (r *snapshotReader) byte() (byte, error) {
	var b [1]byte
	err := r.fill(b[:])
	return b[0], err
}

// next gives the coins of the next transaction, in the order of their indices,
// or io.EOF. The list is only good until the next call.
func (r *snapshotReader) next(list []snapshotCoin) (id consensus.Hash, _ []snapshotCoin, err error) {
	if r.left == 0 {
		switch _, err := r.in.ReadByte(); {
		case err == nil:
			return id, nil, badSnapshot("there are bytes behind the last coin")
		default:
			return id, nil, err
		}
	}
	if err := r.fill(id[:]); err != nil {
		return id, nil, err
	}
	if r.any && bytes.Compare(r.last[:], id[:]) >= 0 {
		return id, nil, badSnapshot("transaction %s is out of order", id)
	}
	r.last, r.any = id, true
	// No transaction has more outputs than fit into a block.
	const outputSize = 8 + 1 + 34
	count, err := r.compactSize()
	if err == nil && (count == 0 || count > r.left || count > uint64(r.rules.MaxBlockWeight/consensus.WitnessScale/outputSize)) {
		err = badSnapshot("transaction %s has %d coins, and %d are left", id, count, r.left)
	}
	if err != nil {
		return id, nil, err
	}
	list = list[:0]
	for range count {
		c, err := r.coin(id)
		if err != nil {
			return id, nil, err
		}
		if len(list) > 0 && byVarInt(list[len(list)-1], c) >= 0 {
			return id, nil, badSnapshot("output %d of transaction %s is out of order", c.index, id)
		}
		list = append(list, c)
		r.left--
	}
	slices.SortFunc(list, func(a, b snapshotCoin) int { return int(int64(a.index) - int64(b.index)) })
	for i := range list {
		r.buf = appendForHash(r.buf[:0], consensus.OutPoint{TxID: id, Index: list[i].index}, &list[i].coin)
		r.hash.add(r.buf)
	}
	return id, list, nil
}

// coin reads one coin of a transaction.
func (r *snapshotReader) coin(id consensus.Hash) (c snapshotCoin, err error) {
	index, err := r.compactSize()
	if err != nil {
		return c, err
	}
	code, err := r.varInt()
	if err != nil {
		return c, err
	}
	packed, err := r.varInt()
	if err != nil {
		return c, err
	}
	value, ok := decompressAmount(packed, uint64(r.rules.MaxMoney))
	if index > maxIndex || code>>1 > maxHeight || !ok {
		return c, badSnapshot("output %d of transaction %s has an impossible index, height (%d) or amount", index, id, code>>1)
	}
	var script [len(snapshotScript)]byte
	if err := r.fill(script[:]); err != nil {
		return c, err
	}
	if script != snapshotScript {
		return c, badSnapshot("output %d of transaction %s is no Taproot output", index, id)
	}
	c.index = uint32(index)
	c.coin = consensus.Coin{Value: consensus.Amount(value), Height: uint32(code >> 1), Coinbase: code&1 == 1}
	r.top = max(r.top, c.coin.Height)
	return c, r.fill(c.coin.Key[:])
}

// Bounds of what can be in a chain: more outputs or blocks do not fit into what
// holds their numbers.
const (
	maxIndex  = 1<<32 - 2
	maxHeight = 1<<31 - 1
)

func (r *snapshotReader) compactSize() (uint64, error) {
	var raw [9]byte
	var err error
	if raw[0], err = r.byte(); err != nil {
		return 0, err
	}
	size := 1
	if raw[0] >= 0xfd {
		size += 2 << (raw[0] - 0xfd)
	}
	if err := r.fill(raw[1:size]); err != nil {
		return 0, err
	}
	d := consensus.NewDecoder(raw[:size])
	n := d.CompactSize()
	if err := d.Finish(); err != nil {
		return 0, badSnapshot("%v", err)
	}
	return n, nil
}

func (r *snapshotReader) varInt() (n uint64, err error) {
	for {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if n >= 1<<56 { // more than any number in the format
			return 0, badSnapshot("a number is too large")
		}
		if n = n<<7 | uint64(b&0x7f); b&0x80 == 0 {
			return n, nil
		}
		n++
	}
}
