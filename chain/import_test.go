package chain_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"lode/chain"
	"lode/consensus"
)

// bootstrapOf frames blocks as a bootstrap.dat does.
func bootstrapOf(magic []byte, blocks ...*consensus.Block) (file []byte) {
	for _, b := range blocks {
		raw := b.Bytes()
		file = binary.LittleEndian.AppendUint32(append(file, magic...), uint32(len(raw)))
		file = append(file, raw...)
	}
	return file
}

func importInto(t *testing.T, c *chain.Chain, file []byte) chain.Imported {
	t.Helper()
	got, err := c.Import(t.Context(), bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestImport(t *testing.T) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	magic := []byte(spec.Defaults.Magic)
	b := newBuilder(t)
	s := b.rules.GenesisState()
	blocks := []*consensus.Block{b.rules.Genesis()}
	for range 10 {
		block, after := b.next(s)
		blocks, s = append(blocks, block), after
	}
	bad, _ := b.next(s, func(b *consensus.Block) { b.Txs[0].Out[0].Value++ })
	backwards := slices.Clone(blocks)
	slices.Reverse(backwards)
	whole := bootstrapOf(magic, blocks...)
	junk := append([]byte("junk"), magic[:3]...)
	masked := slices.Clone(whole)
	key := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	for i := range masked {
		masked[i] ^= key[i%8]
	}

	cases := map[string]struct {
		file   []byte
		want   chain.Imported
		height uint32
	}{
		"good":              {whole, chain.Imported{Blocks: 10, Txs: 10, Known: 1}, 10},
		"twice":             {slices.Concat(whole, whole), chain.Imported{Blocks: 10, Txs: 10, Known: 12}, 10},
		"backwards":         {bootstrapOf(magic, backwards...), chain.Imported{Blocks: 10, Txs: 10, Known: 1}, 10},
		"junk between":      {slices.Concat(junk, bootstrapOf(magic, blocks[:4]...), junk, magic, []byte{255, 255, 255, 255}, bootstrapOf(magic, blocks[4:]...), junk), chain.Imported{Blocks: 10, Txs: 10, Known: 1, Passed: 7 + 7 + 8 + 7}, 10},
		"cut tail":          {whole[:len(whole)-1], chain.Imported{Blocks: 9, Txs: 9, Known: 1, Passed: int64(len(bootstrapOf(magic, blocks[10])) - 1)}, 9},
		"another network":   {bootstrapOf([]byte{1, 2, 3, 4}, blocks...), chain.Imported{Passed: int64(len(whole))}, 0},
		"a bad block":       {bootstrapOf(magic, append(blocks[:11:11], bad)...), chain.Imported{Blocks: 10, Txs: 10, Known: 1, Refused: 1}, 10},
		"a parent missing":  {bootstrapOf(magic, append(blocks[:5:5], blocks[6:]...)...), chain.Imported{Blocks: 4, Txs: 4, Known: 1, Orphans: 5}, 4},
		"nothing":           {nil, chain.Imported{}, 0},
		"masked, not named": {masked, chain.Imported{Passed: int64(len(masked))}, 0},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := open(t, t.TempDir(), false)
			defer c.Close()
			got := importInto(t, c, test.file)
			if clean := got.Passed == 0 && got.Orphans == 0 && got.Refused == 0; got.Clean() != clean {
				t.Errorf("clean is %v", got.Clean())
			}
			foreign := len(test.file) > 4 && !bytes.Equal(test.file[:4], magic)
			if named := len(got.Problems) > 0; named != (got.Orphans+got.Refused > 0 || foreign) {
				t.Errorf("problems %q", got.Problems)
			}
			if foreign && !strings.Contains(got.Problems[len(got.Problems)-1], fmt.Sprintf("begins with %x, blocks of this network with %x", test.file[:4], magic)) {
				t.Errorf("problems %q", got.Problems)
			}
			got.Problems = nil
			if got.Blocks != test.want.Blocks || got.Txs != test.want.Txs || got.Known != test.want.Known || got.Orphans != test.want.Orphans || got.Refused != test.want.Refused || got.Passed != test.want.Passed {
				t.Errorf("imported %+v, want %+v", got, test.want)
			}
			if tip := c.Tip(); tip.Height != test.height {
				t.Errorf("height %d, want %d", tip.Height, test.height)
			}
		})
	}

	c := open(t, t.TempDir(), false)
	defer c.Close()
	if got, err := c.Import(t.Context(), chain.Unmask(bytes.NewReader(masked), key), int64(len(masked)), nil); err != nil || got.Blocks != 10 {
		t.Errorf("masked: %+v %v", got, err)
	}
	var out bytes.Buffer
	if n, err := c.Export(t.Context(), &out, 0, nil); err != nil || n != 11 || !bytes.Equal(out.Bytes(), whole) {
		t.Errorf("exported %d blocks, %v; the same file again: %v", n, err, bytes.Equal(out.Bytes(), whole))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Import(ctx, bytes.NewReader(whole), int64(len(whole)), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// counted counts what is read of a file, and may end a context.
type counted struct {
	io.ReaderAt
	bytes int64
	after func()
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	c.bytes += int64(len(p))
	if c.after != nil {
		c.after()
	}
	return c.ReaderAt.ReadAt(p, at)
}

// TestImportOfEmptyFrames imports frames that say that they hold nothing: the
// file is read once, not once for each of them.
func TestImportOfEmptyFrames(t *testing.T) {
	c := openGenerated(t, t.TempDir(), false)
	defer closeChain(t, c)
	file := bytes.Repeat(append(bytes.Clone(generated.Defaults.Magic), 0, 0, 0, 0), 600_000)
	src := &counted{ReaderAt: bytes.NewReader(file)}
	got, err := c.Import(t.Context(), src, int64(len(file)), nil)
	if err != nil || got.Clean() || got.Blocks > 0 || got.Passed != int64(len(file)) {
		t.Errorf("got %+v: %v", got, err)
	}
	if most := 2 * int64(len(file)); src.bytes > most {
		t.Errorf("%d bytes were read of a file of %d", src.bytes, len(file))
	}
	holds, err := chain.HoldsBlocks(t.Context(), bytes.NewReader(file), int64(len(file)), generated)
	if holds || err != nil {
		t.Errorf("it holds blocks: %v, %v", holds, err)
	}
}

// zeros is an endless sparse file.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// TestImportOfSparseFileEnds imports a petabyte of holes, which ends with the
// first signal.
func TestImportOfSparseFileEnds(t *testing.T) {
	c := openGenerated(t, t.TempDir(), false)
	defer closeChain(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	src := &counted{ReaderAt: zeros{}, after: cancel}
	if _, err := c.Import(ctx, src, 1<<50, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := chain.HoldsBlocks(ctx, src, 1<<50, generated); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if most := int64(32 << 20); src.bytes > most {
		t.Errorf("%d bytes were read after the signal", src.bytes)
	}
}
