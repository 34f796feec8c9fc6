package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard"
)

func newPlot() *cobra.Command {
	var o hopyard.RunOptions
	var file string
	var what, only []string
	cmd := &cobra.Command{
		Use:   "plot LAB",
		Short: "Run a lab and draw how its TCP connections went",
		Long: `plot runs a lab and draws, over time, the state of the connections that its loads
of tcp make: in the terminal or, with -o, as an SVG picture.

What can be drawn: ` + strings.Join(hopyard.Plots(), ", ") + `.`,
		Example: `  hopyard plot labs/tcp-congestion.yaml
  hopyard plot labs/tcp-congestion.yaml --what cwnd,rtt -o sawtooth.svg`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, w := range what {
				if !slices.Contains(hopyard.Plots(), w) {
					return fmt.Errorf("--what %s: there is %s", w, strings.Join(hopyard.Plots(), ", "))
				}
			}
			l, err := hopyard.Open(args[0])
			if err != nil {
				return err
			}
			o.Sample = true
			report, err := l.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if file == "" {
				out := cmd.OutOrStdout()
				return hopyard.PlotText(out, report, what, only, width(out), colourOn(cmd, out))
			}
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			return errors.Join(hopyard.PlotSVG(f, report, what, only), f.Close())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "output", "o", "", "write an SVG picture into this `file`")
	f.StringSliceVar(&what, "what", []string{"cwnd"}, "what to draw")
	f.StringSliceVar(&only, "of", nil, "only the loads of these `names`")
	f.Uint64Var(&o.Seed, "seed", 0, "run with this seed instead of the lab's")
	f.DurationVar(&o.Until, "until", 0, "end at this virtual time, as in 10s or 2m")
	return cmd
}
