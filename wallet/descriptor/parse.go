package descriptor

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lode/consensus"
)

// node is an expression: a function of others, a branch of a tree of scripts
// ("{"), or a leaf, which is a key or a word.
type node struct {
	fn     string // "" for a leaf; "{" for a branch; wrappers of miniscript stand before it
	args   []*node
	key    *key
	word   string    // a number, hex or an address
	output *[32]byte // of addr and raw: the Taproot output key they pay
}

// where tells where an expression stands, which decides what it may be.
type where uint8

const (
	inTop where = 1 << iota
	inSH
	inWSH
	inTR
)

// form is what a function takes and where it may stand. args has a letter for
// each: k a key, n a number, s a script, t a tree of scripts, h and H hashes of 32
// and 20 bytes, a an address, x hex. A + behind the last one: one or more of it.
// A ? before it: it may be missing.
type form struct {
	args  string
	where where
	inner where // where its scripts stand
}

var forms = map[string]form{
	"tr":    {"k?t", inTop, inTR},
	"rawtr": {"k", inTop, 0},
	"addr":  {"a", inTop, 0},
	"raw":   {"x", inTop, 0},
	"combo": {"k", inTop, 0},
	"wpkh":  {"k", inTop | inSH, 0},
	"sh":    {"s", inTop, inSH},
	"wsh":   {"s", inTop | inSH, inWSH},
	"pk":    {"k", inTop | inSH | inWSH | inTR, 0}, "pkh": {"k", inTop | inSH | inWSH | inTR, 0},
	"multi": {"nk+", inTop | inSH | inWSH, 0}, "sortedmulti": {"nk+", inTop | inSH | inWSH, 0},
	"multi_a": {"nk+", inTR, 0}, "sortedmulti_a": {"nk+", inTR, 0},
	// Miniscript.
	"pk_k": {"k", inMini, 0}, "pk_h": {"k", inMini, 0}, "older": {"n", inMini, 0}, "after": {"n", inMini, 0},
	"sha256": {"h", inMini, 0}, "hash256": {"h", inMini, 0}, "ripemd160": {"H", inMini, 0}, "hash160": {"H", inMini, 0},
	"andor": {"sss", inMini, inMini}, "and_v": {"ss", inMini, inMini}, "and_b": {"ss", inMini, inMini}, "and_n": {"ss", inMini, inMini},
	"or_b": {"ss", inMini, inMini}, "or_c": {"ss", inMini, inMini}, "or_d": {"ss", inMini, inMini}, "or_i": {"ss", inMini, inMini},
	"thresh": {"ns+", inMini, inMini},
}

const (
	inMini = inWSH | inTR

	wrappers = "asctdvjnlu" // of miniscript, before a colon
	// maxDepth bounds expressions in each other; a tree of scripts is no deeper
	// (BIP341).
	maxDepth = 128
)

// parser reads an expression from pos on.
type parser struct {
	text string
	net  *Network
	pos  int
}

// take moves behind s if it comes next.
func (p *parser) take(s string) bool {
	if !strings.HasPrefix(p.text[p.pos:], s) {
		return false
	}
	p.pos += len(s)
	return true
}

// until gives what comes before the next of some characters.
func (p *parser) until(ends string) string {
	rest := p.text[p.pos:]
	if i := strings.IndexAny(rest, ends); i >= 0 {
		rest = rest[:i]
	}
	p.pos += len(rest)
	return rest
}

func (p *parser) script(in where, depth int) (*node, error) {
	at := p.pos
	if depth > maxDepth {
		return nil, fail(at, "more than %d expressions in each other", maxDepth)
	}
	name := p.until("(),{}")
	if in&inMini != 0 && (name == "0" || name == "1" || strings.HasSuffix(name, ":0") || strings.HasSuffix(name, ":1")) {
		return &node{word: name}, nil
	}
	bare := name
	if wraps, rest, ok := strings.Cut(name, ":"); ok && in&inMini != 0 && strings.Trim(wraps, wrappers) == "" {
		bare = rest
	}
	f, ok := forms[bare]
	if !ok || !p.take("(") {
		return nil, fail(at, "%s is not a valid descriptor function", quoteName(name))
	}
	if f.where&in == 0 {
		return nil, fail(at, "Can not have %s() %s", bare, in.name())
	}
	inner := f.inner
	if inner == inMini {
		inner = in
	}
	n := &node{fn: name}
	for i := 0; i < len(f.args); i++ {
		kind, optional, more := f.args[i], false, strings.HasSuffix(f.args[i:], "+") && len(f.args[i:]) == 2
		if kind == '+' {
			break
		}
		if kind == '?' {
			optional = true
			i++
			kind = f.args[i]
		}
		for again := true; again; again = more && p.pos < len(p.text) && p.text[p.pos] == ',' {
			if optional && p.pos < len(p.text) && p.text[p.pos] == ')' {
				break
			}
			if len(n.args) > 0 && !p.take(",") {
				return nil, fail(p.pos, "%s(): expected ','", bare)
			}
			arg, err := p.argument(kind, bare, in, inner, depth)
			if err != nil {
				return nil, err
			}
			n.args = append(n.args, arg)
		}
	}
	if !p.take(")") {
		return nil, fail(p.pos, "%s(): expected ')'", bare)
	}
	return n, n.check(bare, at)
}

// quoteName repeats the name of a function, but nothing that may be a key.
func quoteName(name string) string {
	if len(name) > 20 {
		return "what stands here"
	}
	return fmt.Sprintf("'%s'", name)
}

func (in where) name() string {
	switch in {
	case inSH:
		return "inside sh()"
	case inWSH:
		return "inside wsh()"
	case inTR:
		return "inside tr()"
	default:
		return "at top level"
	}
}

// argument reads one argument of the function fn, which stands in in.
func (p *parser) argument(kind byte, fn string, in, inner where, depth int) (*node, error) {
	at := p.pos
	switch kind {
	case 's':
		return p.script(inner, depth+1)
	case 't':
		return p.tree(depth + 1)
	case 'k':
		k, err := p.keyExpression(keyContext(fn, in))
		return &node{key: k}, err
	}
	n := &node{word: p.until("(),{}")}
	switch kind {
	case 'n':
		v, err := strconv.ParseUint(n.word, 10, 32)
		if err != nil || strconv.FormatUint(v, 10) != n.word {
			return nil, fail(at, "%s(): not a number", fn)
		}
	case 'h', 'H':
		want := map[byte]int{'h': 64, 'H': 40}[kind]
		if b, err := hex.DecodeString(n.word); err != nil || len(b)*2 != want {
			return nil, fail(at, "%s(): want %d hex digits", fn, want)
		}
		n.word = strings.ToLower(n.word)
	case 'x':
		b, err := hex.DecodeString(n.word)
		if err != nil || len(b) == 0 {
			return nil, fail(at, "Raw script is not hex")
		}
		n.word = hex.EncodeToString(b)
		if output, ok := consensus.TaprootKey(b); ok {
			n.output = &output
		}
	case 'a':
		output, err := consensus.ParseAddress(p.net.AddressPrefix, n.word)
		if err != nil {
			return nil, fail(at, "Address is not valid: %v", err)
		}
		n.output, n.word = &output, strings.ToLower(n.word)
	}
	return n, nil
}

// tree reads a tree of scripts (BIP386).
func (p *parser) tree(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fail(p.pos, "tr() supports at most %d nesting levels", maxDepth)
	}
	if !p.take("{") {
		return p.script(inTR, depth)
	}
	left, err := p.tree(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.take(",") {
		return nil, fail(p.pos, "tr(): expected ',' after script expression")
	}
	right, err := p.tree(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.take("}") {
		return nil, fail(p.pos, "tr(): expected '}' after script expression")
	}
	return &node{fn: "{", args: []*node{left, right}}, nil
}

// check looks at what the arguments mean together.
func (n *node) check(fn string, at int) error {
	if fn != "thresh" && !strings.Contains(fn, "multi") {
		return nil
	}
	threshold, _ := strconv.Atoi(n.args[0].word)
	if threshold < 1 || threshold > len(n.args)-1 {
		return fail(at, "%s(): a threshold of %d of %d", fn, threshold, len(n.args)-1)
	}
	return nil
}

// checkMultipath wants all multipath steps of a descriptor to be of one length
// (BIP389).
func (n *node) checkMultipath() (err error) {
	length := 1
	n.any(func(k *key) bool {
		switch paths := k.paths(); {
		case paths > 1 && length > 1 && paths != length:
			err = fail(k.at, "Multipath derivation paths have mismatched lengths")
		case paths > 1:
			length = paths
		}
		return err != nil
	})
	return err
}

// any reports whether f is true for a key.
func (n *node) any(f func(*key) bool) bool {
	return n.key != nil && n.key.any(f) || slices.ContainsFunc(n.args, func(a *node) bool { return a.any(f) })
}

// replace gives the expression with other keys.
func (n *node) replace(f func(*key) *key) *node {
	c := *n
	if n.key != nil {
		c.key = f(n.key)
	}
	c.args = make([]*node, len(n.args))
	for i, a := range n.args {
		c.args[i] = a.replace(f)
	}
	return &c
}

// form in which a descriptor is written.
type writeForm uint8

const (
	formPublic writeForm = iota
	formPrivate
)

func (n *node) write(f writeForm) string {
	switch {
	case n.key != nil:
		return n.key.write(f)
	case n.fn == "":
		return n.word
	}
	args := make([]string, len(n.args))
	for i, a := range n.args {
		args[i] = a.write(f)
	}
	if n.fn == "{" {
		return "{" + strings.Join(args, ",") + "}"
	}
	return n.fn + "(" + strings.Join(args, ",") + ")"
}
