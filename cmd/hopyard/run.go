package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hopyard/hopyard"
	"github.com/hopyard/hopyard/internal/sim"
)

func newRun() *cobra.Command {
	var o hopyard.RunOptions
	var asJSON, quiet, noProgress bool
	var taps []string
	cmd := &cobra.Command{
		Use:   "run LAB",
		Short: "Run a lab and tell what happened",
		Example: `  hopyard run labs/first.yaml
  hopyard run labs/first.yaml --pcap captures    then open captures/all.pcapng in Wireshark
  hopyard run labs/first.yaml --live             by the wall clock
  hopyard run labs/first.yaml --live --tap h2    this machine plays h2, by a TAP device (root)`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := hopyard.Open(args[0])
			if err != nil {
				return err
			}
			if len(o.PcapLinks) > 0 && o.PcapDir == "" {
				return errors.New("--pcap-link chooses what --pcap DIR writes; give that too")
			}
			stderr := cmd.ErrOrStderr()
			o.TAP = nil
			for _, t := range taps {
				node, device, _ := strings.Cut(t, "=")
				o.TAP = append(o.TAP, hopyard.TAP{Node: node, Device: device, Joined: func(device string, commands []string) {
					fmt.Fprintf(stderr, "This machine plays %s by the device %s. Give it its place (Ctrl-C ends the run):\n  %s\n",
						node, device, strings.Join(commands, "\n  "))
				}})
			}
			fmt.Fprint(stderr, l.Warnings().Render(colourOn(cmd, stderr)))
			if !noProgress && !quiet && isTerminal(stderr) {
				o.Progress = drawProgress(stderr)
			}
			if !asJSON && !quiet {
				o.Ladder = &hopyard.Ladder{SegmentsMax: ladderMax}
			}
			report, err := l.Run(cmd.Context(), o)
			if o.Progress != nil {
				fmt.Fprint(stderr, "\r\x1b[K")
			}
			if report != nil && !quiet {
				err = errors.Join(err, printReport(cmd, report, asJSON, o.Ladder))
			}
			switch {
			case errors.Is(err, sim.ErrStopped):
				return &exitError{exitInterrupted, err}
			case err != nil:
				return err
			case !report.Passed:
				return &exitError{status: exitNotHeld}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	f.StringVar(&o.PcapDir, "pcap", "", "write captures (pcapng) into this `folder`")
	f.StringArrayVar(&o.PcapLinks, "pcap-link", nil, "capture only this `link` or link end; may be repeated")
	f.Uint64Var(&o.Seed, "seed", 0, "run with this seed instead of the lab's")
	f.DurationVar(&o.Until, "until", 0, "end at this virtual time, as in 10s or 2m")
	f.BoolVar(&o.Live, "live", false, "run by the wall clock")
	f.StringArrayVar(&taps, "tap", nil, "have a TAP device play a node with one link, as in `NODE=DEVICE`; with --live, on Linux, as root")
	f.BoolVarP(&quiet, "quiet", "q", false, "print nothing; the exit status tells")
	f.BoolVar(&noProgress, "no-progress", false, "do not show how far a long run is")
	return cmd
}

// ladderMax is up to how many TCP segments a run draws them all: more than fits
// a screen is for hopyard explain --ladder.
const ladderMax = 40

func printReport(cmd *cobra.Command, report *hopyard.Report, asJSON bool, ladder *hopyard.Ladder) error {
	out := cmd.OutOrStdout()
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	var drawn strings.Builder
	if err := ladder.Write(&drawn); err != nil {
		return err
	}
	if drawn.Len() > 0 {
		fmt.Fprintln(out, drawn.String())
	}
	return report.Text(out, width(out), colourOn(cmd, out))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// width is that of the terminal, or what fits a page.
func width(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 100
}

// drawProgress keeps one line that tells how far a run is.
func drawProgress(w io.Writer) func(hopyard.Progress) {
	return func(p hopyard.Progress) {
		const columns = 30
		if p.Share < 0 {
			fmt.Fprintf(w, "\r\x1b[K%v of virtual time, %d frames", time.Duration(p.Time).Round(time.Millisecond), p.Frames)
			return
		}
		done := int(p.Share * columns)
		fmt.Fprintf(w, "\r\x1b[K[%-*s] %3.0f %%  %v of %v of virtual time, %d frames",
			columns, strings.Repeat("#", done), 100*p.Share, time.Duration(p.Time).Round(time.Millisecond), time.Duration(p.Until), p.Frames)
	}
}
