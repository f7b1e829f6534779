// Walls measures how far the packages of Lode are houses that one can live in: how
// many methods their largest type has, and how many of their files refer to each
// other in one knot.
//
//	go run ./testnet/walls ./chain ./p2p ./mempool ./rpc
//
// A file refers to another of its package where it uses anything that is declared
// there: a type, a function, a method, a field, a constant. Files that can all be
// reached from each other that way are a knot (a strongly connected component): who
// wants to understand one of them must read them all. With -v the knots are listed.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	verbose := flag.Bool("v", false, "name the files of the knots")
	flag.Parse()
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./chain/...", "./p2p/...", "./mempool/...", "./rpc/..."}
	}
	measures, err := countAll(patterns)
	if err != nil {
		fmt.Fprintln(os.Stderr, "walls:", err)
		os.Exit(1)
	}
	for _, m := range measures {
		fmt.Printf("%-24s %3d files, %3d methods on %s, %3d files in the largest knot\n", strings.TrimPrefix(m.path, "lode/"), m.files, m.methods, m.typ, len(m.knot))
		if *verbose && len(m.knot) > 0 {
			fmt.Println("    " + strings.Join(m.knot, " "))
		}
	}
}
