package descriptor

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/address/v2/base58"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
)

// hardened is what BIP32 adds to the number of a step that only the private key
// can take.
const hardened = hdkeychain.HardenedKeyStart

// key is a key expression (BIP380): one of raw, wif, ext and parts is set.
type key struct {
	net   *Network
	at    int // of its first character
	rules keyRules

	origin     *origin
	apostrophe bool // hardened steps are written ' and not h

	raw      *btcec.PublicKey
	shape    keyShape // in which raw, or the public key of wif, is written
	wif      *btcec.PrivateKey
	ext      *hdkeychain.ExtendedKey
	parts    []*key // of musig()
	steps    []step // behind ext or musig()
	wildcard wildcard

	parent    *hdkeychain.ExtendedKey // what steps lead to, public unless wildcard is hardened
	parentErr error                   // why there is none
	single    *btcec.PublicKey        // the key, if it is the same for every index
}

// keyShape is how a public key is written.
type keyShape uint8

const (
	compressed keyShape = iota
	uncompressed
	xOnly
)

type wildcard uint8

const (
	noWildcard wildcard = iota
	anyChild            // /*
	anyHardened
)

// origin says what a key was derived from.
type origin struct {
	fingerprint [4]byte
	path        []uint32
}

// step is one step of a path: one number, or the numbers of several paths.
type step []uint32

// keyRules say which keys may stand somewhere.
type keyRules struct{ uncompressed, xOnly, musig bool }

// keyContext gives the rules for the keys of a function.
func keyContext(fn string, in where) keyRules {
	taproot := fn == "tr" || fn == "rawtr" || in == inTR
	legacy := (in == inTop || in == inSH) && fn != "wpkh"
	return keyRules{uncompressed: legacy && !taproot, xOnly: taproot, musig: taproot}
}

// keyExpression reads a key.
func (p *parser) keyExpression(rules keyRules) (*key, error) {
	k := &key{net: p.net, at: p.pos, rules: rules}
	if strings.HasPrefix(p.text[p.pos:], "musig(") {
		if !rules.musig {
			return nil, fail(k.at, "musig() is only allowed in tr() and rawtr()")
		}
		return k, p.musig(k)
	}
	if err := p.origin(k); err != nil {
		return nil, err
	}
	at := p.pos
	word := p.until("/(),{}[]")
	switch {
	case word == "":
		return nil, fail(at, "No key provided")
	case strings.TrimSpace(word) != word:
		return nil, fail(at, "Key is invalid due to whitespace")
	}
	path := p.pos < len(p.text) && p.text[p.pos] == '/'
	err := k.read(word, at, path)
	if err == nil && path {
		err = p.path(k, true)
	}
	return k, err
}

// origin reads [fingerprint/path] if it is there.
func (p *parser) origin(k *key) error {
	if !p.take("[") {
		return nil
	}
	at := p.pos
	fingerprint, err := hex.DecodeString(p.until("/](),{}["))
	switch {
	case p.pos-at != 8:
		return fail(at, "Fingerprint is not 4 bytes (%d characters instead of 8 characters)", p.pos-at)
	case err != nil:
		return fail(at, "Fingerprint is not hex")
	}
	k.origin = &origin{fingerprint: [4]byte(fingerprint)}
	for p.take("/") {
		n, err := p.number(k, "/](),{}[")
		if err != nil {
			return err
		}
		k.origin.path = append(k.origin.path, n)
	}
	if !p.take("]") {
		return fail(p.pos, "key origin: expected ']'")
	}
	if strings.HasPrefix(p.text[p.pos:], "[") {
		return fail(p.pos, "more than one key origin")
	}
	return nil
}

// maxSteps bounds the paths of a key: BIP32 keeps the depth in a byte.
const maxSteps = 255

// path reads the steps behind a key. hardenedOK says whether it may have a
// private key.
func (p *parser) path(k *key, hardenedOK bool) error {
	multi := false
	for p.take("/") {
		at := p.pos
		if k.wildcard != noWildcard {
			return fail(at, "something follows the *")
		}
		if len(k.steps) == maxSteps {
			return fail(at, "more than %d steps", maxSteps)
		}
		switch {
		case p.take("*"):
			k.wildcard = anyChild
			if apostrophe := p.take("'"); apostrophe || p.take("h") {
				k.wildcard = anyHardened
				if !slices.ContainsFunc(k.steps, step.isHardened) { // else their mark is kept, as in Bitcoin Core
					k.apostrophe = apostrophe
				}
			}
		case p.take("<"):
			if multi {
				return fail(at, "Multiple multipath key path specifiers found")
			}
			multi = true
			if err := p.multipath(k); err != nil {
				return err
			}
		default:
			n, err := p.number(k, "/(),{}<>;[]")
			if err != nil {
				return err
			}
			k.steps = append(k.steps, step{n})
		}
		if !hardenedOK && (k.wildcard == anyHardened || len(k.steps) > 0 && k.steps[len(k.steps)-1].isHardened()) {
			return fail(at, "musig(): cannot have hardened derivation steps")
		}
	}
	return nil
}

func (s step) isHardened() bool {
	for _, n := range s {
		if n >= hardened {
			return true
		}
	}
	return false
}

// multipath reads the numbers of <0;1> behind its first character.
func (p *parser) multipath(k *key) error {
	at := p.pos
	var s step
	seen := map[uint32]bool{}
	for {
		at := p.pos
		n, err := p.number(k, ";>/(),{}[]")
		if err != nil {
			return err
		}
		if seen[n] {
			return fail(at, "Duplicated key path value %d in multipath specifier", n)
		}
		seen[n] = true
		s = append(s, n)
		if p.take(">") {
			break
		}
		if !p.take(";") {
			return fail(p.pos, "multipath specifier: expected ';' or '>'")
		}
	}
	if len(s) < 2 {
		return fail(at, "Multipath key path specifiers must have at least two items")
	}
	k.steps = append(k.steps, s)
	return nil
}

// number reads the number of a step, with its mark if it is hardened.
func (p *parser) number(k *key, ends string) (uint32, error) {
	at := p.pos
	word := p.until(ends)
	mark := uint32(0)
	if bare := strings.TrimRight(word, "h'"); len(word)-len(bare) == 1 {
		k.apostrophe = word[len(word)-1] == '\''
		word, mark = bare, hardened
	}
	n, err := strconv.ParseUint(word, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && n >= hardened:
		return 0, fail(at, "Key path value is out of range: want less than %d", uint32(hardened))
	case err != nil || strings.HasPrefix(word, "+"):
		return 0, fail(at, "Key path value is not a number")
	}
	return uint32(n) | mark, nil
}

var errOffCurve = errors.New("not a point of the curve")

// parseXOnly reads the x coordinate of a public key (BIP340).
func parseXOnly(b []byte) (*btcec.PublicKey, error) {
	k, err := schnorr.ParsePubKey(b)
	if err != nil {
		return nil, errOffCurve
	}
	return k, nil
}

// read reads a key without origin and path.
func (k *key) read(word string, at int, path bool) error {
	if b, err := hex.DecodeString(word); err == nil {
		if path {
			return fail(at, "a path wants an extended key before it")
		}
		return k.readHex(b, at)
	}
	payload, version, err := base58.CheckDecode(word)
	switch {
	case errors.Is(err, base58.ErrChecksum):
		return fail(at, "key is not valid: its checksum is wrong, so it is mistyped or cut")
	case err != nil:
		return fail(at, "key is not valid: want hex, a private key (WIF) or an extended key")
	case len(payload) == 32 || len(payload) == 33 && payload[32] == 1:
		return k.readWIF(payload, version, at, path)
	}
	ext, err := hdkeychain.NewKeyFromString(word)
	if err != nil {
		return fail(at, "key is not valid: want hex, a private key (WIF) or an extended key")
	}
	want := k.net.Public
	if ext.IsPrivate() {
		want = k.net.Private
	}
	if [4]byte(ext.Version()) != want {
		return fail(at, "key is of another network")
	}
	if ext.Depth() == 0 && (ext.ParentFingerprint() != 0 || ext.ChildIndex() != 0) {
		return fail(at, "key is not valid: a master key that has a parent")
	}
	k.ext = ext
	return nil
}

func (k *key) readHex(b []byte, at int) (err error) {
	switch {
	case len(b) == 32 && k.rules.xOnly:
		k.raw, err = parseXOnly(b)
		k.shape = xOnly
	case len(b) == 65 && b[0] == 4 && !k.rules.uncompressed:
		return fail(at, "Uncompressed keys are not allowed")
	case len(b) == 65 && (b[0] == 6 || b[0] == 7):
		return fail(at, "Hybrid public keys are not allowed")
	case len(b) == 65:
		k.raw, err = btcec.ParsePubKey(b)
		k.shape = uncompressed
	case len(b) == 33:
		k.raw, err = btcec.ParsePubKey(b)
	default:
		return fail(at, "Pubkey is invalid: %d bytes", len(b))
	}
	if err != nil {
		return fail(at, "Pubkey is invalid: it is no point of the curve")
	}
	return nil
}

func (k *key) readWIF(payload []byte, version byte, at int, path bool) error {
	var scalar btcec.ModNScalar
	overflow := scalar.SetByteSlice(payload[:32])
	switch {
	case version != k.net.WIF:
		return fail(at, "key is of another network")
	case overflow || scalar.IsZero():
		return fail(at, "key is not valid: no private key has this value")
	case len(payload) == 32 && !k.rules.uncompressed:
		return fail(at, "Uncompressed keys are not allowed")
	case path:
		return fail(at, "a path wants an extended key before it")
	case len(payload) == 32:
		k.shape = uncompressed
	case k.rules.xOnly:
		k.shape = xOnly
	}
	k.wif = &btcec.PrivateKey{Key: scalar}
	return nil
}

// any reports whether f is true for a key, or one of its parts.
func (k *key) any(f func(*key) bool) bool {
	if f(k) {
		return true
	}
	for _, part := range k.parts {
		if part.any(f) {
			return true
		}
	}
	return false
}

func (k *key) isPrivate() bool { return k.wif != nil || k.ext != nil && k.ext.IsPrivate() }
func (k *key) isRange() bool   { return k.wildcard != noWildcard }

// paths is how many paths a key has of its own: 1 but for a multipath step.
func (k *key) paths() int {
	n := 1
	for _, s := range k.steps {
		n = max(n, len(s))
	}
	return n
}

// with gives a copy, to be prepared again, whose parts are changed by f.
func (k *key) with(f func(*key) *key) *key {
	c := *k
	c.parent, c.parentErr, c.single = nil, nil, nil
	c.parts = make([]*key, len(k.parts))
	for i, part := range k.parts {
		c.parts[i] = f(part)
	}
	return &c
}

// choose gives the key of one of several paths.
func (k *key) choose(i int) *key {
	c := k.with(func(part *key) *key { return part.choose(i) })
	c.steps = make([]step, len(k.steps))
	for j, s := range k.steps {
		c.steps[j] = step{s[min(i, len(s)-1)]}
	}
	return c
}

// neuter gives the key without what is private.
func (k *key) neuter() *key {
	c := k.with((*key).neuter)
	switch {
	case k.wif != nil:
		c.raw, c.wif = k.wif.PubKey(), nil
	case k.isPrivate():
		c.ext = neuter(k.ext, k.net.Public)
	}
	return c
}

// neuter gives the public side of an extended key. hdkeychain's own wants all
// networks to be registered globally.
func neuter(ext *hdkeychain.ExtendedKey, version [4]byte) *hdkeychain.ExtendedKey {
	if !ext.IsPrivate() {
		return ext
	}
	public, err := ext.ECPubKey()
	if err != nil {
		panic("descriptor: a private key without a public one: " + err.Error())
	}
	fp := ext.ParentFingerprint()
	return hdkeychain.NewExtendedKey(version[:], public.SerializeCompressed(), ext.ChainCode(),
		[]byte{byte(fp >> 24), byte(fp >> 16), byte(fp >> 8), byte(fp)}, ext.Depth(), ext.ChildIndex(), false)
}

// write gives the text of a key.
func (k *key) write(f writeForm) string {
	var b strings.Builder
	if k.origin != nil {
		b.WriteString("[" + hex.EncodeToString(k.origin.fingerprint[:]))
		for _, n := range k.origin.path {
			b.WriteString("/" + k.number(n))
		}
		b.WriteString("]")
	}
	switch {
	case len(k.parts) > 0:
		texts := make([]string, len(k.parts))
		for i, part := range k.parts {
			texts[i] = part.write(f)
		}
		b.WriteString("musig(" + strings.Join(texts, ",") + ")")
	case k.ext != nil && f == formPrivate:
		b.WriteString(k.ext.String())
	case k.ext != nil:
		b.WriteString(neuter(k.ext, k.net.Public).String())
	case k.wif != nil && f == formPrivate:
		b.WriteString(k.writeWIF())
	case k.wif != nil:
		b.WriteString(writePublic(k.wif.PubKey(), k.shape))
	default:
		b.WriteString(writePublic(k.raw, k.shape))
	}
	for _, s := range k.steps {
		texts := make([]string, len(s))
		for i, n := range s {
			texts[i] = k.number(n)
		}
		text := strings.Join(texts, ";")
		if len(s) > 1 {
			text = "<" + text + ">"
		}
		b.WriteString("/" + text)
	}
	switch k.wildcard {
	case anyChild:
		b.WriteString("/*")
	case anyHardened:
		b.WriteString("/*" + k.mark())
	}
	return b.String()
}

func (k *key) mark() string {
	if k.apostrophe {
		return "'"
	}
	return "h"
}

func (k *key) number(n uint32) string {
	if n >= hardened {
		return strconv.FormatUint(uint64(n-hardened), 10) + k.mark()
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (k *key) writeWIF() string {
	b := k.wif.Key.Bytes()
	payload := b[:]
	if k.shape != uncompressed {
		payload = append(payload, 1)
	}
	return base58.CheckEncode(payload, k.net.WIF)
}

func writePublic(p *btcec.PublicKey, shape keyShape) string {
	switch shape {
	case uncompressed:
		return hex.EncodeToString(p.SerializeUncompressed())
	case xOnly:
		return hex.EncodeToString(schnorr.SerializePubKey(p))
	default:
		return hex.EncodeToString(p.SerializeCompressed())
	}
}
