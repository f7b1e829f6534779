package consensus

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestEveryFieldIsDocumented: SpecFields has each field of a chainspec, and no other.
func TestEveryFieldIsDocumented(t *testing.T) {
	var paths []string
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		for of.Kind() == reflect.Slice && of.Elem().Kind() != reflect.Uint8 {
			path, of = path+"[]", of.Elem()
		}
		leaf := true
		if of.Kind() == reflect.Struct {
			for i := range of.NumField() {
				f := of.Field(i)
				if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
					leaf = false
					walk(path+"."+name, f.Type)
				}
			}
		}
		if leaf {
			paths = append(paths, path[1:])
		}
	}
	walk("", reflect.TypeFor[Spec]())
	documented := map[string]bool{}
	for _, f := range SpecFields {
		if f.Doc == "" || documented[f.Path] {
			t.Errorf("%s: no text, or twice", f.Path)
		}
		documented[f.Path] = true
		if f.Path != "rules" && f.Path != "defaults" && !slices.Contains(paths, f.Path) {
			t.Errorf("%s is documented and no field", f.Path)
		}
	}
	for _, path := range paths {
		if !documented[path] {
			t.Errorf("%s is not documented: add it to SpecFields", path)
		}
	}
}
