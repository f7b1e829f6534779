// Package psbt reads, writes and changes partially signed transactions: version 0
// (BIP174) and version 2 (BIP370), with the fields of Taproot (BIP371), MuSig2
// (BIP373) and silent payments (BIP375). It knows the rules (lode/consensus) and
// neither keys, nodes nor files.
//
// A Packet is kept as what it is in the format: maps of records in the order in
// which they came. What was parsed is written back byte for byte, with fields
// that nobody here knows. Everything that a known field must be was checked when
// it was parsed, so that reading it later cannot fail. New records are put behind
// those of the same type, types ascending.
//
// The roles of the BIPs are:
//
//	Creator, Constructor   New
//	Updater                the setters of Input and Output
//	Signer                 Packet.Sign, Packet.Hasher (for signers of several rounds)
//	Combiner               Combine, Join
//	Finalizer              Packet.Finalize
//	Extractor              Packet.Extract
//
// Only what Lode's rules know is signed, verified and finalized: Taproot outputs
// spent by the key path. Records about other scripts are kept and written back.
package psbt
