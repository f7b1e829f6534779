// Package musig makes signatures of several owners who have one key together
// (MuSig2, BIP327). On the chain they look like anybody's: one key, one signature.
// All owners must sign; thresholds (k of n) are another protocol.
//
// Read it in this order: key.go (aggregated keys and what is derived from them,
// BIP328); session.go (what signers exchange, and the signature in the end);
// nonces.go, nonceio.go, anchor.go (secret nonces, the dangerous part); psbt.go and
// step.go (all of it through the fields of BIP373); account.go, describe.go (the
// descriptor of an account, and what PSBTs say of its keys).
//
// # A signer, for one input
//
//	state    what is in the PSBT                     what Step does
//	begin    no nonce of the signer's, and           keeps a secret nonce in a file,
//	         others' are missing too                 adds the public one
//	waiting  its nonce; others' are missing          nothing, names who is missing
//	last     no nonce of the signer's, all others'   makes one in memory, adds it
//	                                                 and the partial signature
//	ready    all nonces                              takes the secret nonce out of
//	                                                 its file, for good, and adds
//	                                                 the partial signature
//	signed   its partial signature                   nothing; with those of all the
//	                                                 signature is made
//
// What never happens is that one secret nonce makes two partial signatures: from
// two of them over different sessions anybody computes the signer's private key.
//
// # The nonce files
//
// A directory beside the wallet (DirOf) holds two files for every session:
//
//	ID.nonce   a JSON object, nonceDoc: what the nonce is for, in plain, and the
//	           secret nonce sealed (XChaCha20-Poly1305) with a key that only the
//	           signer's private key gives
//	ID.anchor  a note for people. It is the right to use the nonce once
//
// The nonce file names the anchor as the system knows it: device, inode number,
// time of the last change of the inode, and the boot of the machine. A copy of an
// anchor is another file, wherever it comes from, and its nonce is refused.
// See docs/decisions/0013-musig-nonces.md for what that covers and what it cannot.
package musig
