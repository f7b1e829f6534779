package manual

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rpc.md")

// The page says what the table says.
func TestPageIsUpToDate(t *testing.T) {
	const page = "../../docs/rpc.md"
	want := Page()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != want {
		t.Errorf("docs/rpc.md is out of date: go test ./rpc/manual -update (%v)", err)
	}
}

// Explorers find the arguments of a call by this form, and each example fits its
// call.
func TestHelpIsReadByTools(t *testing.T) {
	argument := regexp.MustCompile(`^(\d+)\. (\w+) +\((string|numeric|boolean|json object|json array|numeric or string|any|[a-z ]+), (required|optional(, default=.+)?)\) .+$`)
	for name, m := range Methods() {
		_, args, _ := strings.Cut(m.Help(), "\nArguments:\n")
		args, _, _ = strings.Cut(args, "\n\nResult")
		count := 0
		for line := range strings.Lines(args) {
			if line[0] >= '0' && line[0] <= '9' {
				count++
				if line = strings.TrimSpace(line); !argument.MatchString(line) && m.Params[0].About != "" {
					t.Errorf("%s: the argument %q has not the usual form", name, line)
				}
			}
		}
		if count != len(m.Params) {
			t.Errorf("%s: %d arguments shown, want %d", name, count, len(m.Params))
		}
		for _, example := range m.Examples {
			dec := json.NewDecoder(strings.NewReader(example))
			for i := 0; dec.More(); i++ {
				var raw json.RawMessage
				if err := dec.Decode(&raw); err != nil || i >= len(m.Params) || m.Params[i].Wants() != "" && m.Params[i].Wants() != Kind(raw) {
					t.Errorf("%s: the example %q does not fit (%v)", name, example, err)
					break
				}
			}
		}
	}
}

const table = `
== Testing ==

fragment pair
  a num  The first.
  b? hex The second.

dothis
  Does this,
  twice.
  > what|thing hex  What to do it to.
  > how []
    {}
      @pair
      *address amount  How much.
  > times num="as often as it takes"  How often.
  < (times = 0) null
  < []
    {}
      @pair
      deep {} Parts.
        x? [num] Numbers.
  $ "00" [{"a":1}]
dothat hidden
  Does that.
  < bool True.
`

func parsed(t *testing.T, text string) map[string]*Method {
	t.Helper()
	p := &parser{fragments: make(map[string][]*Node), table: make(map[string]*Method)}
	if err := p.parse("test", text); err != nil {
		t.Fatal(err)
	}
	return p.table
}

func TestHelpHasSections(t *testing.T) {
	const want = `dothis "what" [{"a":n,"b":"hex","address":n.nnnnnnnn},...] ( times )

Does this, twice.

Arguments:
1. what                             (string, required) What to do it to.
2. how                              (json array, required)
     [
       {                            (json object)
         "a": n,                    (numeric, required) The first.
         "b": "hex",                (string, optional) The second.
         "address": n.nnnnnnnn      (numeric or string, required) How much.
       },
       ...
     ]
3. times                            (numeric, optional, default=as often as it takes) How often.

Result (times = 0):
null    (json null)

Result:
[                       (json array)
  {                     (json object)
    "a": n,             (numeric) The first.
    "b": "hex",         (string, optional) The second.
    "deep": {           (json object) Parts.
      "x": [            (json array, optional) Numbers.
        n,              (numeric)
        ...
      ]
    }
  },
  ...
]

Examples:
> lode rpc dothis "00" '[{"a":1}]'
> curl --user myusername --data-binary '{"jsonrpc": "2.0", "id": "curltest", "method": "dothis", "params": ["00", [{"a":1}]]}' -H 'content-type: application/json' http://127.0.0.1:9556/`
	methods := parsed(t, table)
	if got := methods["dothis"].Help(); squeeze(got) != squeeze(want) {
		t.Errorf("help:\n%s\nwant\n%s", got, want)
	}
	if got := List(methods); got != "== Testing ==\n"+methods["dothis"].Usage() {
		t.Errorf("the list: %q", got)
	}
	if got := methods["dothis"].Required(); got != 2 {
		t.Errorf("%d required arguments, want 2", got)
	}
}

// squeeze has one space where there are several.
func squeeze(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

func TestResultIsChecked(t *testing.T) {
	m := parsed(t, table)["dothis"]
	for _, good := range []string{`null`, `[]`, `[{"a":1,"deep":{}}]`, `[{"a":1,"b":"00ff","deep":{"x":[1,2]}}]`} {
		if err := m.Check(json.RawMessage(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		`true`, `{}`, `[1]`, `[{"deep":{}}]`, `[{"a":"1","deep":{}}]`, `[{"a":1,"b":"0","deep":{}}]`, `[{"a":1,"deep":{},"c":1}]`, `[{"a":1,"deep":{"x":["1"]}}]`,
	} {
		if m.Check(json.RawMessage(bad)) == nil {
			t.Errorf("%s is not what the table says, but passes", bad)
		}
	}
}

// An error in the table names its line.
func TestTableErrors(t *testing.T) {
	for text, want := range map[string]string{
		"do\n  It.\n  < null":                               "test:1: stands before the first group",
		"== A ==\ndo\n  It.\n":                              "test:2: do says too little",
		"== A ==\ndo\n  It.\n  > x nothing\n  < null":       "test:4: there is no type nothing",
		"== A ==\ndo\n  It.\n  > x @\n  < null":             "test:4: has no type",
		"== A ==\ndo\n  It.\n  < {}\n    @f\n":              "test:5: there is no fragment f",
		"== A ==\ndo\n  It.\n  < null\ndo\n  It.\n  < null": "test:5: is there twice, or is no name of a call",
		"== A ==\n  < null":                                 "test:2: belongs to no call",
	} {
		p := &parser{fragments: make(map[string][]*Node), table: make(map[string]*Method)}
		if err := p.parse("test", text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
