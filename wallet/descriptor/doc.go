// Package descriptor reads and writes output descriptors (BIP380) and derives
// from those of Taproot.
//
// Understood to the end, so that keys, scripts and addresses can be derived:
//
//	tr(KEY)       one key, tweaked with no scripts (BIP386)
//	rawtr(KEY)    an output key as it is
//	addr(ADDR)    of Taproot; nothing is known of its key
//	raw(HEX)      the script of a Taproot output; nothing is known of its key
//
// KEY is a public key (32 bytes, or 33 compressed), a private one (WIF) or an
// extended one (BIP32) with a path, each with or without an origin:
//
//	[d34db33f/86h/1h/0h]tpub.../0/*     ranged: * is the index
//	tprv.../86h/1h/0h/<0;1>/*           two descriptors at once (BIP389), see Expand
//	musig(KEY,KEY,...)/0/*              an aggregate of MuSig2 (BIP390, BIP328)
//
// All others (wpkh, sh, multi, tr with scripts, ...) are read, checked and written
// back, so that tools can carry them about. Whatever is to be derived from them is
// refused with the reason, of kind ErrUnsupported: Lode's rules know no scripts.
//
// Errors are of kind ErrDescriptor and say at which character. They never repeat a
// key, as it may be a private one.
package descriptor
