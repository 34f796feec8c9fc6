package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate LAB...",
		Short: "Tell everything that is wrong with a lab file, without running it",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var firstErr error
			for _, path := range args {
				l, err := hopyard.Open(path)
				if err != nil {
					if firstErr == nil {
						firstErr = err
						continue
					}
					fmt.Fprintln(cmd.ErrOrStderr(), err)
					continue
				}
				fmt.Fprint(cmd.ErrOrStderr(), l.Warnings().Render(colourOn(cmd, cmd.ErrOrStderr())))
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", path, l.Summary())
			}
			return firstErr
		},
	}
}
