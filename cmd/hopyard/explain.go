package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard"
	"github.com/hopyard/hopyard/internal/explain"
)

func newExplain() *cobra.Command {
	var verbose, summary, asJSON, ladder bool
	var e hopyard.Explainer
	cmd := &cobra.Command{
		Use:   "explain LAB|CAPTURE",
		Short: "Tell every packet, layer by layer",
		Long:  "Run a lab, or read a capture (.pcapng, .pcap), and tell every packet layer by layer, named by OSI layer.",
		Example: `  hopyard explain labs/first.yaml --place h1:eth0
  hopyard explain labs/first.yaml --protocol arp -v
  hopyard explain capture.pcapng -s
  hopyard explain labs/tcp.yaml --ladder`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case asJSON:
				e.Mode = explain.JSON
			case summary:
				e.Mode = explain.Summary
			case verbose:
				e.Mode = explain.Verbose
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			e.Out = out
			var err error
			if ladder {
				err = drawLadder(cmd, args[0], &hopyard.Ladder{Host: e.Filter.Host}, out)
			} else {
				err = explainFile(cmd, args[0], &e)
			}
			return errors.Join(err, out.Flush())
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&verbose, "verbose", "v", false, "every field with its place in the bytes")
	f.BoolVarP(&summary, "summary", "s", false, "one line for each packet")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line")
	f.BoolVar(&ladder, "ladder", false, "each TCP connection as a ladder between its ends; with --host, of an address or node")
	f.StringVar(&e.Filter.Place, "place", "", `only at this node or port, as "h1" or "h1:eth0"`)
	f.StringVar(&e.Filter.Protocol, "protocol", "", "only packets with this protocol: arp, ipv4, icmp, udp ...")
	f.StringVar(&e.Filter.Host, "host", "", "only packets with this address")
	f.IntVarP(&e.Filter.Number, "number", "n", 0, "only the event of this number")
	cmd.MarkFlagsMutuallyExclusive("verbose", "summary", "json", "ladder")
	cmd.MarkFlagsMutuallyExclusive("place", "ladder")
	cmd.MarkFlagsMutuallyExclusive("protocol", "ladder")
	cmd.MarkFlagsMutuallyExclusive("number", "ladder")
	return cmd
}

func explainFile(cmd *cobra.Command, path string, e *hopyard.Explainer) error {
	if isCapture(path) {
		return hopyard.Explain(path, e)
	}
	l, err := hopyard.Open(path)
	if err != nil {
		return err
	}
	_, err = l.Run(cmd.Context(), hopyard.RunOptions{Explain: e})
	return err
}

func isCapture(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".pcapng" || ext == ".pcap"
}

// drawLadder draws the TCP connections of a lab's run or of a capture.
func drawLadder(cmd *cobra.Command, path string, ladder *hopyard.Ladder, out io.Writer) error {
	if isCapture(path) {
		if err := ladder.Capture(path); err != nil {
			return err
		}
	} else {
		l, err := hopyard.Open(path)
		if err != nil {
			return err
		}
		if _, err := l.Run(cmd.Context(), hopyard.RunOptions{Ladder: ladder}); err != nil {
			return err
		}
	}
	var drawn strings.Builder
	if err := ladder.Write(&drawn); err != nil {
		return err
	}
	switch {
	case drawn.Len() > 0:
	case ladder.Host != "":
		fmt.Fprintf(&drawn, "no TCP connection of %s\n", ladder.Host)
	default:
		drawn.WriteString("no TCP connection\n")
	}
	_, err := io.WriteString(out, drawn.String())
	return err
}
