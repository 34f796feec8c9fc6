package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard/labs"
)

func newNew() *cobra.Command {
	var list, force bool
	var from string
	cmd := &cobra.Command{
		Use:   "new [FILE]",
		Short: "Write a lab to start from",
		Long:  "Write a lab to start from: a commented copy of one that comes with hopyard. FILE is lab.yaml unless given.",
		Example: `  hopyard new
  hopyard new office.yaml --from lan-wan
  hopyard new --list`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				for _, name := range labs.Names() {
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
				return nil
			}
			path := "lab.yaml"
			if len(args) > 0 {
				path = args[0]
			}
			text, err := labs.Text(from)
			if err != nil {
				return err
			}
			flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
			if force {
				flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
			}
			f, err := os.OpenFile(path, flags, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already; --force writes over it", path)
			} else if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err = errors.Join(err, f.Close()); err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; next: hopyard run %s\n", path, path)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the labs there are to start from")
	cmd.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	cmd.Flags().StringVar(&from, "from", "first", "the lab to start from")
	return cmd
}
