package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lode": func() {
		workFactor = 4 // scrypt would take most of the time
		main()
	}})
}

// TestScripts runs the command line as its users do, one script a command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"blocks": makeBlocks, "flip": flipBit},
		Setup: func(env *testscript.Env) error {
			// A home of its own, and nothing from the developer's environment.
			env.Setenv("HOME", env.WorkDir)
			return os.MkdirAll(env.WorkDir+"/tmp", 0o700)
		},
	})
}
