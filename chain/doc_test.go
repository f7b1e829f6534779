package chain

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadingOrder: the doc comment of the package names each of its files once, and
// none that is not there.
func TestReadingOrder(t *testing.T) {
	doc, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b\w+\.go\b`).FindAllString(doc.Doc.Text(), -1)
	slices.Sort(named)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return name == "doc.go" || strings.HasSuffix(name, "_test.go") })
	slices.Sort(files)
	for _, name := range files {
		if _, ok := slices.BinarySearch(named, name); !ok {
			t.Errorf("the doc comment does not say when to read %s", name)
		}
	}
	for i, name := range named {
		if _, ok := slices.BinarySearch(files, name); !ok || i > 0 && named[i-1] == name {
			t.Errorf("the doc comment names %s, which is not there, or twice", name)
		}
	}
}
