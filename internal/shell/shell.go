// Package shell is the commands of a virtual host: ping, arping, traceroute,
// nc, ip, ss and a few more, with the looks and exit statuses of the real ones
// (iputils, traceroute by Dmitry Butskoy, netcat-openbsd, iproute2).
//
// Each command is an ordinary program on its host's sockets and knows nothing of
// the kernel or of virtual time. Start reading at Run and at the table of
// commands.
package shell

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/socket"
)

// Streams are what a command reads and writes.
type Streams struct {
	Stdin          io.Reader // nil: nothing to read
	Stdout, Stderr io.Writer
}

// Exit statuses that the shell itself gives (POSIX XCU 2.8.2); those of
// commands are the real ones' own.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 127
)

// Command is one entry of the table.
type Command struct {
	Name    string
	Usage   string // what follows the name
	Summary string // a line for help
	run     func(p *program, args []string) int
}

// commands is every command there is, by name. It is filled in here and not
// where it is declared because help reads it.
var commands []Command

func init() {
	commands = []Command{
		{"arp", "[-n] [-a] [HOST]", "show the neighbour table", runARP},
		{"arping", "[-AbDfqU] [-c COUNT] [-w SECONDS] [-I DEVICE] [-s SOURCE] TARGET", "ask on the LAN who has an address", runArping},
		{"echo", "[-n] [WORD...]", "write the words", runEcho},
		{"false", "", "fail", func(*program, []string) int { return exitFailure }},
		{"help", "[COMMAND]", "list the commands", runHelp},
		{"hostname", "", "write the host's name", runHostname},
		{"ip", "[-4|-6] {address|link|neighbour|route} [show|get] ...", "show addresses, links, neighbours and routes", runIP},
		{"nc", "[-lNnuvz] [-w SECONDS] [-q SECONDS] [-s SOURCE] [-p PORT] [HOST] PORT", "send and receive over TCP or UDP", runNC},
		{"netstat", "-s [-tu]", "show counters of every protocol, in words", runNetstat},
		{"nstat", "[-asz] [PATTERN...]", "show counters of every protocol, by their names", runNstat},
		{"ping", "[-46bnq] [-c COUNT] [-i SECONDS] [-s SIZE] [-t TTL] [-W SECONDS] [-w SECONDS] [-M do|want|dont] [-p PATTERN] [-I ADDRESS] HOST", "ask whether a host answers", runPing},
		{"sleep", "SECONDS", "wait", runSleep},
		{"ss", "[-46aHilnostu]", "show sockets", runSS},
		{"traceroute", "[-46FIn] [-q PROBES] [-m HOPS] [-w SECONDS] [-f FIRST] [-p PORT] HOST [LENGTH]", "find the routers on the way to a host", runTraceroute},
		{"true", "", "succeed", func(*program, []string) int { return exitOK }},
	}
}

// Commands is the table, by name.
func Commands() []Command { return slices.Clone(commands) }

// program is one run of a command.
type program struct {
	Streams
	net     *socket.Net
	command *Command
}

// Run runs one command line on a host and returns its exit status. Messages go
// to the streams, as a user of the host would see them.
func Run(n *socket.Net, streams Streams, line string) (exit int) {
	if streams.Stdin == nil {
		streams.Stdin = strings.NewReader("")
	}
	words, command, err := parse(line)
	switch {
	case errors.As(err, new(*SyntaxError)):
		fmt.Fprintf(streams.Stderr, "sh: %v\n", err)
		return exitUsage
	case err != nil:
		fmt.Fprintf(streams.Stderr, "sh: %v\n", err)
		return exitNotFound
	case command == nil:
		return exitOK
	}
	p := &program{Streams: streams, net: n, command: command}
	return command.run(p, words[1:])
}

// Check reports what is wrong with a command line before it is run: that it
// cannot be read, or that there is no such command.
func Check(line string) error {
	_, _, err := parse(line)
	return err
}

func parse(line string) (words []string, command *Command, err error) {
	words, err = Words(line)
	if err != nil || len(words) == 0 {
		return nil, nil, err
	}
	var names []string
	for i, c := range commands {
		if c.Name == words[0] {
			return words, &commands[i], nil
		}
		names = append(names, c.Name)
	}
	err = fmt.Errorf("%s: command not found", words[0])
	if near := diag.Nearest(words[0], names); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return nil, nil, err
}

func (p *program) printf(format string, args ...any) { fmt.Fprintf(p.Stdout, format, args...) }

// complain writes a message as the real tools do: after the command's name.
func (p *program) complain(format string, args ...any) {
	fmt.Fprintf(p.Stderr, "%s: %s\n", p.command.Name, fmt.Sprintf(format, args...))
}

// fail complains and returns the status for an error.
func (p *program) fail(exit int, format string, args ...any) int {
	p.complain(format, args...)
	return exit
}

// stopped reports whether the program was told to end.
func (p *program) stopped() bool { return p.net.Proc().Context().Err() != nil }
