package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestRPCParam(t *testing.T) {
	digits := strings.Repeat("1234567890", 7)
	for arg, want := range map[string]string{
		"5": `5`, "-5": `-5`, "1.50000000": `1.50000000`, "true": `true`, "false": `false`, "null": `null`,
		`{"a":[1,"x"]}`: `{"a":[1,"x"]}`, `["a"]`: `["a"]`, " 5 ": `5`,
		"": `""`, "x": `"x"`, "5x": `"5x"`, "0200": `"0200"`, "+5": `"+5"`, ".5": `".5"`, "True": `"True"`,
		`"5"`: `"\"5\""`, "[1": `"[1"`, "--x": `"--x"`, digits[:64]: `"` + digits[:64] + `"`, digits[:40]: digits[:40],
	} {
		got, err := json.Marshal(rpcParam(arg))
		if err != nil || string(got) != want {
			t.Errorf("%q is sent as %s, %v; want %s", arg, got, err, want)
		}
	}
}

func TestPrintResult(t *testing.T) {
	for result, want := range map[string]string{
		`"a\nb"`: "a\nb\n", `5`: "5\n", `null`: "", `1.50000000`: "1.50000000\n", `[]`: "[]\n", `{"b":1,"a":"<"}`: "{\n  \"b\": 1,\n  \"a\": \"<\"\n}\n", `false`: "false\n",
	} {
		var out bytes.Buffer
		if err := printResult(&out, json.RawMessage(result)); err != nil || out.String() != want {
			t.Errorf("%s is printed as %q, %v; want %q", result, out.String(), err, want)
		}
	}
}
