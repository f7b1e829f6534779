package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lode": func() {
		workFactor = 4 // scrypt would take most of the time
		main()
	}})
}

// TestScripts runs the command line as its users do, one script a command. In short
// (with the race detector a command takes long) it runs those in which a node runs for
// more than flags and answers.
func TestScripts(t *testing.T) {
	dir, files := "testdata/script", []string(nil)
	if testing.Short() {
		for _, name := range []string{"node", "node_agent", "node_notify", "node_storage", "mine_node", "mine_stratum", "rpc"} {
			files = append(files, filepath.Join(dir, name+".txtar"))
		}
		dir = ""
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		Files:               files,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"blocks": makeBlocks, "flip": flipBit, "listen": listenOnce},
		Setup: func(env *testscript.Env) error {
			// A home of its own, and nothing from the developer's environment.
			env.Setenv("HOME", env.WorkDir)
			return os.MkdirAll(env.WorkDir+"/tmp", 0o700)
		},
	})
}

// TestFirstHour runs every command of docs/first-hour.md, with a port that is free.
func TestFirstHour(t *testing.T) {
	doc, err := os.ReadFile("docs/first-hour.md")
	if err != nil {
		t.Fatal(err)
	}
	var steps strings.Builder
	steps.WriteString("trap 'kill $! 2>/dev/null || true' EXIT\n") // the node, where a step fails
	for line := range strings.Lines(string(doc)) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			steps.WriteString(strings.ReplaceAll(command, "127.0.0.1:18777", "127.0.0.1:0"))
		}
	}
	steps.WriteString("wait\n")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/firsthour",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			return os.WriteFile(env.WorkDir+"/steps.sh", []byte(steps.String()), 0o600)
		},
	})
}

// TestAgeOpensTheWallet has the age tool open the file of a wallet. It wants the
// program's path in LODE_TEST_AGE.
func TestAgeOpensTheWallet(t *testing.T) {
	tool := os.Getenv("LODE_TEST_AGE")
	if tool == "" {
		t.Skip("LODE_TEST_AGE is not set: make age")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/age",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("AGE", tool)
			// A script's files end with a new line, which the secret does not.
			text, err := os.ReadFile(env.WorkDir + "/secret")
			if err != nil {
				return err
			}
			return os.WriteFile(env.WorkDir+"/secret", bytes.TrimSpace(text), 0o600)
		},
	})
}
