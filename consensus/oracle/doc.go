// Package oracle holds no code of Lode's. Its tests ask btcd, a full node that
// was written by others, what it thinks of random transactions and blocks, and
// want the same verdict from the rules:
//
//	go test ./consensus/oracle -run Oracle -oracle.n=100000
//
// They are a package of their own so that btcd's consensus code is never
// imported by anything that ships.
package oracle
