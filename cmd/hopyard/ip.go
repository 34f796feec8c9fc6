package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hopyard/hopyard/internal/subnet"
)

func newIP() *cobra.Command {
	return &cobra.Command{
		Use:   "ip ADDRESS[/LENGTH]...",
		Short: "Explain an IP address: class, network and host part, range, what it is for",
		Example: `  hopyard ip 192.168.1.10/24
  hopyard ip 10.1.2.3/255.255.0.0
  hopyard ip 2001:db8::1/64`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for i, arg := range args {
				prefix, err := subnet.Parse(arg)
				if err != nil {
					return err
				}
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := describe(cmd.OutOrStdout(), subnet.Describe(prefix)); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", subnet.Picture(prefix))
			}
			return nil
		},
	}
}

// describe prints what is known of an address, a line each.
func describe(w io.Writer, i subnet.Info) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("Address", "%s", i.Prefix.Addr())
	line("Network", "%s", i.Network)
	if i.Netmask.IsValid() {
		line("Netmask", "%s  (wildcard %s)", i.Netmask, i.Wildcard)
	}
	if i.Broadcast.IsValid() {
		line("Broadcast", "%s", i.Broadcast)
	}
	line("Hosts", "%s - %s  (%s)", i.First, i.Last, i.Count)
	if i.Class != 0 {
		text := fmt.Sprintf("%c", i.Class)
		if i.ClassPrefix.IsValid() {
			text += fmt.Sprintf(", by which the network would be %s; since CIDR (1993) the prefix length decides", i.ClassPrefix)
		}
		line("Class", "%s", text)
	}
	if i.Scope != "" {
		line("Scope", "%s", i.Scope)
	}
	if i.EUI64 != "" {
		line("Made from", "MAC address %s (EUI-64)", i.EUI64)
	}
	for _, s := range i.Special {
		line("Range", "%s: %s (%s)", s.Prefix, s.Name, s.Source)
	}
	if i.Public {
		line("Reach", "public: can be reached across the Internet")
	} else {
		line("Reach", "not public: no router on the Internet forwards to it")
	}
	return t.Flush()
}
