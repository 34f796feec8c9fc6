// Command hopyard runs computer networks inside one process: hopyard run LAB.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hopyard/hopyard/internal/diag"
)

// Exit statuses, as --help tells them.
const (
	exitOK          = 0
	exitNotHeld     = 1 // the lab ran, and something it expects did not hold
	exitUsage       = 2 // the command or a file is wrong
	exitInterrupted = 130
)

// exitError ends the program with a status and, where it holds an error, a message.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run()) }

// run is main with a status, as testscript wants it.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root := newRoot()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	stderr := root.ErrOrStderr()
	var list diag.List
	var exit *exitError
	switch {
	case errors.As(err, &list):
		fmt.Fprint(stderr, list.Render(colourOn(root, stderr)))
	case err.Error() != "":
		fmt.Fprintf(stderr, "hopyard: %v\n", err)
	}
	if errors.As(err, &exit) {
		return exit.status
	}
	return exitUsage
}

// newRoot is the command with all its subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hopyard",
		Short: "A whole network inside one process",
		Long: `hopyard runs a computer network, described in a lab file, inside one process: real
bytes on every link, ordinary programs on every host, in virtual time or live.

  hopyard new                 write a lab to start from
  hopyard run lab.yaml        run it and see what happened
  hopyard explain lab.yaml    every packet of it, layer by layer

Exit status: 0 all is well; 1 the lab ran and something it expects did not hold;
2 the command or a file is wrong; 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().String("color", "auto", "when to use colours: auto, always or never")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		when, _ := cmd.Flags().GetString("color")
		if !slices.Contains([]string{"auto", "always", "never"}, when) {
			return fmt.Errorf("--color is %q; it takes auto, always or never", when)
		}
		return nil
	}
	root.AddCommand(newRun(), newValidate(), newPlot(), newShow(), newExplain(), newIP(), newNew(), newDoctor(), newVersion())
	return root
}

// colourOn tells whether w gets colours: on a terminal only, never with NO_COLOR
// (https://no-color.org), unless --color says otherwise.
func colourOn(cmd *cobra.Command, w io.Writer) bool {
	switch when, _ := cmd.Flags().GetString("color"); when {
	case "always":
		return true
	case "never":
		return false
	}
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}
