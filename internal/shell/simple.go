package shell

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// runEcho has echo's -n and nothing else: as POSIX asks, what looks like
// another flag is a word.
func runEcho(p *program, args []string) int {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		end, args = "", args[1:]
	}
	if len(args) == 1 && args[0] == "--help" {
		p.usage(p.Stdout)
		return exitOK
	}
	p.printf("%s%s", strings.Join(args, " "), end)
	return exitOK
}

func runHelp(p *program, args []string) int {
	operands, exit, done := p.flags().parse(args, 0, 1)
	if done {
		return exit
	}
	if len(operands) == 0 {
		for _, c := range commands {
			p.printf("%-12s%s\n", c.Name, c.Summary)
		}
		p.printf("\nCOMMAND --help tells more of one.\n")
		return exitOK
	}
	var names []string
	for i, c := range commands {
		if c.Name == operands[0] {
			(&program{Streams: p.Streams, net: p.net, command: &commands[i]}).usage(p.Stdout)
			p.printf("%s: %s\n", c.Name, c.Summary)
			return exitOK
		}
		names = append(names, c.Name)
	}
	if near := diag.Nearest(operands[0], names); near != "" {
		return p.fail(exitFailure, "no command %q; did you mean %s?", operands[0], near)
	}
	return p.fail(exitFailure, "no command %q", operands[0])
}

func runHostname(p *program, args []string) int {
	if _, exit, done := p.flags().parse(args, 0, 0); done {
		return exit
	}
	var name string
	p.net.Inspect(func(_ sim.Time, s *stack.Stack) { name = s.Name() })
	p.printf("%s\n", name)
	return exitOK
}

func runSleep(p *program, args []string) int {
	operands, exit, done := p.flags().parse(args, 1, 1)
	if done {
		return exit
	}
	d, err := sleepTime(operands[0])
	if err != nil {
		return p.fail(exitFailure, "%v", err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return exitOK
	case <-p.net.Proc().Context().Done():
		return exitFailure
	}
}

// sleepTime reads seconds, or a number with coreutils' suffix s, m, h or d.
func sleepTime(text string) (time.Duration, error) {
	number, unit := text, time.Second
	if text != "" {
		if u, ok := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]; ok {
			number, unit = text[:len(text)-1], u
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) || v*unit.Seconds() > 1e9 {
		return 0, fmt.Errorf("invalid time interval '%s'; it takes seconds, or a number with s, m, h or d", text)
	}
	return time.Duration(v * float64(unit)), nil
}
