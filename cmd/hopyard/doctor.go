package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard/internal/doctor"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine lets hopyard do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := doctor.Examine(cmd.Context())
			out := cmd.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				return e.Encode(findings)
			}
			status := exitOK
			for _, f := range findings {
				mark := "ok  "
				switch {
				case !f.OK && f.Needed:
					mark, status = "FAIL", exitNotHeld
				case !f.OK:
					mark = "none"
				}
				fmt.Fprintf(out, "%s  %-13s %s (for %s)\n", mark, f.Name, f.Found, f.For)
				if !f.OK && f.Advice != "" {
					fmt.Fprintf(out, "      %-13s %s\n", "", f.Advice)
				}
			}
			if status != exitOK {
				return &exitError{status: status}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
