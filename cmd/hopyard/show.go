package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard"
)

func newShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show LAB",
		Short: "Draw the network: nodes, links, addresses, routes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := hopyard.Open(args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.ErrOrStderr(), l.Warnings().Render(colourOn(cmd, cmd.ErrOrStderr())))
			return l.Show(cmd.OutOrStdout())
		},
	}
}
