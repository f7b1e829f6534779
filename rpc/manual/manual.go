// Package manual is the one table of the RPC's calls: their arguments, results and
// examples. What help prints, the page docs/rpc.md, and what a call with wrong
// arguments is told all come from it.
//
// The table is text, one file a group. It reads as follows.
//
//	== Blockchain ==
//
//	fragment script
//	  asm string  The script in words.
//	  hex hex     The script.
//
//	getblock
//	  What the call does.
//	  > blockhash hex  The hash of the block.
//	  > verbosity|verbose num=1  0 for hex, 1 for an object.
//	  < (verbosity = 0) hex  The block.
//	  < (verbosity = 1) {}
//	    hash hex    Its hash.
//	    prev? hex   Absent for the genesis block.
//	    tx [hex]    The ids of its transactions.
//	    scripts []
//	      {}
//	        @script
//	  $ "00ab" 1
//
// ">" begins an argument, "<" a result with the condition for it, and "$" the
// arguments of an example, as JSON values. A line is a name, where one is needed, a
// type and what it is. Other names of an argument follow behind "|". A name with "?" and an
// argument with a default ("=1", or ="in words") may be left out; "*name" stands for
// all members of an object whose names are data. What an object or a list holds is
// indented below it; "@x" puts in a fragment. A call marked "hidden" is not listed.
//
// The types are string, hex, num, amount (coins), time (Unix seconds), bool, null, any,
// {}, [], and T|U where the call itself looks at the type.
package manual

import (
	"cmp"
	"embed"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Method is what the table says of one call.
type Method struct {
	Group    string
	Name     string
	Hidden   bool // help does not list it
	About    string
	Params   []*Node
	Results  []*Node
	Examples []string // arguments as JSON values with spaces between them
}

// Node is an argument, a result, or a part of one.
type Node struct {
	When     string // the condition for a result
	Name     string // empty for what has none, "*key" for any
	Aliases  []string
	Optional bool
	Type     string
	Default  string // in JSON or in words
	Usage    string // of an argument, where it does not follow from the rest
	About    string
	Parts    []*Node // of {} and []
}

// form is {} or [] for what has parts; where it may be either, the first one.
func (n *Node) form() string {
	if f, _, _ := strings.Cut(n.Type, "|"); f == "{}" || f == "[]" {
		return f
	}
	return ""
}

// Names are all names of an argument, the first one first.
func (n *Node) Names() []string { return append([]string{n.Name}, n.Aliases...) }

// Required is how many arguments a call must have: all up to the last one that may
// not be left out.
func (m *Method) Required() int {
	for i, p := range slices.Backward(m.Params) {
		if !p.Optional {
			return i + 1
		}
	}
	return 0
}

//go:embed *.txt
var files embed.FS

// Methods are all calls by name. The table is read once; an error in it is one of
// the program.
var Methods = sync.OnceValue(func() map[string]*Method {
	p := &parser{fragments: make(map[string][]*Node), table: make(map[string]*Method)}
	entries, err := files.ReadDir(".")
	names := []string{shared}
	for _, entry := range entries {
		if entry.Name() != shared {
			names = append(names, entry.Name())
		}
	}
	for _, name := range names {
		if err == nil {
			var text []byte
			text, err = files.ReadFile(name)
			err = cmp.Or(err, p.parse(name, string(text)))
		}
	}
	if err != nil {
		panic("the table of RPC calls: " + err.Error())
	}
	return p.table
})

// shared is the file of the fragments that all groups may use.
const shared = "fragments.txt"

// sorted are calls by group and name.
func sorted(table map[string]*Method) []*Method {
	return slices.SortedFunc(maps.Values(table), func(a, b *Method) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Name, b.Name))
	})
}

// List is what help says without an argument: the calls by group.
func List(table map[string]*Method) string {
	var b strings.Builder
	group := ""
	for _, m := range sorted(table) {
		if m.Hidden {
			continue
		}
		if m.Group != group {
			if group != "" {
				b.WriteByte('\n')
			}
			group = m.Group
			b.WriteString("== " + group + " ==\n")
		}
		b.WriteString(m.Usage() + "\n")
	}
	return strings.TrimSpace(b.String())
}
