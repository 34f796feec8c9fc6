package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what scripts expect")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hopyard": func() { os.Exit(run()) }})
}

// TestScripts plays what people type and compares what they see.
func TestScripts(t *testing.T) {
	labs, err := filepath.Abs("../../labs")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("LABS", labs)
			return nil
		},
	})
}
